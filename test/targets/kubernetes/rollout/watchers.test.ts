import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OpenCluster } from "../../../../src/targets/kubernetes/cluster/cluster.ts";
import type { Change } from "../../../../src/targets/kubernetes/cluster/feed.ts";
import { watchRollout } from "../../../../src/targets/kubernetes/rollout/watch-rollout.ts";
import { findKind } from "../../../../src/targets/kubernetes/workload/kinds.ts";
import type { WorkloadObject } from "../../../../src/targets/kubernetes/workload/object.ts";

const ref = { cluster: "c", group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "web" };
const never = new AbortController().signal;

/** A Deployment whose rollout is under way. */
const object = (resourceVersion: number, updatedReplicas = 1): WorkloadObject => ({
  metadata: { name: "web", namespace: "shop", uid: "u", resourceVersion: `${resourceVersion}`, generation: 2 },
  spec: { replicas: 3, template: {} },
  status: { observedGeneration: 2, replicas: 3, updatedReplicas },
});

interface World {
  /** What the read brings. */
  readonly read: () => WorkloadObject;
  /** What the watch has shown last. */
  readonly last?: WorkloadObject;
  /** What the watch brings next. */
  readonly next: (withinMs: number | undefined) => Promise<Change | undefined>;
  readonly podProblems?: () => string | undefined;
  readonly now?: () => number;
}

/** A watch of the Deployment. */
function watch({ read, last, next, podProblems = () => undefined, now = () => 0 }: World) {
  const kind = findKind("apps", "deployments");
  if (kind === undefined) throw new Error("no such kind");
  const cluster = {
    name: "c",
    clock: { latest: now },
    watches: { subscribe: () => ({ next, last: () => last, close: () => {} }) },
    reads: async () => read(),
    podProblems: { look: async () => podProblems() },
  } as unknown as OpenCluster;
  return watchRollout(cluster, kind, ref, undefined, never);
}

const silent = () => new Promise<never>(() => {});
const changes = (...list: WorkloadObject[]) => {
  const left = list.values();
  return async (): Promise<Change> => {
    const { value } = left.next();
    return value === undefined ? silent() : { type: "object", object: value };
  };
};

describe("watchers of one workload", () => {
  it("are shown one message, as long as they have one object", async () => {
    const [seen, changed] = [object(10), object(11, 2)];
    // Each has read the object for itself; the watch has shown it to all.
    const watches = [1, 2].map(() => watch({ read: () => object(10), last: seen, next: changes(changed) }));
    for (const _ of [1, 2]) {
      const [one, other] = await Promise.all(watches.map((each) => each.next()));
      expect(one?.value).toBeDefined();
      expect(one?.value).toBe(other?.value);
    }
    const behind = watch({ read: () => object(11, 2), last: seen, next: silent });
    expect((await behind.next()).value).toMatchObject({ updated: 2 });
  });

  it("are shown what is known of the pods by who asks, and what is judged anew a second later", async () => {
    const shared = object(10);
    const world = { read: () => shared, next: silent };
    const first = async (more: Partial<World>) => (await watch({ ...world, ...more }).next()).value;
    expect(await first({ podProblems: () => "a pod crashes" })).toMatchObject({ detail: "a pod crashes" });
    expect(await first({})).toMatchObject({ detail: "" });
    const before = await first({});
    expect(await first({ now: () => 999 })).toBe(before);
    expect(await first({ now: () => 1_000 })).not.toBe(before);
    expect(await first({ now: () => -5_000 })).not.toBe(before);
  });

  describe("while pods are looked at", () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
    afterEach(() => void vi.useRealTimers());

    it("have them looked at in time, however many changes come that are none", async () => {
      const asked: (number | undefined)[] = [];
      let looks = 0;
      const watching = watch({
        read: () => object(10),
        podProblems: () => `look ${++looks}`,
        next: async (withinMs) => {
          asked.push(withinMs);
          vi.advanceTimersByTime(500);
          return withinMs !== undefined && withinMs > 0 ? { type: "object", object: object(9) } : undefined;
        },
      });
      expect((await watching.next()).value).toMatchObject({ detail: "look 1" });
      expect((await watching.next()).value).toMatchObject({ detail: "look 2" });
      expect(asked).toEqual([2_000, 1_500, 1_000, 500, 0]);
    });
  });
});
