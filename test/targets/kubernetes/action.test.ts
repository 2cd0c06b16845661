import { create, type JsonObject } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RestartRequestSchema } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { Failure } from "../../../src/core/errors.ts";
import type { PrepareContext, SendContext } from "../../../src/core/operation.ts";
import type { RunningTarget } from "../../../src/core/target.ts";
import type { RestartAction } from "../../../src/targets/kubernetes/action.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../support/simulator-backend.ts";
import { isWrite } from "../../support/wiretap.ts";
import { type Made, make, openWorld, type Ref, targetOf, type World } from "./behaviour/world.ts";
import { newAsking, openAlone } from "./sending.ts";

let backend: SimulatorBackend;
let world: World;
let target: RunningTarget;
let action: RestartAction;
beforeAll(async () => {
  backend = await startSimulatorBackend();
  world = await openWorld(backend);
});
beforeEach(() => {
  target = openAlone(world.tap.kubeconfig, ["patcher", "blind"]);
  action = target.actions[0] as RestartAction;
});
afterEach(async () => {
  await target[Symbol.asyncDispose]();
  expect(world.tap.mistakes).toEqual([]);
  world.tap.reset();
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await backend?.[Symbol.asyncDispose]();
});

const requestFor = (ref: Ref, cluster = "patcher") => create(RestartRequestSchema, { ...ref, cluster });

/** Does what operations do; `permit` is told how many writes had arrived when it was asked. */
async function send(
  ref: Ref,
  permit: (evidence: JsonObject, writes: number) => () => void,
  { asking = newAsking(), cluster = "patcher" }: { asking?: PrepareContext; cluster?: string } = {},
) {
  const request = requestFor(ref, cluster);
  const plan = await action.prepare(request, asking);
  expect(world.tap.writes, "nothing is sent before a permit").toEqual([]);
  const sending: SendContext = {
    ...asking,
    operation: "operations/1",
    permit: async (evidence) => permit(evidence, world.tap.writes.length),
  };
  return action.send(request, plan, sending);
}

/** The value that the write put in place. */
const sentValue = (body: string): unknown =>
  (JSON.parse(body) as { op: string; path: string; value: unknown }[]).find(({ op }) => op === "add")?.value;

const flatValue = (value: unknown): unknown =>
  typeof value === "object" && value !== null ? flatValue(Object.values(value)[0]) : value;

const uidOf = async (object: Made): Promise<string> => (await object.read()).metadata.uid;

describe("createRestartAction()", () => {
  test("it says what it is about, and how long doubt lasts", () => {
    const ref = { group: "", version: "v1", resource: "pods", namespace: "shop", name: "web" };
    expect(action.targetOf(requestFor(ref))).toBe(targetOf(ref));
    expect(action.actionOf(requestFor(ref))).toBe("restart");
    expect(action).toMatchObject({ blocksUntil: "applied", settleMs: 70_000 });
    expect(action.method.name).toBe("Restart");
  });

  test("what is needed to find out later is recorded before the write leaves", async () => {
    const object = await make(world, "deployments", {
      annotations: { "kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z" },
    });
    const asked: unknown[] = [];
    const sent = await send(object.ref, (evidence, writes) => {
      asked.push([evidence, writes]);
      return () => {};
    });
    const value = await object.restartedAt();
    const evidence = {
      mechanism: "template annotation",
      restarted_at: value,
      baseline: "2026-01-02T03:04:05Z",
      uid: await uidOf(object),
      generation_before: 1,
    };
    expect(asked).toEqual([[evidence, 0]]);
    expect(sent).toEqual({
      response: create(EmptySchema),
      vendorJob: value,
      evidence: { ...evidence, generation: 2 },
    });
  });

  test("a clock that is two minutes behind the API server's is told of, once", async () => {
    const warnings: unknown[] = [];
    await using skewed = openAlone(world.tap.kubeconfig, ["patcher"], {
      now: () => new Date(Date.now() - 120_000),
      warn: (message, fields) => warnings.push([message, fields.cluster]),
    });
    const object = await make(world, "deployments");
    const late = skewed.actions[0] as RestartAction;
    await late.prepare(requestFor(object.ref), newAsking());
    await late.prepare(requestFor(object.ref), newAsking({ validateOnly: true }));
    expect(warnings).toEqual([
      [expect.stringMatching(/^our clock is 1(19|20) s behind the API server's: /), "patcher"],
    ]);
  });

  test("an object that is remembered: its last restart is what was in place before", async () => {
    const object = await make(world, "deployments");
    const asked: JsonObject[] = [];
    const permit = (evidence: JsonObject) => {
      asked.push(evidence);
      return () => {};
    };
    const first = await send(object.ref, permit);
    world.tap.reset();
    await send(object.ref, permit);
    expect(world.tap.requests.map(({ method }) => method)).toEqual(["PATCH"]);
    expect(asked.map(({ baseline, generation_before }) => [baseline, generation_before])).toEqual([
      ["", 1],
      [first.vendorJob, 2],
    ]);
  });

  test("an object that may not be read: what was in place is left open", async () => {
    const object = await make(world, "deployments", { annotations: { a: "1" } });
    const asked: JsonObject[] = [];
    const permit = (evidence: JsonObject) => {
      asked.push(evidence);
      return () => {};
    };
    const sent = await send(object.ref, permit, { cluster: "blind" });
    expect(asked).toEqual([{ mechanism: "template annotation", restarted_at: await object.restartedAt() }]);
    expect(sent.evidence).toEqual({ ...asked[0], uid: await uidOf(object), generation: 2 });
  });

  test("a permit that is refused: nothing is sent", async () => {
    const object = await make(world, "deployments");
    const refused = new Failure("STORE_UNAVAILABLE", "the store is away");
    const asking = newAsking();
    const sending = send(
      object.ref,
      () => {
        throw refused;
      },
      { asking },
    );
    await expect(sending).rejects.toBe(refused);
    expect(world.tap.writes).toEqual([]);
    expect(asking.call.outcome).toBe("not_applied");
  });

  test.each([
    ["a Failure", new Failure("DEADLINE_EXCEEDED", "held up for too long; nothing was sent")],
    ["a mistake", new TypeError("x is not a function")],
  ])(
    "a permit that has run out when the write would leave: %s is thrown as it is, and nothing is sent",
    async (_what, late) => {
      const object = await make(world, "deployments");
      const asking = newAsking();
      const sending = send(
        object.ref,
        () => () => {
          throw late;
        },
        { asking },
      );
      await expect(sending).rejects.toBe(late);
      expect(world.tap.writes).toEqual([]);
      expect(asking.call.outcome).toBe("not_applied");
      expect(await object.generation()).toBe(1);
    },
  );

  test("a write that its guards refused: the second has a permit and a value of its own", async () => {
    const object = await make(world, "deployments");
    world.tap.on(isWrite, async (_request, forward) => {
      await object.merge({ spec: { template: { metadata: { annotations: { mine: "1" } } } } });
      return forward();
    });
    const asked: [JsonObject, number][] = [];
    const left: number[] = [];
    const sent = await send(object.ref, (evidence, writes) => {
      asked.push([evidence, writes]);
      return () => void left.push(world.tap.writes.length);
    });
    expect(world.tap.writes.map(({ status }) => status)).toEqual([422, 200]);
    expect(asked.map(([, writes]) => writes)).toEqual([0, 1]);
    expect(left).toEqual([0, 1]);
    expect(world.tap.writes.map(({ body }) => flatValue(sentValue(body)))).toEqual(
      asked.map(([{ restarted_at }]) => restarted_at),
    );
    expect(asked.map(([{ generation_before }]) => generation_before)).toEqual([1, 2]);
    expect(sent.evidence).toEqual({ ...asked[1]?.[0], generation: 3 });
  });

  test("a permit that takes the rest of the caller's time: nothing is sent", async () => {
    const object = await make(world, "deployments");
    let remaining = 60_000;
    const sending = send(
      object.ref,
      () => {
        remaining = 20;
        return () => {};
      },
      { asking: newAsking({ remainingMs: () => remaining }) },
    );
    await expect(sending).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED", outcome: "not_applied" });
    expect(world.tap.writes).toEqual([]);
  });

  test("a check alone asks the API server for a dry run, and nobody for a permit", async () => {
    const object = await make(world, "deployments", { spec: { replicas: 0 } });
    const warnings: string[] = [];
    const asking = newAsking({ validateOnly: true, warn: (added) => void warnings.push(...added) });
    await action.prepare({ ...requestFor(object.ref), validateOnly: true }, asking);
    expect(
      world.tap.requests.filter(({ method }) => method === "PATCH").map(({ query }) => query.get("dryRun")),
    ).toEqual(["All"]);
    expect(warnings).toEqual(["NO_REPLICAS"]);
    expect(asking.call.outcome).toBe("not_applied");
    expect(await object.generation()).toBe(1);
  });
});
