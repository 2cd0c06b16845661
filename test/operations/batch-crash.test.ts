import { join } from "node:path";
import { create, toJson } from "@bufbuild/protobuf";
import { createContextValues, createHandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { InstanceService, RestartInstancesRequestSchema } from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { callKey, newCall, OPERATION_HEADER } from "../../src/core/call.ts";
import { type Failure, type Outcome, toConnectError } from "../../src/core/errors.ts";
import { parseFailure, registry } from "../../src/core/status.ts";
import type { Failpoint } from "../../src/operations/records/failpoint.ts";
import { createRunner, type Runner } from "../../src/operations/runner.ts";
import { ENDED, type OperationRecord } from "../../src/operations/store/record.ts";
import { openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import type { Store } from "../../src/operations/store/store.ts";
import { createFakeVendor, type FakeVendor, type Script } from "../support/fake-action.ts";
import { createFakeBatch, type FakeBatch } from "../support/fake-batch.ts";
import { temporaryFolder } from "../support/folder.ts";
import { createMemoryDatabase } from "../support/memory-store.ts";
import { createGate, type Gate, gated } from "./gate.ts";

type Point = Failpoint | "permitted" | "answered";

/** Where the process that runs a call stops, counted over all of the call's parts, and for how long (ms): for ever when undefined. */
interface Stop {
  readonly at: Point;
  readonly time: number;
  readonly ms: number | undefined;
}

/** Whom the call is kept by, and who takes over. */
interface World extends AsyncDisposable {
  /** The store of the process that stops. */
  readonly first: Store;
  /** How long (ms) a permit is good for. */
  readonly sendWindowMs: number;
  /** The store of the next one; called when the first one has stopped. */
  readonly second: () => Promise<Store>;
}

interface Options {
  readonly open: () => Promise<World>;
  /** Replaces the batch of the process that takes over by a worse one. */
  readonly decorate?: (batch: FakeBatch, vendor: FakeVendor) => FakeBatch;
}

const TIMING = { leaseMs: 100, beatMs: 20, firstLookMs: 5, settleMs: 250 };
const ID = "6f9f4a58-0f0a-4bb1-9d5c-6b0f2c8f0001";

/** Each target's vendor: what becomes of its request. */
const SCRIPTS: Readonly<Record<string, Script>> = { a: "ok", b: "reset", c: "dropped", d: "refused", e: "job fails" };
const IDS = Object.keys(SCRIPTS);
const EXECUTED: ReadonlySet<string> = new Set(["a", "b", "e"]);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Scene {
  readonly sendWindowMs: number;
  readonly vendor: FakeVendor;
  readonly wrong: Set<string>;
}

async function startProcess(
  store: Store,
  { vendor, sendWindowMs }: Scene,
  failpoint: (point: Point) => Promise<void>,
  decorate: NonNullable<Options["decorate"]>,
): Promise<{ runner: Runner; batch: FakeBatch }> {
  const batch = decorate(createFakeBatch({ vendor, failpoint, blocksUntil: "ended" }), vendor);
  let ids = 0;
  const runner = createRunner({
    store,
    now: () => new Date(),
    monotonic: () => performance.now(),
    newId: () => `${store.replica}-${++ids}`,
    background: (_call, work) => void work.catch(() => {}), // judged by what is stored
    timing: { ...TIMING, sendWindowMs },
    failpoint,
  });
  await runner.begin([batch]);
  return { runner, batch };
}

/** The outcome that each item of a call was answered with. */
type Answer = ReadonlyMap<string, Outcome | undefined>;

async function restart({ runner, batch }: Awaited<ReturnType<typeof startProcess>>) {
  const context = createHandlerContext({
    service: InstanceService,
    method: InstanceService.method.restartInstances,
    protocolName: "test",
    requestMethod: "POST",
    url: "http://test/",
    contextValues: createContextValues().set(callKey, newCall("call")),
  });
  const request = create(RestartInstancesRequestSchema, { instanceIds: IDS, requestId: ID });
  const errors = await runner.operations.runAll(batch, request, context).then(
    ({ results }) => results.map(({ error }) => error),
    (failed: Failure) => toConnectError(failed, newCall("call")).findDetails(StatusSchema),
  );
  const answer: Answer = new Map(errors.map((error, at) => [IDS[at] ?? "", error ? outcomeOf(error) : "applied"]));
  return { answer, name: context.responseHeader.get(OPERATION_HEADER) };
}

const outcomeOf = (error: Status): Outcome =>
  parseFailure(JSON.stringify(toJson(StatusSchema, error, { registry }))).outcome;

/** Plays one call whose process stops. Answers what is wrong with what becomes of it: nothing. */
async function play(stop: Stop, { open, decorate = (batch) => batch }: Options): Promise<string[]> {
  await using world = await open();
  const gate = createGate();
  const vendor = createFakeVendor({ monotonic: () => performance.now(), jobMs: 30 });
  for (const [id, script] of Object.entries(SCRIPTS)) vendor.scriptFor(`fake/${id}`, script);
  const scene: Scene = { vendor, wrong: new Set(), sendWindowMs: world.sendWindowMs };
  const stopped = Promise.withResolvers<void>();
  const first = await startProcess(
    gated(world.first, gate),
    scene,
    reachUntil(stop, gate, stopped.resolve),
    (one) => one,
  );
  const answered = restart(first);
  await Promise.race([stopped.promise, answered.then(() => ended(world.first, stopped.promise))]);
  if (!gate.hasStopped()) {
    scene.wrong.add("never got there");
    gate.stop(stop.ms);
  }
  const store = await world.second();
  const second = await startProcess(store, scene, async () => {}, decorate);
  const early = restart(second);
  await ended(store);
  if (stop.ms !== undefined) await answered;
  await ended(store);
  const { answer, name } = await restart(second);
  const whole = await store.get(name ?? "");
  if (whole === undefined) scene.wrong.add("there is no operation");
  else judge(scene, whole, await store.children(whole.name), answer);
  const told = await early;
  if (told.name !== name) scene.wrong.add("two names for one request_id");
  for (const [id, outcome] of told.answer) {
    const executed = vendor.executions.some(({ target }) => target === `fake/${id}`);
    if (outcome === "not_applied" && executed) scene.wrong.add(`${id} was said not to be applied`);
  }
  if (stop.ms !== undefined && (await answered).name !== name) scene.wrong.add("another name after the pause");
  await second.runner[Symbol.asyncDispose]();
  return [...scene.wrong];
}

/** Stops the process when it gets to a point. */
function reachUntil({ at, time, ms }: Stop, gate: Gate, stopped: () => void): (point: Point) => Promise<void> {
  let hits = 0;
  return async (point) => {
    await gate.alive();
    if (point === at && ++hits === time) {
      gate.stop(ms);
      stopped();
    }
    await gate.alive();
  };
}

/** Waits until every operation has ended, unless something else happens first. */
async function ended(store: Store, unless: Promise<void> = new Promise(() => {})): Promise<void> {
  let over = false;
  void unless.then(() => {
    over = true;
  });
  while (!over && ((await store.list({ where: [], limit: 1 })).length === 0 || (await store.open()).length > 0)) {
    await sleep(10);
  }
}

/** Compares what is stored and answered with what the vendor did. */
function judge({ vendor, wrong }: Scene, whole: OperationRecord, parts: readonly OperationRecord[], answer: Answer) {
  for (const id of IDS) {
    const part = parts.find(({ target }) => target === `fake/${id}`);
    const executions = vendor.executions.filter(({ target }) => target === `fake/${id}`);
    if (part === undefined || !answer.has(id)) {
      wrong.add(`nothing is known of ${id}`);
      continue;
    }
    if (executions.length > 1) wrong.add(`executed ${executions.length} times`);
    if (executions.some(({ operation }) => operation !== part.name)) wrong.add("executed for another operation");
    const executed = executions.length === 1;
    if (executed && !EXECUTED.has(id)) wrong.add(`${id} was executed`);
    judgePart(wrong, part, executed, executions[0]?.fails ?? false);
    if (answer.get(id) !== (executed ? "applied" : "not_applied")) {
      wrong.add(`${part.state} answered as ${answer.get(id)}, executed ${executions.length} times`);
    }
  }
  if (!ENDED.has(whole.state) || whole.blocks) wrong.add(`the whole is ${whole.state}, blocking: ${whole.blocks}`);
  const some = parts.some(({ state }) => state === "SUCCEEDED");
  if (some !== (whole.state === "SUCCEEDED")) wrong.add(`the whole is ${whole.state}, of ${whole.progress}`);
}

function judgePart(wrong: Set<string>, { state, error, blocks }: OperationRecord, executed: boolean, fails: boolean) {
  const outcome = error === undefined ? undefined : parseFailure(error).outcome;
  const expected: Readonly<Record<string, boolean>> = {
    SUCCEEDED: executed && !fails,
    FAILED: outcome === "applied" ? executed && fails : outcome === "not_applied" && !executed,
    CANCELLED: !executed && outcome === "not_applied",
    NOT_OBSERVED: !executed && outcome === "not_applied",
  };
  if (expected[state] !== true || blocks)
    wrong.add(`${state} (${outcome}), executed: ${executed}, blocking: ${blocks}`);
}

/** A pause, in ms. */
const PAUSE_MS = 1_500;

/** Two processes on one database at once. */
const openMemory =
  ({ compareAndSet = true, sendWindowMs = 10_000 } = {}) =>
  async (): Promise<World> => {
    const database = createMemoryDatabase({ now: () => new Date(), compareAndSet });
    const [first, second] = [database.connect("first"), database.connect("second")];
    return {
      first,
      sendWindowMs,
      second: async () => second,
      [Symbol.asyncDispose]: () => second[Symbol.asyncDispose](),
    };
  };

/** A process, and the one that is started after its death. */
async function openSqlite(): Promise<World> {
  const folder = await temporaryFolder();
  const open = (replica: string) =>
    openSqliteStore({
      path: join(folder.path, "store.db"),
      replica,
      now: () => new Date(),
      warn: () => {},
    });
  const first = await open("first");
  let second: Store | undefined;
  return {
    first,
    sendWindowMs: 10_000,
    second: async () => {
      await first[Symbol.asyncDispose]();
      second = await open("second");
      return second;
    },
    [Symbol.asyncDispose]: async () => {
      await second?.[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const times = (at: Point, count: number): { at: Point; time: number }[] =>
  Array.from({ length: count }, (_, index) => ({ at, time: index + 1 }));

/** Every place that the process of a call gets to, counted over its parts and the whole. */
const PLACES = [
  ...times("before W1", 1),
  ...times("after W1", 1),
  ...times("before W2", 6),
  ...times("after W2", 6),
  ...times("permitted", 6),
  ...times("answered", 6),
  ...times("after send", 5),
  ...times("before W3", 6),
  ...times("after W3", 6),
  ...times("before W4", 5),
  ...times("after W4", 5),
];

/** So many are played at once. */
const TOGETHER = 30;

async function playAll(stops: readonly Stop[], options: Options): Promise<string[]> {
  const wrong: string[] = [];
  for (let from = 0; from < stops.length; from += TOGETHER) {
    const some = stops.slice(from, from + TOGETHER);
    const found = await Promise.all(some.map((stop) => play(stop, options)));
    for (const [at, ones] of found.entries()) {
      for (const one of ones) wrong.push(`${some[at]?.at} ${some[at]?.time}: ${one}`);
    }
  }
  return wrong;
}

const dies = PLACES.map((place) => ({ ...place, ms: undefined }));
const pauses = PLACES.map((place) => ({ ...place, ms: PAUSE_MS }));

/** Shorter than a pause: whoever was held up must not send. */
const HASTE = { sendWindowMs: 1_000 };

describe("a call about several targets whose process", () => {
  it("dies anywhere sends each once, and every operation ends with the truth", async () => {
    expect(await playAll(dies, { open: openMemory() })).toEqual([]);
  });

  it("dies anywhere does so with a file that the next process opens", async () => {
    expect(await playAll(dies, { open: openSqlite })).toEqual([]);
  });

  it("is held up anywhere for longer than its lease does so too", async () => {
    expect(await playAll(pauses, { open: openMemory(HASTE) })).toEqual([]);
  });

  it("is caught when what has no outcome is sent again", async () => {
    const decorate: Options["decorate"] = ({ item, ...batch }, vendor) => ({
      ...batch,
      item: {
        ...item,
        async observe(operation, request, signal) {
          if (operation.state === "UNKNOWN") await vendor.restart(operation.target, operation.name).catch(() => {});
          return item.observe(operation, request, signal);
        },
      },
    });
    const some = dies.filter(({ at }) => at === "answered");
    expect(await playAll(some, { open: openMemory(), decorate })).toContainEqual(
      expect.stringMatching(/executed \d+ times$/),
    );
    expect(await playAll(some, { open: openMemory() })).toEqual([]);
  });

  it("is caught when a permit is no compare-and-set", async () => {
    const some = pauses.filter(({ at }) => at === "before W2");
    expect(await playAll(some, { open: openMemory({ ...HASTE, compareAndSet: false }) })).toContainEqual(
      expect.stringMatching(/answered as not_applied, executed 1 times$/),
    );
    expect(await playAll(some, { open: openMemory(HASTE) })).toEqual([]);
  });
});
