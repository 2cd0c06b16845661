import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, createHandlerContext } from "@connectrpc/connect";
import { vi } from "vitest";
import { RestartRequestSchema, WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { callKey, newCall, OPERATION_HEADER } from "../../src/core/call.ts";
import { type Failure, toFailure } from "../../src/core/errors.ts";
import type { FreezeChange, SwitchedFreeze } from "../../src/core/freeze.ts";
import type { OperationState } from "../../src/core/operation.ts";
import { parseFailure } from "../../src/core/status.ts";
import type { Failpoint } from "../../src/operations/records/failpoint.ts";
import { cancelOperation } from "../../src/operations/rpc/mutations.ts";
import { createRunner, type Runner } from "../../src/operations/runner.ts";
import { ENDED, type OperationRecord } from "../../src/operations/store/record.ts";
import type { Store } from "../../src/operations/store/store.ts";
import {
  createFakeAction,
  createFakeVendor,
  type FakeAction,
  type FakeVendor,
  type Script,
} from "../support/fake-action.ts";
import {
  createMemoryDatabase,
  type Doubt,
  type MemoryDatabase,
  type MemoryOptions,
  type Write,
} from "../support/memory-store.ts";
import { createGate, type Gate } from "./gate.ts";

/** A place on the way of an operation: a failpoint, or one inside the send; `#2` is the second time that anybody gets there. */
export type Point = Failpoint | "permitted" | "answered" | "before W3#2" | "after W3#2" | "before W4#2";

/** What the vendor is like. */
export type Kind =
  /** Kubernetes: frees the target when applied, shows everything. */
  | "cluster"
  /** The same, accepted and permitted by one write: as Kubernetes is. */
  | "prompt cluster"
  /** A cloud: keeps the target until the job's end, shows everything. */
  | "cloud"
  /** A cloud that shows only jobs whose id is known. */
  | "opaque cloud";

const isCluster = ({ kind }: Pick<Path, "kind">): boolean => kind === "cluster" || kind === "prompt cluster";

/** One way through the state machine: everything that goes wrong, and where. */
export interface Path {
  readonly kind: Kind;
  /** One process has the store to itself: every call comes to it, and another one is started when it has died. Default false: two share it. */
  readonly alone?: boolean;
  readonly script: Script;
  /** The first process that gets there dies, or stops for longer than its lease, or for longer than doubts take to settle. */
  readonly stop?: { readonly at: Point; readonly how: "dies" | "pauses" | "pauses long" } | undefined;
  /** Another call, by the other replica, with the same request_id or another one for the same target. */
  readonly duplicate?: { readonly id: "same" | "other"; readonly at: Point; readonly races?: boolean } | undefined;
  readonly trouble?:
    | { readonly write: "W1" | "W2" | "W3" | "W4"; readonly doubt: Doubt }
    | { readonly cancel: Point }
    | { readonly leave: Point }
    /** Somebody else freezes the target, until everything has ended. */
    | { readonly freeze: Point }
    | undefined;
}

/** How a path is played. */
export interface PlayOptions {
  /** Replaces the action by a worse one. */
  readonly decorate?: (action: FakeAction, vendor: FakeVendor) => FakeAction;
  readonly compareAndSet?: boolean;
  readonly freezes?: MemoryOptions["freezes"];
  /** Told where each path got to while something could go wrong: names of {@link Point}s, and of writes. */
  readonly got?: (path: Path, places: ReadonlySet<string>) => void;
}

const TIMING = {
  sendWindowMs: 200,
  leaseMs: 300,
  beatMs: 100,
  firstLookMs: 20,
  settleMs: undefined,
  endsWithinMs: undefined,
  retentionMs: 3_600_000,
};
const SETTLE_MS = 1_500;
const ENDS_WITHIN_MS = 2_500;
const PAUSE_MS = { pauses: 700, "pauses long": 3_000 };
/** No path may take longer to come to its verdicts. */
const LIMIT_MS = 30_000;
const ID = { same: "6f9f4a58-0f0a-4bb1-9d5c-6b0f2c8f0001", other: "6f9f4a58-0f0a-4bb1-9d5c-6b0f2c8f0002" };
const LAST_ID = "6f9f4a58-0f0a-4bb1-9d5c-6b0f2c8f0003";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A process that can die or stop: whatever it is about to do next never happens, or happens later. */
interface Process {
  readonly gate: Gate;
  readonly runner: Runner;
  readonly store: Store;
  readonly action: FakeAction;
}

interface Answer {
  readonly requestId: string;
  /** Undefined: none yet, or never. */
  ended?: { readonly failure: Failure | undefined; readonly executed: number; readonly known: boolean };
  /** Whether it was asked for when everything had ended. */
  readonly isLate: boolean;
  /** Whether nobody is there any more to give one. */
  readonly isLost: () => boolean;
  readonly operation: () => string | null;
  readonly leave: () => void;
}

/** Everything of one path. */
interface Scene {
  readonly path: Path;
  readonly options: PlayOptions;
  readonly wrong: Set<string>;
  readonly vendor: FakeVendor;
  readonly database: MemoryDatabase;
  readonly answers: Answer[];
  readonly processes: Process[];
  /** How often each point was reached. */
  readonly hits: Map<string, number>;
  /** Where anybody got to while something could go wrong. */
  readonly places: Set<string>;
  /** What is still to go wrong. */
  readonly due: { stop: boolean; doubt: boolean };
  /** Whether nothing goes wrong any more. */
  isCalm: boolean;
  /** The operations that had a permit when the target was frozen; undefined: it is not. */
  permitted: ReadonlySet<string> | undefined;
  /** Who meddles while the first call is on its way. */
  others: { readonly b: Process; readonly first: () => Answer } | undefined;
}

const monotonic = (): number => performance.now();
const now = (): Date => new Date();

/** Plays one path to its end, on fake timers. Answers what is wrong with it: nothing, for a sound machine. */
async function play(path: Path, options: PlayOptions = {}): Promise<string[]> {
  const scene = createScene(path, options);
  const { wrong, database } = scene;
  const a = await startProcess(scene, "a");
  const b = path.alone === true ? a : await startProcess(scene, "b");
  const successor = path.alone === true ? a.gate.died.then(() => startProcess(scene, "c")) : undefined;
  const first = call(scene, a, ID.same);
  scene.others = { b, first: () => first };
  await quiet(scene);
  await calm(scene);
  const survivors = [...new Set([a, b])].filter(({ gate }) => !gate.isDead());
  if (successor === undefined && survivors.length < 2) survivors.push(await startProcess(scene, "c"));
  if (successor !== undefined && survivors.length === 0) survivors.push(await successor);
  judge(scene);
  // What was decided stays so, whoever is asked, and the target is free unless nobody knows.
  for (const one of survivors) call(scene, one, ID.same);
  await quiet(scene);
  for (const one of survivors) call(scene, one, ID.other);
  await quiet(scene);
  const last = call(scene, survivors[0] ?? b, LAST_ID);
  await quiet(scene);
  judge(scene);
  // What is judged says which of those that nobody knows the end of do.
  const blocked = [...database.operations.values()].some(({ blocks }) => blocks);
  const reason = last.ended?.failure?.reason;
  if (reason !== (blocked ? "OPERATION_IN_PROGRESS" : undefined)) wrong.add(`at the end the target says ${reason}`);
  for (const one of survivors) await one.runner[Symbol.asyncDispose]();
  await b.store[Symbol.asyncDispose]();
  options.got?.(path, scene.places);
  return [...wrong];
}

function createScene(path: Path, options: PlayOptions): Scene {
  const wrong = new Set<string>();
  const places = new Set<string>();
  const due = { stop: path.stop !== undefined, doubt: path.trouble !== undefined && "write" in path.trouble };
  const database: MemoryDatabase = createMemoryDatabase({
    now,
    exclusive: path.alone ?? false,
    compareAndSet: options.compareAndSet ?? true,
    ...(options.freezes && { freezes: options.freezes }),
    doubt: (write) => {
      const blocking = [...database.operations.values()].filter(({ blocks }) => blocks).length;
      if (blocking > 1) wrong.add("two operations block the target");
      const { trouble } = path;
      if (!scene.isCalm) places.add(nameOf(write) ?? "");
      if (!due.doubt || trouble === undefined || !("write" in trouble) || nameOf(write) !== trouble.write) {
        return undefined;
      }
      due.doubt = false;
      return trouble.doubt;
    },
  });
  const vendor = createFakeVendor({
    monotonic,
    jobMs: 60,
    executing: ({ operation }) => {
      if (scene.permitted?.has(operation) === false)
        wrong.add("executed in spite of a freeze, without a permit of before");
      const record = database.operations.get(operation);
      if (record === undefined || !record.blocks || !(record.state === "SENDING" || record.state === "UNKNOWN")) {
        wrong.add(`executed while ${record?.state ?? "not stored"}, blocking ${record?.blocks}`);
      }
    },
  });
  vendor.script(path.script);
  const hits = new Map<string, number>();
  const scene: Scene = {
    path,
    options,
    wrong,
    vendor,
    database,
    answers: [],
    processes: [],
    hits,
    places,
    due,
    isCalm: false,
    permitted: undefined,
    others: undefined,
  };
  return scene;
}

async function startProcess(scene: Scene, replica: string): Promise<Process> {
  const { path, options, database, vendor } = scene;
  const gate = createGate();
  const failpoint = (point: Failpoint | "permitted" | "answered"): Promise<void> => reached(scene, gate, point);
  const store = database.connect(replica, gate.alive);
  const action = createFakeAction({
    vendor,
    failpoint,
    againMs: 20,
    settleMs: SETTLE_MS,
    endsWithinMs: ENDS_WITHIN_MS,
    blocksUntil: isCluster(path) ? "applied" : "ended",
    permitsAtOnce: path.kind === "prompt cluster",
    authoritative: path.kind !== "opaque cloud",
  });
  let ids = 0;
  const runner = createRunner({
    store,
    now,
    monotonic,
    failpoint,
    newId: () => `${replica}-${++ids}`,
    background: (_call, work) => void work.catch(() => {}), // judged by what is stored
    timing: TIMING,
  });
  const decorated = options.decorate?.(action, vendor) ?? action;
  // Who is dead looks at nothing either.
  const observe: FakeAction["observe"] = async (...look) => {
    await gate.alive();
    return decorated.observe(...look);
  };
  await runner.begin([{ ...decorated, observe }]);
  const process = { gate, runner, store, action: decorated };
  scene.processes.push(process);
  return process;
}

/** A process gets to a point: others meddle, and it may be the point at which it dies or stops. */
async function reached(scene: Scene, gate: Gate, point: Failpoint | "permitted" | "answered"): Promise<void> {
  const { hits, due, path, places } = scene;
  await gate.alive();
  const count = (hits.get(point) ?? 0) + 1;
  hits.set(point, count);
  if (!scene.isCalm) places.add(count === 1 ? point : `${point}#${count}`);
  const here = (at: Point): boolean => (at === point ? count === 1 : at === `${point}#2` && count === 2);
  await meddle(scene, here);
  if (due.stop && path.stop !== undefined && here(path.stop.at)) {
    due.stop = false;
    gate.stop(path.stop.how === "dies" ? undefined : PAUSE_MS[path.stop.how]);
  }
  await gate.alive();
}

/** What callers and operators do at a point. */
async function meddle(scene: Scene, here: (at: Point) => boolean): Promise<void> {
  const { duplicate, trouble } = scene.path;
  if (scene.others === undefined) return;
  const { b, first } = scene.others;
  if (trouble !== undefined && "leave" in trouble && here(trouble.leave)) first().leave();
  if (trouble !== undefined && "cancel" in trouble && here(trouble.cancel)) {
    for (const record of scene.database.operations.values()) {
      const judging = { actor: "somebody", now: () => now().getTime() };
      await cancelOperation(scene.database.connect("operator"), record, judging);
    }
  }
  if (trouble !== undefined && "freeze" in trouble && here(trouble.freeze)) {
    await changeFreezes(scene, { kind: "create", freeze: FREEZE });
    const records = [...scene.database.operations.values()];
    scene.permitted = new Set(records.filter(({ state }) => state !== "ACCEPTED").map(({ name }) => name));
  }
  if (duplicate !== undefined && here(duplicate.at)) {
    call(scene, b, ID[duplicate.id]);
    if (!duplicate.races) await sleep(20);
  }
}

const FREEZE: SwitchedFreeze = {
  name: "everything",
  targets: ["**"],
  until: Date.UTC(9999, 0, 1),
  message: "",
  reason: "",
  principal: "operator",
  createTime: 0,
};

async function changeFreezes({ database }: Scene, change: FreezeChange): Promise<void> {
  const store = database.connect("operator");
  const { epoch } = await store.freezes();
  if (!(await store.changeFreezes(epoch, change))) throw new Error("nobody else changes freezes");
}

function call(scene: Scene, { gate, runner, action }: Process, requestId: string): Answer {
  const leaving = new AbortController();
  const context = createHandlerContext({
    service: WorkloadService,
    method: WorkloadService.method.restart,
    protocolName: "test",
    requestMethod: "POST",
    url: "http://test/",
    requestSignal: leaving.signal,
    contextValues: createContextValues().set(callKey, newCall("call")),
  });
  const answer: Answer = {
    requestId,
    isLate: scene.isCalm,
    isLost: gate.isDead,
    operation: () => context.responseHeader.get(OPERATION_HEADER),
    leave: () => leaving.abort(new ConnectError("the caller has gone", Code.Canceled)),
  };
  scene.answers.push(answer);
  const made = context.values.get(callKey);
  made.received = true;
  const request = create(RestartRequestSchema, { name: "web", requestId });
  const end = (failure: Failure | undefined): void => {
    if (gate.isDead()) return;
    const known = [...scene.database.operations.values()].some((one) => one.requestId === requestId);
    answer.ended = { failure, known, executed: executedOf(scene, requestId) };
  };
  runner.operations.run(action, request, context).then(
    () => end(undefined),
    (error: unknown) => end(toFailure(error, made)),
  );
  return answer;
}

/** From now on nothing goes wrong any more. */
async function calm(scene: Scene): Promise<void> {
  scene.isCalm = true;
  scene.due.stop = false;
  scene.due.doubt = false;
  scene.others = undefined;
  scene.permitted = undefined;
  await changeFreezes(scene, { kind: "lift", name: FREEZE.name, principal: "operator", reason: "" });
  scene.vendor.script("ok");
}

/** Waits until nothing happens any more. */
async function quiet({ database, processes, answers, wrong }: Scene): Promise<void> {
  const begun = monotonic();
  let still = 0;
  while (still < 3) {
    await sleep(30);
    const open = [...database.operations.values()].some(({ state }) => !ENDED.has(state));
    const busy = processes.some(({ gate }) => !gate.isDead() && gate.isShut());
    const waiting = answers.some(({ ended, isLost }) => ended === undefined && !isLost());
    still = open || busy || waiting ? 0 : still + 1;
    if (monotonic() - begun > LIMIT_MS) {
      wrong.add(open ? "an operation did not end" : "a call was not answered");
      return;
    }
  }
}

/** Which of the four writes this is. */
function nameOf(write: Write): "W1" | "W2" | "W3" | "W4" | undefined {
  if (write.kind === "insert") return "W1";
  const { before, change } = write;
  if (change.state === undefined) return undefined;
  if (change.state === "SENDING") return "W2";
  return before.state === "SENT" || change.state === "NOT_OBSERVED" || change.state === "UNRESOLVED" ? "W4" : "W3";
}

/** The arrows of the state machine. */
const ARROWS: Readonly<Record<OperationState, readonly OperationState[]>> = {
  ACCEPTED: ["SENDING", "CANCELLED", "FAILED"],
  SENDING: ["SENDING", "SENT", "SUCCEEDED", "FAILED", "CANCELLED", "UNKNOWN"],
  SENT: ["SENT", "SUCCEEDED", "FAILED", "UNRESOLVED"],
  UNKNOWN: ["UNKNOWN", "SENT", "SUCCEEDED", "FAILED", "CANCELLED", "NOT_OBSERVED", "UNRESOLVED"],
  SUCCEEDED: [],
  FAILED: [],
  CANCELLED: [],
  NOT_OBSERVED: [],
  UNRESOLVED: [],
};

const executedOf = ({ database, vendor }: Scene, requestId: string): number =>
  vendor.executions.filter(({ operation }) => database.operations.get(operation)?.requestId === requestId).length;

/** Compares what is stored, and what was answered, with what the vendor did. */
function judge(scene: Scene): void {
  const { database, vendor, wrong } = scene;
  const known = new Set<string>();
  for (const record of database.operations.values()) {
    if (known.has(record.requestId ?? "")) wrong.add("one request_id has two operations");
    known.add(record.requestId ?? "");
    judgeVerdict(scene, record);
    judgeTrail(scene, record);
  }
  if (vendor.executions.some(({ operation }) => !database.operations.has(operation))) wrong.add("executed for nobody");
  for (const answer of scene.answers) judgeAnswer(scene, answer);
}

function judgeTrail({ database, wrong }: Scene, record: OperationRecord): void {
  let state: OperationState | undefined;
  for (const row of database.audit.filter(({ operation }) => operation === record.name)) {
    if (row.from !== state) wrong.add(`${state} became ${row.to} as if it had been ${row.from}`);
    if (row.from !== undefined && !ARROWS[row.from].includes(row.to)) wrong.add(`${row.from} became ${row.to}`);
    state = row.to;
  }
  if (state !== record.state) wrong.add(`the audit trail ends with ${state}, not ${record.state}`);
}

function judgeAnswer(scene: Scene, { requestId, ended, operation, isLate }: Answer): void {
  const { database, wrong } = scene;
  if (ended === undefined) return;
  const record = database.operations.get(operation() ?? "");
  const { failure } = ended;
  const executed = executedOf(scene, requestId);
  if (record !== undefined && record.requestId !== requestId) wrong.add("answered with another operation's name");
  if (failure === undefined && ended.executed !== 1) wrong.add(`answered as done, executed ${ended.executed} times`);
  if (failure === undefined && record === undefined) wrong.add("answered as done without an operation");
  if (failure?.outcome === "applied" && ended.executed !== 1) wrong.add("answered as applied, and was not");
  if (failure?.outcome === "not_applied" && (ended.executed > 0 || (ended.known && executed > 0))) {
    wrong.add(`answered as not applied (${failure.reason}), executed`);
  }
  if (failure?.outcome === "unknown" && isLate && record?.state !== "UNRESOLVED") {
    wrong.add(`answered as unknown, though the operation is ${record?.state}`);
  }
  if (failure?.code === Code.Unavailable && failure.outcome !== "not_applied") wrong.add("UNAVAILABLE after a send");
  if (failure?.reason === "INTERNAL") wrong.add(`internal error: ${String(failure.cause)}`);
}

function judgeVerdict({ vendor, path, wrong }: Scene, record: OperationRecord): void {
  const { state, error, name } = record;
  const executions = vendor.executions.filter(({ operation }) => operation === name);
  const executed = executions.length;
  const { fails = false, unseen = false } = executions[0] ?? {};
  const outcome = error === undefined ? undefined : parseFailure(error).outcome;
  const expected: Readonly<Record<string, boolean>> = {
    SUCCEEDED: executed === 1 && !fails && !unseen,
    FAILED: outcome === "applied" ? executed === 1 && fails : outcome === "not_applied" && executed === 0,
    CANCELLED: executed === 0 && outcome === "not_applied",
    NOT_OBSERVED: executed === 0 && outcome === "not_applied",
    UNRESOLVED:
      outcome === "applied"
        ? executed === 1 && unseen
        : outcome === "unknown" && executed <= 1 && (unseen || path.kind === "opaque cloud"),
  };
  if (executed > 1) wrong.add(`executed ${executed} times`);
  if (expected[state] !== true) wrong.add(`${state} (${outcome}), executed ${executed} times`);
  const blocks = state === "UNRESOLVED" && (!isCluster(path) || outcome === "unknown");
  if (record.blocks !== blocks) wrong.add(`${state} and blocking: ${record.blocks}`);
}

/** So many paths are played at once: they share the clock alone. */
const TOGETHER = 30;

/** On the fake clock: four phases of every path, and something to spare. */
const BATCH_LIMIT_MS = 5 * LIMIT_MS;

/** Plays paths, and answers what is wrong with each of those with which something is. */
export async function playAll(paths: readonly Path[], options: PlayOptions = {}): Promise<Map<Path, string[]>> {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
  try {
    const wrong = new Map<Path, string[]>();
    for (let at = 0; at < paths.length; at += TOGETHER) {
      let running = true;
      const limit = performance.now() + BATCH_LIMIT_MS;
      const unfinished = new Set(paths.slice(at, at + TOGETHER));
      const together = Promise.all(
        paths.slice(at, at + TOGETHER).map(async (path) => {
          const found = await play(path, options);
          unfinished.delete(path);
          if (found.length > 0) wrong.set(path, found);
        }),
      ).finally(() => {
        running = false;
      });
      while (running) {
        if (performance.now() > limit) throw new Error(`never came to an end: ${JSON.stringify([...unfinished][0])}`);
        vi.advanceTimersByTime(10);
        // Everything that no timer holds back happens before the next one fires.
        await new Promise((resolve) => setImmediate(resolve));
      }
      await together;
    }
    return wrong;
  } finally {
    vi.useRealTimers();
  }
}
