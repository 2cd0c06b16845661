import { describe, expect, test } from "vitest";
import { Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { contextsOf, type InMemory, restartdInMemory } from "../../../support/restartd.ts";
import { follow } from "./watch.ts";
import { eventually, freeName, type Made, make, must, observed, type Ref, restart, type TheWorld } from "./world.ts";

const { PROGRESSING, COMPLETE, STALLED } = Rollout_State;

/** A container as a kubelet tells it. */
const crashing = {
  name: "c",
  image: "registry.invalid/c:1",
  imageID: "",
  ready: false,
  restartCount: 5,
  state: { waiting: { reason: "CrashLoopBackOff", message: "back-off 5m0s restarting failed container" } },
  lastState: {
    terminated: {
      exitCode: 1,
      reason: "Error",
      startedAt: "2026-01-01T00:00:00Z",
      finishedAt: "2026-01-01T00:00:00Z",
    },
  },
};
const pulling = {
  ...crashing,
  restartCount: 0,
  lastState: {},
  state: {
    waiting: {
      reason: "ImagePullBackOff",
      message: 'Back-off pulling image "registry.invalid/c:1": Head "https://registry.invalid/v2/c": no such host',
    },
  },
};

/** Why a rollout hangs: what its kind, its pods and what guards them say. `admin` may read pods; `patcher` may not. */
export function detailRows(world: TheWorld): void {
  describe("Rollout.detail", () => {
    const get = (ref: Ref, cluster = "admin") => world().direct.client.getRollout({ cluster, ...ref });
    const admin = (): InMemory =>
      restartdInMemory({
        clusters: contextsOf(world().backend.kubeconfig, ["admin"]),
        timing: { firstLookMs: 20, beatMs: 100 },
      });
    const ready = async (resource: "deployments" | "statefulsets" | "rollouts", spec = {}): Promise<Made> => {
      const object = await make(world(), resource, { spec });
      expect(await follow(world().direct, object.ref).end).toMatchObject({ code: "ok" });
      return object;
    };
    const podsOf = async ({ ref }: Pick<Made, "ref">): Promise<string[]> => {
      const path = `/api/v1/namespaces/${ref.namespace}/pods?labelSelector=app%3D${ref.name}`;
      const { items } = await must(world().backend, "GET", path);
      return items
        .filter(({ metadata }: { metadata: { deletionTimestamp?: string } }) => !metadata.deletionTimestamp)
        .map(({ metadata }: { metadata: { name: string } }) => metadata.name);
    };
    const newPodOf = (object: Made, old: readonly string[]) =>
      eventually(async () => (await podsOf(object)).find((name) => !old.includes(name)));
    const setPod = ({ ref }: Made, name: string, status: object) =>
      must(
        world().backend,
        "PATCH",
        `/api/v1/namespaces/${ref.namespace}/pods/${name}/status`,
        { status },
        "application/merge-patch+json",
      );

    test("names the pod that crashes: in GetRollout, in WatchRollout, in the operation's progress; to who may read pods", async () => {
      const object = await ready("deployments");
      const old = await podsOf(object);
      await world().backend.pods.pause();
      try {
        await using restartd = admin();
        expect((await restart(restartd, { ...object.ref, cluster: "admin" })).code).toBe("ok");
        const watch = follow(world().direct, { ...object.ref, cluster: "admin" });
        const pod = await newPodOf(object, old);
        await watch.until(({ state, detail }) => state === PROGRESSING && detail === "");
        // Nothing of the Deployment changes now.
        await setPod(object, pod, { phase: "Running", containerStatuses: [crashing] });
        const sentence = `pod ${pod}: container c: CrashLoopBackOff, Error with exit code 1, restarted 5 times`;
        const rollout = await get(object.ref);
        expect(rollout).toMatchObject({ state: PROGRESSING, detail: sentence });
        expect(rollout.message).toMatch(/^Waiting for deployment "[^"]*" rollout to finish: [^;]*\.\.\.$/);
        await watch.until(({ detail }) => detail === sentence);
        const store = await restartd.store;
        const progress = await eventually(async () => {
          const [operation] = await store.list({ where: [], limit: 1 });
          return operation?.progress.endsWith(`; ${sentence}`) && operation.progress;
        });
        expect(progress).toMatch(/^Waiting for deployment "[^"]*" rollout to finish: [^;]*\.\.\.; pod /);
        // The negative control: without that right it is as it was.
        expect(await get(object.ref, "patcher")).toMatchObject({ state: PROGRESSING, detail: "" });
        await setPod(object, pod, { containerStatuses: [pulling] });
        await watch.until(
          ({ detail }) =>
            detail ===
            `pod ${pod}: container c: ImagePullBackOff: Back-off pulling image "registry.invalid/c:1": Head "(address)": no such host`,
        );
        watch.cancel();
      } finally {
        await world().backend.pods.resume();
      }
    });

    test("names the pod that no node takes", async () => {
      const { backend } = world();
      await backend.pods.pause();
      try {
        const object = await make(world(), "statefulsets");
        const pod = await newPodOf(object, []);
        const path = `/api/v1/namespaces/${object.ref.namespace}/pods/${pod}`;
        const time = { lastTransitionTime: "2026-01-01T00:00:00Z" };
        const unscheduled = {
          type: "PodScheduled",
          status: "False",
          reason: "Unschedulable",
          message: "0/2 nodes are available: 2 Insufficient memory.",
          ...time,
        };
        // The scheduler has had it, and does not come again.
        await eventually(async () => (await must(backend, "GET", path)).spec.nodeName);
        await setPod(object, pod, { phase: "Pending", conditions: [unscheduled] });
        const rollout = await eventually(async () => {
          const seen = await get(object.ref);
          return seen.state === PROGRESSING && seen;
        });
        expect(rollout.detail).toBe(`pod ${pod}: Unschedulable: 0/2 nodes are available: 2 Insufficient memory.`);
      } finally {
        await backend.pods.resume();
      }
    });

    test("names what the scheduler itself says", async () => {
      if (world().backend.name === "simulator") {
        return; // it has no scheduler; the real one proves this
      }
      const object = await ready("deployments");
      const old = await podsOf(object);
      await object.merge({ spec: { template: { spec: { nodeSelector: { none: "such" } } } } });
      const pod = await newPodOf(object, old);
      const rollout = await eventually(async () => {
        const seen = await get(object.ref);
        return seen.detail !== "" && seen;
      });
      expect(rollout.detail).toMatch(
        new RegExp(`^pod ${pod}: Unschedulable: 0/2 nodes are available: 2 node\\(s\\) didn't match `),
      );
    });

    test("says that pods are refused, of which a StatefulSet has no condition", async () => {
      const { backend } = world();
      if (backend.name === "simulator") {
        return; // it has no quotas; the real one proves this
      }
      const object = await ready("statefulsets", { replicas: 2 });
      const namespace = `/api/v1/namespaces/${object.ref.namespace}`;
      const quota = {
        apiVersion: "v1",
        kind: "ResourceQuota",
        metadata: { name: "none" },
        spec: { hard: { pods: "0" } },
      };
      await must(backend, "POST", `${namespace}/resourcequotas`, quota);
      try {
        const spec = { containers: [{ name: "c", image: "registry.invalid/c:1" }] };
        const body = { apiVersion: "v1", kind: "Pod", metadata: { name: "refused" }, spec };
        await eventually(
          async () => (await backend.request("POST", `${namespace}/pods?dryRun=All`, { body })).status === 403,
        );
        expect((await restart(world().direct, object.ref)).code).toBe("ok");
        const rollout = await eventually(async () => {
          const seen = await get(object.ref);
          return seen.detail !== "" && seen;
        });
        expect(rollout).toMatchObject({ state: PROGRESSING, desired: 2 });
        expect(rollout.detail).toMatch(/^1 of 2 pods does not exist: .* the events of \S+ say what$/);
      } finally {
        await must(backend, "DELETE", `${namespace}/resourcequotas/none`);
      }
    });

    test("a StatefulSet is complete by kubectl's rule, and says that its pods are not available yet", async () => {
      const spec = { replicas: 2, minReadySeconds: 3600, podManagementPolicy: "Parallel" };
      const object = await make(world(), "statefulsets", { spec });
      const rollout = await eventually(async () => {
        const seen = await get(object.ref, "patcher");
        return seen.state === COMPLETE && seen;
      });
      expect(rollout).toMatchObject({ desired: 2, ready: 2, available: 0 });
      expect(rollout.detail).toBe(
        "0 of 2 pods are available: a pod is once it has been ready for 3600 s (minReadySeconds)",
      );
    });

    test("a StatefulSet whose partition keeps pods says so when it is complete", async () => {
      const updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 1 } };
      const object = await ready("statefulsets", { replicas: 2, updateStrategy });
      expect((await restart(world().direct, object.ref)).code).toBe("ok");
      expect(await follow(world().direct, object.ref).end).toMatchObject({ code: "ok" });
      expect(await get(object.ref, "patcher")).toMatchObject({
        state: COMPLETE,
        detail: "the partition keeps 1 of 2 pods as they are",
      });
    });

    test("an Argo Rollout with an invalid spec is stalled, and Argo's words say why", async () => {
      const object = await ready("rollouts");
      await object.merge({ spec: { strategy: { canary: null } } });
      await observed(object);
      const rollout = await get(object.ref, "patcher");
      const why = `The Rollout "${object.ref.name}" is invalid: spec.strategy.strategy: Required value: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'`;
      expect(rollout).toMatchObject({
        state: STALLED,
        message: `rollout "${object.ref.name}" is degraded`,
        detail: `Degraded: InvalidSpec: ${why}`,
      });
      expect(await follow(world().direct, object.ref).end).toMatchObject({
        code: "FailedPrecondition",
        reason: "PROGRESS_DEADLINE_EXCEEDED",
        message: `${rollout.message}; ${rollout.detail}`,
      });
    });

    test("an Argo Rollout of which no pod is available: Argo evicts none", async () => {
      const object = await ready("rollouts");
      const [pod = ""] = await podsOf(object);
      await world().backend.pods.pause();
      try {
        await setPod(object, pod, {
          conditions: [{ type: "Ready", status: "False", lastTransitionTime: "2026-01-01T00:00:00Z" }],
          containerStatuses: [crashing],
        });
        await eventually(async () => !(await object.read()).status?.availableReplicas);
        expect((await restart(world().direct, object.ref)).code).toBe("ok");
        const words = "Argo Rollouts evicts no pod while 0 of 1 is available";
        const mine = await eventually(async () => {
          const seen = await get(object.ref, "patcher");
          return seen.detail.includes("rollout is restarting") && seen;
        });
        expect(mine).toMatchObject({ state: PROGRESSING, detail: `Progressing: rollout is restarting; ${words}` });
        expect((await get(object.ref)).detail).toBe(
          `${mine.detail}; pod ${pod}: container c: CrashLoopBackOff, Error with exit code 1, restarted 5 times`,
        );
      } finally {
        await world().backend.pods.resume();
      }
    });

    test("an Argo Rollout behind a PodDisruptionBudget that lets none be evicted; a Deployment is not held up by one", async () => {
      const { backend, namespace } = world();
      const objects = [await ready("rollouts"), await ready("deployments")];
      const budget = freeName();
      const budgets = `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets`;
      for (const [index, { ref }] of objects.entries()) {
        await must(backend, "POST", budgets, {
          apiVersion: "policy/v1",
          kind: "PodDisruptionBudget",
          metadata: { name: `${budget}-${index}` },
          spec: { maxUnavailable: 0, selector: { matchLabels: { app: ref.name } } },
        });
        await eventually(async () => {
          const { status } = await must(backend, "GET", `${budgets}/${budget}-${index}`);
          return status?.currentHealthy === 1 && status.disruptionsAllowed === 0;
        });
      }
      const [held, free] = objects as [Made, Made];
      for (const { ref } of objects) expect((await restart(world().direct, ref)).code).toBe("ok");
      const rollout = await eventually(async () => {
        const seen = await get(held.ref);
        return seen.detail.includes("is restarting") && seen;
      });
      expect(rollout).toMatchObject({
        state: PROGRESSING,
        detail: `Progressing: rollout is restarting; PodDisruptionBudget ${budget}-0 lets no pod be evicted (disruptionsAllowed is 0)`,
      });
      const watch = follow(world().direct, { ...free.ref, cluster: "admin" });
      expect(await watch.end).toMatchObject({ code: "ok" });
      expect(watch.messages.every(({ detail }) => !detail.includes("PodDisruptionBudget"))).toBe(true);
    });
  });
}
