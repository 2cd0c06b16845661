import { describe, expect, test } from "vitest";
import { type Rollout, Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import type { InMemory } from "../../../support/restartd.ts";
import {
  eventually,
  type Made,
  make,
  must,
  type Ref,
  restart,
  settledVersion,
  steady,
  type TheWorld,
  type Told,
  tell,
} from "./world.ts";

const { PENDING, PROGRESSING, COMPLETE, STALLED, PAUSED } = Rollout_State;

/** One call of WatchRollout, read as fast as it comes. */
export interface Followed {
  /** Every message so far. */
  readonly messages: readonly Rollout[];
  /** How it ended: `ok` or the error's code. */
  readonly end: Promise<Told>;
  /** Waits for a message, also one that has come already, at most 20 seconds. */
  until(what: (message: Rollout) => boolean): Promise<Rollout>;
  /** What a caller does who goes away. */
  cancel(): void;
}

/** Watches a rollout, as `patcher` where no cluster is named. */
export function follow(restartd: InMemory, request: Ref & { cluster?: string; restartedAt?: string }): Followed {
  const abort = new AbortController();
  const messages: Rollout[] = [];
  let isOver = false;
  const run = async () => {
    for await (const message of restartd.client.watchRollout(
      { cluster: "patcher", ...request },
      { signal: abort.signal },
    )) {
      messages.push(message);
    }
  };
  const end = tell(run).finally(() => {
    isOver = true;
  });
  return {
    messages,
    end,
    until: (what) =>
      eventually(async () => {
        const found = messages.find(what);
        if (found === undefined && isOver) {
          throw new Error(`it ended: ${JSON.stringify([await end, messages.map(({ message }) => message)])}`);
        }
        return found;
      }),
    cancel: () => abort.abort(),
  };
}

/** What a backend alone can say. */
export interface Watched {
  /** How many watches of Deployments the API server has open. */
  openWatches(): Promise<number>;
}

const RESOURCES = ["deployments", "statefulsets", "daemonsets", "rollouts"] as const;

/** GetRollout and WatchRollout, and the watches behind them. */
export function watchRows(world: TheWorld, watched: Watched): void {
  /** A workload whose first rollout is complete. */
  const ready = async (resource: (typeof RESOURCES)[number], spec: Record<string, unknown> = {}): Promise<Made> => {
    const object = await make(world(), resource, { spec });
    await follow(world().direct, object.ref).end;
    return object;
  };
  const getRollout = (ref: Ref) => world().direct.client.getRollout({ cluster: "patcher", ...ref });
  const restartOf = async ({ ref, restartedAt }: Made): Promise<string> => {
    expect((await restart(world().direct, ref)).code).toBe("ok");
    return (await restartedAt()) ?? "";
  };

  describe("WatchRollout", () => {
    test.each(RESOURCES)("of complete %s has one message, which is GetRollout's, and ends", async (resource) => {
      const object = await ready(resource);
      const watch = follow(world().direct, object.ref);
      expect(await watch.end).toMatchObject({ code: "ok" });
      expect(watch.messages).toEqual([await getRollout(object.ref)]);
      expect(watch.messages[0]).toMatchObject({ cluster: "patcher", ...object.ref, state: COMPLETE, restartedAt: "" });
    });

    test.each(RESOURCES)(
      "row 29: judges %s by no status that is older than the restart, and ends when the restart is done",
      async (resource) => {
        const object = await ready(resource);
        await settledVersion(object.read); // what a controller still has to say of it would come while it is paused
        await world().backend.controllers.pause();
        const value = await restartOf(object).catch((error) =>
          world()
            .backend.controllers.resume()
            .then(() => Promise.reject(error)),
        );
        const [bound, unbound] = [
          follow(world().direct, { ...object.ref, restartedAt: value }),
          follow(world().direct, object.ref),
        ];
        try {
          const first = await Promise.all([bound, unbound].map((watch) => watch.until(() => true)));
          expect(first.map(({ state }) => state)).toEqual([PENDING, PENDING]);
          expect(first[0]).toMatchObject({
            restartedAt: value,
            message: expect.stringContaining("spec update to be observed..."),
          });
          expect(first[0]?.observedGeneration).toBeLessThan(first[0]?.generation ?? 0n);
          expect(await getRollout(object.ref)).toEqual(first[0]);
        } finally {
          await world().backend.controllers.resume();
        }
        for (const watch of [bound, unbound]) {
          expect(await watch.end).toMatchObject({ code: "ok" });
          expect(watch.messages.at(-1)).toMatchObject({ state: COMPLETE, restartedAt: value });
          expect(watch.messages.filter(({ state }) => state === COMPLETE)).toHaveLength(1);
        }
        // Old pods may have been terminating when it became complete, and a real controller may have had something left to write.
        const now = async () => ({ ...(await getRollout(object.ref)), detail: "" });
        await expect.poll(now).toEqual({ ...bound.messages.at(-1), detail: "" });
      },
    );

    test("says each change once, until the rollout is complete", async () => {
      const object = await ready("deployments", { replicas: 3 });
      await world().backend.pods.pause();
      await restartOf(object);
      const watch = follow(world().direct, object.ref);
      await watch.until(({ updated }) => updated > 0);
      await world().backend.pods.resume();
      expect(await watch.end).toMatchObject({ code: "ok" });
      const said = watch.messages.map(({ state, message, updated, ready, available }) =>
        JSON.stringify([state, message, updated, ready, available]),
      );
      expect(said.length).toBeGreaterThan(3);
      expect(watch.messages.at(-1)).toMatchObject({ state: COMPLETE, desired: 3, updated: 3, ready: 3, available: 3 });
      for (const [index, message] of watch.messages.entries()) {
        expect(message).not.toEqual(watch.messages[index + 1]);
      }
    });

    test("ends when another restart takes the place of the one in place", async () => {
      const object = await ready("deployments");
      await world().backend.pods.pause();
      try {
        const first = await restartOf(object);
        const watch = follow(world().direct, object.ref);
        await watch.until(({ state }) => state === PROGRESSING);
        const second = await restartOf(object);
        expect(await watch.end).toMatchObject({
          code: "Aborted",
          reason: "ROLLOUT_SUPERSEDED",
          outcome: "not_applied",
          metadata: { cluster: "patcher", restarted_at: first, superseded_by: second },
          details: { ResourceInfo: { resourceType: "kubernetes.workload" } },
        });
        expect(await follow(world().direct, { ...object.ref, restartedAt: first }).end).toMatchObject({
          reason: "ROLLOUT_SUPERSEDED",
        });
      } finally {
        await world().backend.pods.resume();
      }
      await follow(world().direct, object.ref).end;
    });

    test("ends when the restart is taken back", async () => {
      const object = await ready("deployments");
      await world().backend.pods.pause();
      try {
        await restartOf(object);
        const watch = follow(world().direct, object.ref);
        await watch.until(({ state }) => state === PROGRESSING);
        await object.merge({
          spec: { template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": null } } } },
        });
        expect(await watch.end).toMatchObject({
          reason: "ROLLOUT_SUPERSEDED",
          message: expect.stringMatching(/^the watched restart of deployments\.apps\/.* was taken back$/),
        });
      } finally {
        await world().backend.pods.resume();
      }
    });

    test("goes on when the workload is scaled, which moves the generation as well", async () => {
      const object = await ready("deployments");
      await world().backend.pods.pause();
      const value = await restartOf(object);
      const watch = follow(world().direct, { ...object.ref, restartedAt: value });
      const { generation } = await watch.until(({ state }) => state === PROGRESSING);
      await object.merge({ spec: { replicas: 3 } });
      await watch.until(({ desired }) => desired === 3);
      await world().backend.pods.resume();
      expect(await watch.end).toMatchObject({ code: "ok" });
      expect(watch.messages.at(-1)).toMatchObject({ state: COMPLETE, desired: 3, available: 3, restartedAt: value });
      expect(watch.messages.at(-1)?.generation).toBeGreaterThan(generation);
    });

    test("row 32: says that there is no such workload", async () => {
      const ref = { ...(await ready("deployments")).ref, name: "no-such" };
      for (const told of [await follow(world().direct, ref).end, await tell(() => getRollout(ref))]) {
        expect(told).toMatchObject({ code: "NotFound", reason: "TARGET_NOT_FOUND", details: { ResourceInfo: {} } });
      }
    });

    test("ends when the workload is deleted", async () => {
      const object = await waiting();
      const watch = follow(world().direct, object.ref);
      await watch.until(() => true);
      await must(world().backend, "DELETE", object.path);
      expect(await watch.end).toMatchObject({ code: "NotFound", reason: "TARGET_NOT_FOUND" });
    });

    test("ends when the workload is deleted and made anew", async () => {
      const object = await waiting();
      const watch = follow(world().direct, object.ref);
      await watch.until(() => true);
      const before = await object.read();
      await must(world().backend, "DELETE", object.path);
      const { name, namespace } = before.metadata;
      const after = await must(world().backend, "POST", object.path.slice(0, object.path.lastIndexOf("/")), {
        ...before,
        metadata: { name, namespace },
        status: undefined,
      });
      const told = await watch.end;
      // Between both it does not exist, and a reader may look just then.
      if (told.reason !== "TARGET_NOT_FOUND") {
        expect(told).toMatchObject({
          code: "Aborted",
          reason: "OBJECT_REPLACED",
          metadata: { old_uid: before.metadata.uid, new_uid: after.metadata.uid },
        });
      }
    });

    test("row 31: says that the rollout is stalled, then ends", async () => {
      const object = await ready("deployments", { progressDeadlineSeconds: 1 });
      await world().backend.pods.pause();
      try {
        const value = await restartOf(object);
        const watch = follow(world().direct, { ...object.ref, restartedAt: value });
        expect(await watch.end).toMatchObject({
          code: "FailedPrecondition",
          reason: "PROGRESS_DEADLINE_EXCEEDED",
          message: `deployment "${object.ref.name}" exceeded its progress deadline`,
          metadata: { cluster: "patcher", desired: "1", updated: "1", ready: "1", available: "1" },
          details: { PreconditionFailure: { violations: [{ type: "PROGRESS_DEADLINE_EXCEEDED" }] } },
        });
        expect(watch.messages.at(-1)).toMatchObject({ state: STALLED });
        // Row 30: the deadline that was exceeded before is not that of the next restart.
        const next = await restartOf(object);
        const again = follow(world().direct, { ...object.ref, restartedAt: next });
        await again.until(({ state }) => state === PROGRESSING);
        expect(again.messages.every(({ state }) => state !== STALLED)).toBe(true);
        again.cancel();
      } finally {
        await world().backend.pods.resume();
      }
    });

    test("row 34: says why no pod can be made", async () => {
      const object = await ready("deployments");
      const quota = `/api/v1/namespaces/${world().namespace}/resourcequotas`;
      const made = await world().backend.request("POST", quota, {
        body: { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "none" }, spec: { hard: { pods: "0" } } },
      });
      if (world().backend.name === "simulator" && made.status === 404) {
        return; // it has no quotas; the real one proves this
      }
      await eventually(async () => (await must(world().backend, "GET", `${quota}/none`)).status?.hard !== undefined);
      try {
        await restartOf(object);
        const watch = follow(world().direct, object.ref);
        const { state, message } = await watch.until(({ detail }) =>
          /^ReplicaFailure: FailedCreate: pods ".*" is forbidden: exceeded quota: none, /.test(detail),
        );
        expect(state).toBe(PROGRESSING);
        expect(message).toMatch(/^Waiting for deployment ".*" rollout to finish: .*\.\.\.$/);
        watch.cancel();
      } finally {
        await must(world().backend, "DELETE", `${quota}/none`);
      }
    });

    test("stays open while the rollout is paused, and goes on after it", async () => {
      const object = await ready("deployments");
      await world().backend.pods.pause();
      await restartOf(object);
      const watch = follow(world().direct, object.ref);
      await watch.until(({ state }) => state === PROGRESSING);
      await object.merge({ spec: { paused: true } });
      expect(await watch.until(({ state }) => state === PAUSED)).toMatchObject({
        message: expect.stringMatching(/^Waiting for deployment ".*" rollout to finish: /),
      });
      await object.merge({ spec: { paused: null } });
      await world().backend.pods.resume();
      expect(await watch.end).toMatchObject({ code: "ok" });
      expect(watch.messages.at(-1)).toMatchObject({ state: COMPLETE });
    });

    test.each(["statefulsets", "daemonsets"] as const)("does not judge %s with OnDelete", async (resource) => {
      const object = await make(world(), resource, { spec: { updateStrategy: { type: "OnDelete" } } });
      const told = await follow(world().direct, object.ref).end;
      expect(told).toMatchObject({
        code: "FailedPrecondition",
        reason: "UPDATE_STRATEGY_ON_DELETE",
        message: "rollout status is only available for RollingUpdate strategy type",
      });
      expect(await tell(() => getRollout(object.ref))).toEqual(told);
    });

    test.each(["nobody", "blind"])("is denied to %s, who may not read: a read asks for no dry run", async (cluster) => {
      const object = await waiting();
      const watch = follow(world().direct, { cluster, ...object.ref });
      expect(await watch.end).toMatchObject({
        code: "PermissionDenied",
        reason: "RBAC_DENIED",
        message: expect.stringContaining("may not get deployments.apps/"),
      });
      expect(watch.messages).toEqual([]);
    });

    test("tells that our own credentials are rejected", async () => {
      const object = await waiting();
      const intruder = await follow(world().direct, { cluster: "intruder", ...object.ref }).end;
      expect(intruder).toMatchObject({ code: "Internal", reason: "CLUSTER_CREDENTIALS_REJECTED" });
    });

    test("of a thousand callers is one watch, which ends with the last of them", async () => {
      const object = await waiting();
      const before = await steady(watched.openWatches);
      const watches = Array.from({ length: 1000 }, () => follow(world().direct, object.ref));
      await Promise.all(watches.map((watch) => watch.until(() => true)));
      await eventually(async () => (await watched.openWatches()) === before + 1);
      await object.merge({ spec: { replicas: 2 } });
      await Promise.all(watches.map((watch) => watch.until(({ desired }) => desired === 2)));
      await eventually(async () => (await watched.openWatches()) === before + 1);
      const [last, ...others] = watches;
      for (const watch of others) {
        watch.cancel();
      }
      expect(new Set((await Promise.all(others.map(({ end }) => end))).map(({ code }) => code))).toEqual(
        new Set(["Canceled"]),
      );
      await eventually(async () => (await watched.openWatches()) === before + 1);
      last?.cancel();
      await eventually(async () => (await watched.openWatches()) === before);
    });

    test("goes on after the API server was restarted, with what changed meanwhile", async () => {
      const [deployment, set] = [await waiting(), await ready("daemonsets")];
      await world().backend.controllers.pause();
      let watches: Followed[];
      try {
        await restartOf(set);
        watches = [follow(world().direct, deployment.ref), follow(world().direct, set.ref)];
        await Promise.all(watches.map((watch) => watch.until(() => true)));
        await world().backend.restartServer();
        await deployment.merge({ spec: { replicas: 0, paused: null } });
      } finally {
        await world().backend.controllers.resume();
      }
      for (const watch of watches) {
        expect(await watch.end).toMatchObject({ code: "ok" });
        expect(watch.messages.length).toBeGreaterThan(1);
        expect(watch.messages.at(-1)).toMatchObject({ state: COMPLETE, desired: 0 });
      }
    });
  });

  /** A workload whose rollout does not end by itself, without anything paused that other tests need. */
  async function waiting(): Promise<Made> {
    const object = await make(world(), "deployments", { spec: { paused: true } });
    await eventually(async () => (await object.read()).status?.observedGeneration !== undefined);
    return object;
  }
}
