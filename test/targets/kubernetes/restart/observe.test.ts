import { randomUUID } from "node:crypto";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { RestartRequestSchema } from "../../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import type { OperationState, OperationView } from "../../../../src/core/operation.ts";
import type { RunningTarget } from "../../../../src/core/target.ts";
import type { RestartAction } from "../../../../src/targets/kubernetes/action.ts";
import { evaluateRestart } from "../../../../src/targets/kubernetes/restart/observe.ts";
import { findKind } from "../../../../src/targets/kubernetes/workload/kinds.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";
import {
  eventually,
  IN_PROGRESS,
  type Made,
  type MakeOptions,
  make,
  observed,
  openWorld,
  type Ref,
  restart,
  subjectOf,
  targetOf,
  type World,
} from "../behaviour/world.ts";
import { newAsking, openAlone } from "../sending.ts";

const RESTARTED_AT = "kubectl.kubernetes.io/restartedAt";
const EARLIER = "2026-01-02T03:04:05Z";
const ANOTHER = "2026-05-06T07:08:09Z";

let backend: SimulatorBackend;
let world: World;
let target: RunningTarget;
let action: RestartAction;
beforeAll(async () => {
  backend = await startSimulatorBackend();
  world = await openWorld(backend);
  target = openAlone(backend.kubeconfig, ["patcher", "blind", "admin"]);
  action = target.actions[0] as RestartAction;
});
afterAll(async () => {
  await target?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
  await backend?.[Symbol.asyncDispose]();
});
afterEach(() => {
  backend.simulator.clearFaults();
  backend.simulator.controllers.resume();
  backend.simulator.pods.resume();
});

const requestFor = (ref: Ref, cluster = "patcher") => create(RestartRequestSchema, { ...ref, cluster });

/** A restart as operations make it, with what they would have recorded. */
async function send(ref: Ref, cluster = "patcher") {
  const request = requestFor(ref, cluster);
  const asking = newAsking();
  const plan = await action.prepare(request, asking);
  let planned: JsonObject = {};
  const permit = async (evidence: JsonObject) => {
    planned = evidence;
    return () => {};
  };
  const sent = await action.send(request, plan, { ...asking, operation: "operations/1", permit });
  return { planned, evidence: sent.evidence ?? {}, sent };
}

const view = (state: OperationState, ref: Ref, evidence: JsonObject): OperationView => ({
  name: "operations/1",
  target: targetOf(ref),
  state,
  evidence,
  vendorJob: "",
});

const observe = (state: OperationState, ref: Ref, evidence: JsonObject, cluster = "patcher") =>
  action.observe(view(state, ref, evidence), requestFor(ref, cluster), new AbortController().signal);

const annotate = (object: Made, value: string | null) =>
  object.merge({ spec: { template: { metadata: { annotations: { [RESTARTED_AT]: value } } } } });

const response = create(EmptySchema);

/** A failed restart that was applied. */
const failedWith = (reason: string, message: string, metadata: Record<string, unknown>) => ({
  kind: "failed",
  failure: expect.objectContaining({
    reason,
    message,
    outcome: "applied",
    metadata: { cluster: "patcher", ...metadata },
  }),
});

describe("observe() of a restart that was sent", () => {
  test("it runs, in kubectl's words, until it is complete", async () => {
    const { ref } = await observed(await make(world, "deployments"));
    backend.simulator.controllers.pause();
    const { evidence } = await send(ref);
    expect(await observe("SENT", ref, evidence)).toEqual({
      kind: "running",
      response,
      progress: "Waiting for deployment spec update to be observed...",
      againMs: 1_000,
    });
    backend.simulator.pods.pause();
    backend.simulator.controllers.resume();
    const running = await eventually(async () => {
      const seen = await observe("SENT", ref, evidence);
      return !seen.progress?.includes("to be observed") && seen;
    });
    expect(running).toMatchObject({
      kind: "running",
      progress: expect.stringMatching(/^Waiting for deployment ".*" rollout to finish: /),
    });
    backend.simulator.pods.resume();
    const done = await eventually(async () => {
      const seen = await observe("SENT", ref, evidence);
      return seen.kind !== "running" && seen;
    });
    expect(done).toEqual({
      kind: "succeeded",
      response,
      progress: `deployment "${ref.name}" successfully rolled out`,
    });
  });

  test.each([
    ["deployments", { replicas: 0 }],
    ["statefulsets", { replicas: 1 }],
    ["daemonsets", {}],
    ["rollouts", { replicas: 1 }],
  ] as const)("%s %j come to their end", async (resource, spec) => {
    const { ref } = await make(world, resource, { spec });
    const { evidence } = await send(ref);
    const done = await eventually(async () => {
      const seen = await observe("SENT", ref, evidence);
      return seen.kind !== "running" && seen;
    });
    expect(done).toMatchObject({ kind: "succeeded", response });
  });

  test("one look is one read, and no watch", async () => {
    const { ref, path } = await make(world, "deployments");
    const { evidence } = await send(ref);
    backend.simulator.clearRequests();
    await observe("SENT", ref, evidence);
    const asked = backend.simulator.requests.filter((request) => request.path.startsWith(path));
    expect(asked.map(({ method }) => method)).toEqual(["GET"]);
    expect(backend.simulator.watches).toBe(0);
  });

  test("who may not read sees it in a dry run", async () => {
    const object = await make(world, "deployments", { spec: { replicas: 0 } });
    const { evidence } = await send(object.ref, "blind");
    const done = await eventually(async () => {
      const seen = await observe("SENT", object.ref, evidence, "blind");
      return seen.kind !== "running" && seen;
    });
    expect(done.kind).toBe("succeeded");
    expect(await object.generation()).toBe(2);
  });

  test("a rollout that exceeds its progress deadline has failed", async () => {
    const { ref } = await observed(await make(world, "deployments", { spec: { progressDeadlineSeconds: 1 } }));
    backend.simulator.pods.pause();
    const { evidence } = await send(ref);
    const ended = await eventually(async () => {
      const seen = await observe("SENT", ref, evidence);
      return seen.kind !== "running" && seen;
    });
    const message = `deployment "${ref.name}" exceeded its progress deadline`;
    expect(ended).toMatchObject(
      failedWith("PROGRESS_DEADLINE_EXCEEDED", message, {
        desired: "1",
        updated: expect.any(String),
        ready: expect.any(String),
        available: expect.any(String),
      }),
    );
  });

  test("a rollout that is paused goes on when it is resumed", async () => {
    const object = await observed(await make(world, "deployments"));
    backend.simulator.pods.pause();
    const { evidence } = await send(object.ref);
    await object.merge({ spec: { paused: true } });
    await observed(object);
    expect(await observe("SENT", object.ref, evidence)).toMatchObject({ kind: "running", againMs: 1_000 });
    await object.merge({ spec: { paused: false } });
    backend.simulator.pods.resume();
    await eventually(async () => (await observe("SENT", object.ref, evidence)).kind === "succeeded");
  });

  test("one whose strategy became OnDelete ends: its pods change only when somebody deletes them", async () => {
    const object = await make(world, "statefulsets");
    const { evidence } = await send(object.ref);
    await object.merge({ spec: { updateStrategy: { type: "OnDelete", rollingUpdate: null } } });
    const message = `${subjectOf(object.ref)} has the update strategy OnDelete: its pods change only when somebody deletes them`;
    expect(await observe("SENT", object.ref, evidence)).toMatchObject(
      failedWith("UPDATE_STRATEGY_ON_DELETE", message, {}),
    );
  });

  test("one that kubectl does not judge has succeeded when it was applied", async () => {
    const object = await make(world, "statefulsets");
    const { evidence } = await send(object.ref);
    const { spec, ...rest } = await object.read();
    const kind = findKind("apps", "statefulsets");
    if (kind === undefined) throw new Error("StatefulSets are no kind");
    const ref = { cluster: "patcher", ...object.ref };
    const judged = { ...rest, spec: { ...spec, updateStrategy: { type: "Recreate" } } };
    expect(evaluateRestart({ kind, ref, now: Date.now() }, view("SENT", ref, evidence), judged, undefined)).toEqual({
      kind: "succeeded",
      response,
      progress: "the restart was applied; rollout status is only available for RollingUpdate strategy type",
    });
  });

  test.each([
    ["another restart", ANOTHER, "was superseded by another one"],
    ["none", null, "was taken back"],
  ])("%s in place: superseded", async (_what, value, sentence) => {
    const object = await make(world, "deployments");
    const { evidence, sent } = await send(object.ref);
    await annotate(object, value);
    expect(await observe("SENT", object.ref, evidence)).toMatchObject(
      failedWith("ROLLOUT_SUPERSEDED", `the restart of ${subjectOf(object.ref)} ${sentence} before it had ended`, {
        restarted_at: sent.vendorJob,
        superseded_by: value ?? "",
      }),
    );
  });

  test("an object that was made anew, even with the same value in place", async () => {
    const { ref } = await make(world, "deployments");
    const { evidence } = await send(ref);
    const { metadata } = backend.simulator.recreate(ref.group, ref.resource, ref.namespace, ref.name);
    expect(await observe("SENT", ref, evidence)).toMatchObject(
      failedWith("OBJECT_REPLACED", `${subjectOf(ref)} was deleted and made anew before its restart had ended`, {
        restarted_at: evidence.restarted_at,
        old_uid: evidence.uid,
        new_uid: metadata.uid,
      }),
    );
  });

  test("an object that is gone", async () => {
    const object = await make(world, "deployments");
    const { evidence } = await send(object.ref);
    await remove(object);
    const message = `${subjectOf(object.ref)} was deleted before its restart had ended`;
    expect(await observe("SENT", object.ref, evidence)).toMatchObject(
      failedWith("TARGET_NOT_FOUND", message, { restarted_at: evidence.restarted_at }),
    );
  });

  test("a look that fails concludes nothing", async () => {
    const { ref } = await make(world, "deployments");
    const { evidence } = await send(ref);
    backend.simulator.inject({ method: "GET", path: new RegExp(ref.name), disconnect: "before-reading" });
    await expect(observe("SENT", ref, evidence)).rejects.toMatchObject({ reason: "CLUSTER_UNREACHABLE" });
    await expect(observe("SENT", ref, evidence, "atlantis")).rejects.toMatchObject({ reason: "CLUSTER_NOT_FOUND" });
    const pod = { ...ref, group: "", resource: "pods" };
    await expect(observe("SENT", pod, evidence)).rejects.toMatchObject({ reason: "RESTART_NOT_SUPPORTED" });
  });
});

describe("observe() of a restart of which nobody knows whether it was applied", () => {
  /** What would have been recorded of a restart with this value, of an object as it is. */
  const plannedFor = async (object: Made, value: string) => {
    const { metadata } = await object.read();
    return {
      mechanism: object.ref.resource === "rollouts" ? "spec.restartAt" : "template annotation",
      restarted_at: value,
      baseline: (await object.restartedAt()) ?? "",
      uid: metadata.uid,
      generation_before: metadata.generation,
    };
  };
  const newObject = async (options: MakeOptions = { annotations: { [RESTARTED_AT]: EARLIER } }) => {
    const object = await make(world, "deployments", options);
    return { object, planned: await plannedFor(object, "2026-03-04T05:06:07.123456789Z") };
  };

  test("its value in place proves that it was applied", async () => {
    const object = await make(world, "deployments", { spec: { replicas: 0 } });
    const { planned, evidence, sent } = await send(object.ref);
    expect(planned).not.toHaveProperty("generation");
    const proven = { response, vendorJob: sent.vendorJob, evidence };
    expect(await observe("UNKNOWN", object.ref, planned)).toMatchObject(proven);
    await observed(object);
    expect(await observe("UNKNOWN", object.ref, planned)).toMatchObject({ ...proven, kind: "succeeded" });
  });

  test("its value in place proves it too where nothing was known before", async () => {
    const { ref } = await make(world, "deployments", { annotations: { a: "1" } });
    const { planned, evidence } = await send(ref, "blind");
    expect(Object.keys(planned)).toEqual(["mechanism", "restarted_at"]);
    const seen = await observe("UNKNOWN", ref, planned, "blind");
    expect(seen.evidence).toEqual(evidence);
    expect(["running", "succeeded"]).toContain(seen.kind);
  });

  test("its value in an object that has not changed since before proves nothing", async () => {
    const { object, planned } = await newObject();
    const inPlace = { ...planned, restarted_at: EARLIER };
    expect(await observe("UNKNOWN", object.ref, inPlace)).toMatchObject({
      kind: "unclear",
      progress: "its value is in place, and the generation did not move",
    });
  });

  test.each([
    ["a value from before", { annotations: { [RESTARTED_AT]: EARLIER } }],
    ["no value", {}],
  ])("%s, in an object that has not changed: no trace", async (_what, options) => {
    const { object, planned } = await newObject(options);
    await observed(object); // what its controller writes is no change of its spec
    const progress = `${subjectOf(object.ref)} shows no trace of it`;
    expect(await observe("UNKNOWN", object.ref, planned)).toEqual({ kind: "absent", againMs: 1_000, progress });
  });

  test("an Argo Rollout: whole seconds are compared with what was in place", async () => {
    const object = await make(world, "rollouts", { spec: { restartAt: "2026-05-04T03:02:01Z" } });
    const planned = await plannedFor(object, "2026-05-04T03:02:02Z");
    expect(await observe("UNKNOWN", object.ref, planned)).toMatchObject({ kind: "absent" });
    await object.merge({ spec: { restartAt: "2026-05-04T03:02:02Z" } });
    const seen = await observe("UNKNOWN", object.ref, planned);
    expect(seen).toMatchObject({ response, vendorJob: "2026-05-04T03:02:02Z" });
  });

  test("the value from before that was put back is not taken for no trace", async () => {
    const { object, planned } = await newObject();
    await annotate(object, planned.restarted_at);
    await annotate(object, EARLIER); // kubectl rollout undo
    expect(await observe("UNKNOWN", object.ref, planned)).toMatchObject({
      kind: "unclear",
      progress: "the restart from before is in place, in an object that has changed since",
    });
  });

  test("one change, and not to its value: no trace, for it and that change would have been two", async () => {
    const { object, planned } = await newObject();
    await annotate(object, ANOTHER);
    expect(await observe("UNKNOWN", object.ref, planned)).toMatchObject({ kind: "absent" });
    const scaled = await newObject();
    await scaled.object.merge({ spec: { replicas: 3 } });
    expect(await observe("UNKNOWN", scaled.object.ref, scaled.planned)).toMatchObject({ kind: "absent" });
  });

  test("another restart in place hides it after more than one change", async () => {
    const { object, planned } = await newObject();
    await annotate(object, planned.restarted_at);
    await annotate(object, ANOTHER);
    expect(await observe("UNKNOWN", object.ref, planned)).toMatchObject({
      kind: "unclear",
      progress: "another restart is in place",
    });
  });

  test("nothing known from before: unclear", async () => {
    const { object, planned } = await newObject();
    const { mechanism, restarted_at } = planned;
    expect(await observe("UNKNOWN", object.ref, { mechanism, restarted_at })).toMatchObject({
      kind: "unclear",
      progress: "what was in place before could not be read",
    });
    expect(await observe("UNKNOWN", object.ref, {})).toMatchObject({ kind: "unclear" });
  });

  test("an object that was made anew, or is gone: unclear", async () => {
    const { object, planned } = await newObject();
    const { ref } = object;
    backend.simulator.recreate(ref.group, ref.resource, ref.namespace, ref.name);
    expect(await observe("UNKNOWN", ref, planned)).toMatchObject({
      kind: "unclear",
      progress: `${subjectOf(ref)} was deleted and made anew`,
    });
    await remove(object);
    expect(await observe("UNKNOWN", ref, planned)).toMatchObject({
      kind: "unclear",
      progress: `${subjectOf(ref)} does not exist any more`,
    });
  });
});

describe("a restart whose answer is lost, to its end", () => {
  const looked = () => world.another({ timing: { firstLookMs: 10, settleMs: 0, beatMs: 100 } });

  test("that was not applied: NOT_OBSERVED, and the next call restarts", async () => {
    const object = await make(world, "deployments");
    const restartd = looked();
    const requestId = randomUUID();
    world.tap.on(
      ({ method }) => method === "PATCH",
      () => undefined,
    );
    expect(await restart(restartd, { ...object.ref, requestId })).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    const store = await restartd.store;
    await eventually(async () => (await store.open()).length === 0);
    const [operation] = await store.list({ where: [], limit: 1 });
    expect(operation).toMatchObject({ state: "NOT_OBSERVED", blocks: false });
    const again = await restart(restartd, { ...object.ref, requestId });
    expect(again).toMatchObject({ code: "Aborted", reason: "RESTART_NOT_OBSERVED", outcome: "not_applied" });
    expect(world.tap.writes).toHaveLength(1);
    expect(await restart(restartd, object.ref)).toEqual({ code: "ok", warnings: [] });
    expect(await object.generation()).toBe(2);
  });

  test("that was applied: it is found, and goes on to SUCCEEDED", async () => {
    const object = await make(world, "deployments");
    const restartd = looked();
    const requestId = randomUUID();
    world.tap.on(
      ({ method }) => method === "PATCH",
      async (_request, forward) => {
        world.tap.on(
          ({ method }) => method === "GET",
          () => undefined,
        );
        await forward();
        return undefined;
      },
    );
    expect(await restart(restartd, { ...object.ref, requestId })).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    const store = await restartd.store;
    await eventually(async () => (await store.open()).length === 0);
    const [operation] = await store.list({ where: [], limit: 1 });
    expect(operation).toMatchObject({ state: "SUCCEEDED", vendorJob: await object.restartedAt() });
    expect(await restart(restartd, { ...object.ref, requestId })).toMatchObject({ code: "ok" });
    expect(await object.generation()).toBe(2);
  });

  test("that cannot be told: UNRESOLVED, and the target stays blocked", async () => {
    const object = await make(world, "deployments");
    const restartd = looked();
    world.tap.on(
      ({ method }) => method === "PATCH",
      async (_request, forward) => {
        await forward();
        await annotate(object, ANOTHER);
        return undefined;
      },
    );
    expect(await restart(restartd, object.ref)).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    const store = await restartd.store;
    const [operation] = await eventually(async () => {
      const found = await store.list({ where: [], limit: 1 });
      return found[0]?.state === "UNRESOLVED" && found;
    });
    expect(operation?.blocks).toBe(true);
    expect(await restart(restartd, object.ref)).toMatchObject(IN_PROGRESS);
  });
});

async function remove({ path }: Made): Promise<void> {
  await backend.request("DELETE", `${path}?propagationPolicy=Background`);
  await eventually(async () => (await backend.request("GET", path)).status === 404);
}
