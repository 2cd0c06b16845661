import { setImmediate as turn } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { Observation, OperationView } from "../../../../src/core/operation.ts";
import { createWatchHub } from "../../../../src/targets/kubernetes/cluster/watch.ts";
import { followRestart } from "../../../../src/targets/kubernetes/restart/follow.ts";
import { findKind } from "../../../../src/targets/kubernetes/workload/kinds.ts";
import { testClock } from "../../../support/cluster-client.ts";
import { contextsOf, restartdInMemory } from "../../../support/restartd.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";
import { eventually, type Made, make, openWorld, restart, type World } from "../behaviour/world.ts";
import { answer, newStream, type Reply, refusal, type Stream, scriptedClient } from "../scripted-client.ts";

let backend: SimulatorBackend;
let world: World;
beforeAll(async () => {
  backend = await startSimulatorBackend();
  world = await openWorld(backend);
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await backend?.[Symbol.asyncDispose]();
});
afterEach(() => {
  world.tap.reset();
  backend.simulator.clearFaults();
  backend.simulator.controllers.resume();
});

const TIMING = { firstLookMs: 10, beatMs: 50 };

describe("operations whose rollouts run", () => {
  const readsOf = ({ ref }: Made, requests: readonly { readonly method: string; readonly path: string }[]) =>
    requests.filter(({ method, path }) => method === "GET" && path.endsWith(`/${ref.name}`));

  test("are followed by one list and one watch together, held while one of them is open, and not asked about", async () => {
    await using restartd = restartdInMemory({ clusters: contextsOf(backend.kubeconfig, ["admin"]), timing: TIMING });
    const objects = await Promise.all(Array.from({ length: 20 }, () => make(world, "deployments")));
    backend.simulator.controllers.pause();
    const before = backend.simulator.requests.length;
    for (const { ref } of objects) await restartd.client.restart({ ...ref, cluster: "admin" });
    const store = await restartd.store;
    const operations = () => store.list({ where: [], limit: 100 });
    await eventually(async () => (await operations()).every(({ progress }) => progress.includes("to be observed")));
    expect(backend.simulator.watches).toBe(1);
    backend.simulator.controllers.resume();
    await eventually(async () => (await store.open()).length === 0);
    expect((await operations()).map(({ state }) => state)).toEqual(objects.map(() => "SUCCEEDED"));
    const requests = backend.simulator.requests.slice(before);
    // What is not known is read once before its first restart, which is no look.
    for (const one of objects) expect(readsOf(one, requests)).toHaveLength(1);
    expect(requests.filter(({ path }) => path.startsWith("/apis/apps/v1/deployments?"))).toHaveLength(2);
    await eventually(async () => backend.simulator.watches === 0);
  });

  test("are looked at where nobody may watch", async () => {
    const restartd = world.another({ timing: TIMING });
    const object = await make(world, "deployments");
    world.tap.on(
      ({ path }) => path.endsWith("/deployments"),
      () => ({
        status: 403,
        body: JSON.stringify({ kind: "Status", status: "Failure", code: 403, reason: "Forbidden" }),
      }),
      100,
    );
    expect(await restart(restartd, object.ref)).toMatchObject({ code: "ok" });
    const store = await restartd.store;
    await eventually(async () => (await store.open()).length === 0);
    expect((await store.list({ where: [], limit: 1 }))[0]?.state).toBe("SUCCEEDED");
    expect(readsOf(object, world.tap.requests).length).toBeGreaterThan(1);
  });
});

const REF = {
  cluster: "prod",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};
const OURS = "2026-01-31T12:00:00.000000001Z";
const kind = findKind(REF.group, REF.resource);
if (kind === undefined) throw new Error("no such kind");
const evidence = { mechanism: "template annotation", restarted_at: OURS, uid: "u1", generation: 7 };
const operation: OperationView = { name: "operations/1", target: "web", state: "SENT", evidence, vendorJob: OURS };

const web = (resourceVersion: number, generation: number, value = OURS, uid = "u1") => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { namespace: "shop", name: "web", uid, resourceVersion: String(resourceVersion), generation },
  spec: {
    replicas: 1,
    template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": value } } },
  },
  status: { observedGeneration: generation - 1 },
});

const NOT_FOUND = {
  kind: "Status",
  apiVersion: "v1",
  status: "Failure",
  message: 'deployments.apps "web" not found',
  reason: "NotFound",
  details: { name: "web", group: "apps", kind: "deployments" },
  code: 404,
};

/** Follows on a script. `get` answers reads of the object. */
function following(
  get: () => Reply = () => answer(200, web(1, 7)),
  look: (count: number) => string | undefined = () => undefined,
) {
  let looks = 0;
  const podProblems = { look: async () => look(looks++) };
  const streams: Stream[] = [];
  const { client, asked } = scriptedClient((request) => {
    if (request.type === "get") return get();
    if (request.type === "list") return answer(200, { metadata: { resourceVersion: "10" }, items: [web(10, 7)] });
    const stream = newStream();
    streams.push(stream);
    return stream;
  });
  const watches = createWatchHub("prod", client, { random: () => 0, wait: async () => void (await turn()) });
  const seen: Observation[] = [];
  let lost = 0;
  const cluster = { client, clock: testClock(), podProblems, watches };
  const begin = (view = operation) =>
    followRestart({ cluster, kind: kind as NonNullable<typeof kind>, ref: REF }, view, {
      seen: (observation) => void seen.push(observation),
      lost: () => void lost++,
    });
  return {
    begin,
    asked,
    streams,
    seen,
    looks: () => looks,
    lost: () => lost,
    watches,
    [Symbol.dispose]: () => watches[Symbol.dispose](),
  };
}

async function until(condition: () => boolean) {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 1000) throw new Error("it never came to that");
    await turn();
  }
}

describe("followRestart()", () => {
  test("shows the object as it is, and each change of it", async () => {
    using script = following();
    script.begin();
    await until(() => script.streams.length === 1);
    script.streams[0]?.send({ type: "MODIFIED", object: web(11, 8, "2026-02-02T00:00:00Z") });
    await until(() => script.seen.length === 2);
    expect(script.seen).toMatchObject([
      { kind: "running" },
      { kind: "failed", failure: { reason: "ROLLOUT_SUPERSEDED" } },
    ]);
  });

  test("takes nothing for an end that was there before the restart", async () => {
    using script = following();
    script.begin();
    await until(() => script.streams.length === 1);
    script.streams[0]?.send({ type: "MODIFIED", object: web(9, 6, "2026-01-01T00:00:00Z") });
    script.streams[0]?.send({ type: "MODIFIED", object: web(11, 7) });
    await until(() => script.seen.length === 2);
    expect(script.seen.map((one) => one.kind)).toEqual(["running", "running"]);
  });

  test("makes sure of what seems to be gone, or another object: it may have been before", async () => {
    let now: unknown = web(12, 7);
    using script = following(() => (now === undefined ? answer(404, NOT_FOUND) : answer(200, now)));
    script.begin();
    await until(() => script.streams.length === 1);
    script.streams[0]?.send({ type: "DELETED", object: web(8, 3, "2026-01-01T00:00:00Z", "u0") });
    await until(() => script.seen.length === 2);
    script.streams[0]?.send({ type: "ADDED", object: web(9, 1, "2026-01-01T00:00:00Z", "u0") });
    await until(() => script.seen.length === 3);
    expect(script.seen.map((one) => one.kind)).toEqual(["running", "running", "running"]);
    now = undefined;
    script.streams[0]?.send({ type: "DELETED", object: web(13, 7) });
    await until(() => script.seen.length === 4);
    expect(script.seen[3]).toMatchObject({ kind: "failed", failure: { reason: "TARGET_NOT_FOUND" } });
  });

  test("shows what came a moment before it began", async () => {
    using script = following();
    const other = script.watches.follow({ ...REF, name: "other" }, () => {});
    await until(() => script.streams.length === 1);
    script.streams[0]?.send({ type: "MODIFIED", object: web(11, 8, "2026-02-02T00:00:00Z") });
    script.streams[0]?.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "12" } } });
    for (let turns = 0; turns < 20; turns++) await turn();
    const end = script.begin();
    expect(script.seen).toMatchObject([{ kind: "failed", failure: { reason: "ROLLOUT_SUPERSEDED" } }]);
    expect(script.asked.map(({ type }) => type)).toEqual(["list", "watch"]);
    end?.();
    other();
    await until(() => script.streams[0]?.left === true);
  });

  test("is lost when the watch is, or what it says cannot be made sure of", async () => {
    using script = following(() => refusal(500, "no", "InternalError"));
    script.begin();
    await until(() => script.streams.length === 1);
    script.streams[0]?.send({ type: "DELETED", object: web(13, 7) });
    await until(() => script.lost() === 1);
    await until(() => script.streams[0]?.left === true);
  });

  test("asks the pods why, as long as nothing of the workload changes, ever less often", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      using script = following(undefined, (count) => `pod web-1: ${count}`);
      const end = script.begin();
      await until(() => script.seen.length === 1);
      expect(script.seen[0]?.progress).not.toContain("pod");
      for (const [index, quietMs] of [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].entries()) {
        await vi.advanceTimersByTimeAsync(quietMs - 1);
        expect(script.seen).toHaveLength(index + 1);
        await vi.advanceTimersByTimeAsync(1);
        await until(() => script.seen.length === index + 2);
        expect(script.seen[index + 1]).toMatchObject({
          kind: "running",
          progress: `${script.seen[0]?.progress}; pod web-1: ${index}`,
        });
      }
      script.streams[0]?.send({ type: "MODIFIED", object: web(11, 7) });
      await until(() => script.seen.length === 9);
      expect(script.seen[8]?.progress).toBe(script.seen[0]?.progress);
      await vi.advanceTimersByTimeAsync(2_000);
      await until(() => script.seen.length === 10);
      end?.();
      await vi.advanceTimersByTimeAsync(600_000);
      expect(script.looks()).toBe(8);
    } finally {
      vi.useRealTimers();
    }
  });

  test("asks once where nobody may look, and not about what has ended", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      using script = following();
      script.begin();
      await until(() => script.seen.length === 1);
      await vi.advanceTimersByTimeAsync(600_000);
      expect([script.looks(), script.seen.length]).toEqual([1, 1]);
      script.streams[0]?.send({ type: "MODIFIED", object: web(11, 8, "2026-02-02T00:00:00Z") });
      await until(() => script.seen.length === 2);
      await vi.advanceTimersByTimeAsync(600_000);
      expect(script.looks()).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  test("does not begin where nothing tells what is later than the restart", () => {
    using script = following();
    const { generation: _, ...unknown } = evidence;
    expect(script.begin({ ...operation, evidence: unknown })).toBeUndefined();
    expect(script.asked).toEqual([]);
  });
});
