import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Rollout_State } from "../../gen/restart/kubernetes/v1/workload_pb.ts";
import { type Followed, follow } from "../targets/kubernetes/behaviour/watch.ts";
import {
  eventually,
  type Made,
  make,
  must,
  openWorld,
  restart,
  tell,
  type World,
} from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane, KubectlResult } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();
const rolling = { type: "RollingUpdate" };
const PENDING = /spec update to be observed\.\.\.$/;

describe.skipIf(shared === undefined)("kubectl rollout status and ours", () => {
  const cluster = shared as ControlPlane;
  let world: World;
  beforeAll(async () => {
    world = await openWorld(cluster);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  const statusOf = ({ ref }: Made): string[] => [
    "rollout",
    "status",
    `${ref.resource}/${ref.name}`,
    "-n",
    ref.namespace,
  ];

  describe("at one moment", () => {
    /** Both say of an object whose status is this. Its controllers stand still. */
    const compare = async (object: Made, status: Record<string, unknown>): Promise<void> => {
      // A merge patch: what is not named goes, as in a status that a controller writes.
      const before = (await object.read()).status ?? {};
      const cleared = Object.fromEntries(Object.keys(before).map((key) => [key, null]));
      const path = `${object.path}/status`;
      const written = await must(
        cluster,
        "PATCH",
        path,
        { status: { ...cleared, ...status } },
        "application/merge-patch+json",
      );
      const theirs = await cluster.kubectl([...statusOf(object), "--watch=false"]);
      let message: string | undefined;
      let state: Rollout_State | undefined;
      const told = await tell(async () => {
        ({ message, state } = await world.direct.client.getRollout({ cluster: "patcher", ...object.ref }));
      });
      expect((await object.read()).metadata.resourceVersion, "it moved").toBe(written.metadata.resourceVersion);
      const isStalled = state === Rollout_State.STALLED;
      const line = theirs.code === 0 ? theirs.stdout : theirs.stderr.replace(/^error: /, "");
      expect({ failed: theirs.code !== 0, line }, JSON.stringify(status)).toEqual({
        failed: isStalled || told.code !== "ok",
        line: `${message ?? told.message}\n`,
      });
      expect(state === Rollout_State.COMPLETE, line).toBe(/success|complete:|update complete/.test(line));
    };

    /** Every status out of these values that the API server takes, with what `more` adds. */
    const every = async (object: Made, statuses: readonly Record<string, unknown>[]): Promise<void> => {
      for (const status of statuses) {
        await compare(object, status);
      }
    };

    const still = async (run: () => Promise<void>): Promise<void> => {
      await cluster.controllers.pause();
      try {
        await run();
      } finally {
        await cluster.controllers.resume();
      }
    };

    test("they agree on Deployments", async () => {
      await still(async () => {
        const object = await make(world, "deployments", { spec: { replicas: 2, progressDeadlineSeconds: 600 } });
        const deadline = [
          {
            type: "Progressing",
            status: "False",
            reason: "ProgressDeadlineExceeded",
            message: "",
            lastUpdateTime: "2026-01-01T00:00:00Z",
            lastTransitionTime: "2026-01-01T00:00:00Z",
          },
        ];
        const numbers = [
          {},
          { replicas: 2 },
          { replicas: 2, updatedReplicas: 1 },
          { replicas: 3, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2 },
          { replicas: 3, updatedReplicas: 2, readyReplicas: 3, availableReplicas: 3 },
          { replicas: 2, updatedReplicas: 2 },
          { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 1 },
          { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 },
        ];
        await every(object, [
          ...numbers,
          ...numbers.map((status) => ({ observedGeneration: 1, ...status })),
          ...numbers.map((status) => ({ observedGeneration: 1, conditions: deadline, ...status })),
          { conditions: deadline },
        ]);
        await object.merge({ spec: { paused: true, replicas: 0 } });
        await every(object, [
          { observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 },
          { observedGeneration: 2 },
          { observedGeneration: 2, replicas: 1 },
        ]);
        await object.merge({ spec: { replicas: 2 } });
        await every(object, [{ observedGeneration: 3, replicas: 2, updatedReplicas: 1 }]);
      });
    });

    test("they agree on DaemonSets", async () => {
      await still(async () => {
        const object = await make(world, "daemonsets");
        const counts = { currentNumberScheduled: 2, numberMisscheduled: 0, numberReady: 0, desiredNumberScheduled: 2 };
        const all = { ...counts, numberReady: 2, updatedNumberScheduled: 2, numberAvailable: 2 };
        await every(object, [
          counts,
          all,
          { ...counts, observedGeneration: 1 },
          { ...counts, observedGeneration: 1, updatedNumberScheduled: 1, numberAvailable: 2 },
          { ...counts, observedGeneration: 1, updatedNumberScheduled: 2 },
          { ...all, observedGeneration: 1, numberAvailable: 1 },
          { ...all, observedGeneration: 1 },
          { ...counts, desiredNumberScheduled: 0, currentNumberScheduled: 0, observedGeneration: 1 },
        ]);
        await object.merge({ spec: { updateStrategy: { type: "OnDelete", rollingUpdate: null } } });
        await every(object, [{ ...all, observedGeneration: 2 }]);
      });
    });

    test.each([
      ["the defaults", {}],
      ["a partition", { updateStrategy: { ...rolling, rollingUpdate: { partition: 2 } } }],
      ["a partition of more than all", { updateStrategy: { ...rolling, rollingUpdate: { partition: 7 } } }],
      ["RollingUpdate without a block", { updateStrategy: rolling }],
      ["OnDelete", { updateStrategy: { type: "OnDelete" } }],
      ["no replicas", { replicas: 0 }],
    ])("they agree on StatefulSets with %s", async (_what, spec) => {
      await still(async () => {
        const object = await make(world, "statefulsets", { spec: { replicas: 3, ...spec } });
        const seen = { observedGeneration: 1, replicas: 3, readyReplicas: 3 };
        const two = { currentRevision: "web-a", updateRevision: "web-b" };
        const one = { currentRevision: "web-b", updateRevision: "web-b" };
        await every(object, [
          { replicas: 0 },
          { replicas: 3, readyReplicas: 3, updatedReplicas: 3 },
          { observedGeneration: 1, replicas: 3 },
          { ...seen, ...two, readyReplicas: 2 },
          { ...seen, ...two },
          { ...seen, ...two, updatedReplicas: 1, currentReplicas: 2 },
          { ...seen, ...two, updatedReplicas: 2, currentReplicas: 1 },
          { ...seen, ...two, updatedReplicas: 3 },
          { ...seen, ...one, updatedReplicas: 3, currentReplicas: 3 },
        ]);
      });
    });
  });

  describe("while a rollout goes on", () => {
    /** Starts both on a restart that no controller has seen yet, and lets it go. */
    const watchBoth = async (object: Made): Promise<{ theirs: Promise<KubectlResult>; ours: Followed }> => {
      await cluster.controllers.pause();
      try {
        expect((await restart(world.direct, object.ref)).code).toBe("ok");
        const ours = follow(world.direct, { ...object.ref, restartedAt: (await object.restartedAt()) ?? "" });
        let output = "";
        const theirs = cluster.kubectl([...statusOf(object), "--watch", "--timeout=50s"], {
          onStdout: (text) => {
            output += text;
          },
        });
        await Promise.all([ours.until(({ message }) => PENDING.test(message)), eventually(async () => output !== "")]);
        return { theirs, ours };
      } finally {
        await cluster.controllers.resume();
      }
    };

    const linesOf = ({ stdout }: KubectlResult): string[] =>
      stdout
        .trimEnd()
        .split("\n")
        .filter((line, index, all) => line !== all[index - 1]);
    const messagesOf = ({ messages }: Followed): string[] =>
      messages.map(({ message }) => message).filter((line, index, all) => line !== all[index - 1]);

    /** All that they said is among what we said, in that order. */
    const expectSaid = (theirs: KubectlResult, ours: Followed): void => {
      const rest = messagesOf(ours);
      const missing = linesOf(theirs).filter((line) => {
        const index = rest.indexOf(line);
        rest.splice(0, index + 1);
        return index < 0;
      });
      expect(missing, JSON.stringify({ theirs: linesOf(theirs), ours: messagesOf(ours) }, null, 2)).toEqual([]);
    };

    const expectSameEnd = async (both: { theirs: Promise<KubectlResult>; ours: Followed }): Promise<void> => {
      const [theirs, told] = await Promise.all([both.theirs, both.ours.end]);
      expect({ code: theirs.code, stderr: theirs.stderr, told }).toMatchObject({ code: 0, told: { code: "ok" } });
      expectSaid(theirs, both.ours);
      expect(messagesOf(both.ours).at(-1)).toBe(linesOf(theirs).at(-1));
      expect(linesOf(theirs).length).toBeGreaterThan(1);
    };

    const complete = async (object: Made): Promise<Made> => {
      expect((await cluster.kubectl([...statusOf(object), "--timeout=50s"])).code).toBe(0);
      return object;
    };

    test.each([
      ["a Deployment", "deployments", { replicas: 3 }],
      ["a Deployment that is recreated", "deployments", { replicas: 2, strategy: { type: "Recreate" } }],
      ["a Deployment without replicas", "deployments", { replicas: 0 }],
      ["a StatefulSet", "statefulsets", { replicas: 3 }],
      ["a StatefulSet all at once", "statefulsets", { replicas: 3, podManagementPolicy: "Parallel" }],
      [
        "a StatefulSet with a partition",
        "statefulsets",
        { replicas: 3, updateStrategy: { ...rolling, rollingUpdate: { partition: 1 } } },
      ],
      ["a StatefulSet with RollingUpdate without a block", "statefulsets", { replicas: 2, updateStrategy: rolling }],
    ] as const)("they agree on %s", async (_what, resource, spec) => {
      const object = await complete(await make(world, resource, { spec }));
      await expectSameEnd(await watchBoth(object));
    });

    test("they agree on a DaemonSet", async () => {
      const name = "everywhere";
      const template = {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "c", image: "registry.invalid/c:1" }] },
      };
      const object = await complete(await make(world, "daemonsets", { name, spec: { template } }));
      const both = await watchBoth(object);
      await expectSameEnd(both);
      expect(both.ours.messages.at(-1)).toMatchObject({ desired: 2, updated: 2, ready: 2, available: 2 });
    });

    test("they agree on a Deployment that is scaled in between", async () => {
      const object = await complete(await make(world, "deployments", { spec: { replicas: 2 } }));
      await cluster.pods.pause();
      const both = await watchBoth(object).finally(() => cluster.pods.resume());
      await object.merge({ spec: { replicas: 4 } });
      await expectSameEnd(both);
      expect(both.ours.messages.at(-1)).toMatchObject({ desired: 4, available: 4 });
    });

    test("they agree on a Deployment that is paused and resumed in between", async () => {
      const object = await complete(await make(world, "deployments", { spec: { replicas: 2 } }));
      await cluster.pods.pause();
      let both: Awaited<ReturnType<typeof watchBoth>>;
      try {
        both = await watchBoth(object);
        await both.ours.until(({ state }) => state === Rollout_State.PROGRESSING);
        await object.merge({ spec: { paused: true } });
        await both.ours.until(({ state }) => state === Rollout_State.PAUSED);
        await object.merge({ spec: { paused: null } });
      } finally {
        await cluster.pods.resume();
      }
      await expectSameEnd(both);
    });

    test("they agree that a Deployment exceeded its progress deadline", async () => {
      const object = await complete(await make(world, "deployments", { spec: { progressDeadlineSeconds: 2 } }));
      await cluster.pods.pause();
      try {
        const { theirs, ours } = await watchBoth(object);
        const [result, told] = await Promise.all([theirs, ours.end]);
        expect(result.code).toBe(1);
        expect(told).toMatchObject({ code: "FailedPrecondition", reason: "PROGRESS_DEADLINE_EXCEEDED" });
        expect(result.stderr).toBe(`error: ${told.message}\n`);
        expectSaid(result, ours);
      } finally {
        await cluster.pods.resume();
      }
    });

    test.each(["deployments", "statefulsets"] as const)(
      "they wait alike for %s whose pods never are ready",
      async (resource) => {
        const object = await complete(await make(world, resource, { spec: { replicas: 2 } }));
        await cluster.pods.pause();
        try {
          const { ours } = await watchBoth(object);
          await ours.until(({ state }) => state === Rollout_State.PROGRESSING);
          await eventually(async () => {
            const { message } = await world.direct.client.getRollout({ cluster: "patcher", ...object.ref });
            const theirs = await cluster.kubectl([...statusOf(object), "--watch=false"]);
            return theirs.stdout === `${message}\n` && ours.messages.at(-1)?.message === message;
          });
          ours.cancel();
          expect(await ours.end).toMatchObject({ code: "Canceled" });
        } finally {
          await cluster.pods.resume();
        }
      },
    );

    test("they agree that the object was deleted", async () => {
      const object = await complete(await make(world, "deployments"));
      await cluster.pods.pause();
      try {
        const { theirs, ours } = await watchBoth(object);
        await ours.until(({ state }) => state === Rollout_State.PROGRESSING);
        await must(cluster, "DELETE", object.path);
        const [result, told] = await Promise.all([theirs, ours.end]);
        expect(result).toMatchObject({ code: 1, stderr: "error: object has been deleted\n" });
        expect(told).toMatchObject({ reason: "TARGET_NOT_FOUND" });
        expectSaid(result, ours);
      } finally {
        await cluster.pods.resume();
      }
    });
  });
});
