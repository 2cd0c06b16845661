import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, createHandlerContext } from "@connectrpc/connect";
import { vi } from "vitest";
import { RestartRequestSchema, WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { callKey, newCall, OPERATION_HEADER } from "../../src/core/call.ts";
import { type Failure, toFailure } from "../../src/core/errors.ts";
import type { OperationState } from "../../src/core/operation.ts";
import { parseFailure } from "../../src/core/status.ts";
import type { Failpoint } from "../../src/operations/failpoint.ts";
import { ENDED, type OperationRecord } from "../../src/operations/record.ts";
import { createRunner, type Runner } from "../../src/operations/runner.ts";
import type { Store } from "../../src/operations/store.ts";
import { cancelOperation } from "../../src/operations/verdicts.ts";
import {
  createFakeAction,
  createFakeVendor,
  type FakeAction,
  type FakeVendor,
  type Script,
} from "../support/fake-action.ts";
import { createMemoryDatabase, type Doubt, type MemoryDatabase, type Write } from "../support/memory-store.ts";

/** A place on the way of an operation: a failpoint, or one inside the send; `#2` is the second time that anybody gets there. */
export type Point = Failpoint | "permitted" | "answered" | "before W3#2" | "after W3#2" | "before W4#2";

/** What the vendor is like. */
export type Kind =
  /** Kubernetes: frees the target when applied, shows everything. */
  | "cluster"
  /** A cloud: keeps the target until the job's end, shows everything. */
  | "cloud"
  /** A cloud that shows only jobs whose id is known. */
  | "opaque cloud";

/** One way through the state machine: everything that goes wrong, and where. */
export interface Path {
  readonly kind: Kind;
  readonly script: Script;
  /** The first process that gets there dies, or stops for longer than its lease, or for longer than doubts take to settle. */
  readonly stop?: { readonly at: Point; readonly how: "dies" | "pauses" | "pauses long" } | undefined;
  /** Another call, by the other replica, with the same request_id or another one for the same target. */
  readonly duplicate?: { readonly id: "same" | "other"; readonly at: Point; readonly races?: boolean } | undefined;
  readonly trouble?:
    | { readonly write: "W1" | "W2" | "W3" | "W4"; readonly doubt: Doubt }
    | { readonly cancel: Point }
    | { readonly leave: Point }
    | undefined;
}

/** How a path is played. */
export interface PlayOptions {
  /** Replaces the action by a worse one. */
  readonly decorate?: (action: FakeAction, vendor: FakeVendor) => FakeAction;
  readonly compareAndSet?: boolean;
}

const TIMING = {
  sendWindowMs: 200,
  leaseMs: 300,
  beatMs: 100,
  firstLookMs: 20,
  forgottenMs: 1_000,
  settleMs: undefined,
  retentionMs: 3_600_000,
};
const SETTLE_MS = 1_500;
const PAUSE_MS = { pauses: 700, "pauses long": 3_000 };
/** No path may take longer to come to its verdicts. */
const LIMIT_MS = 30_000;
const ID = { same: "6f9f4a58-0f0a-4bb1-9d5c-6b0f2c8f0001", other: "6f9f4a58-0f0a-4bb1-9d5c-6b0f2c8f0002" };
const LAST_ID = "6f9f4a58-0f0a-4bb1-9d5c-6b0f2c8f0003";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A process that can die or stop: whatever it is about to do next never happens, or happens later. */
interface Process {
  readonly runner: Runner;
  readonly store: Store;
  readonly isDead: () => boolean;
  readonly isStopped: () => boolean;
}

interface Answer {
  readonly requestId: string;
  /** Undefined: none yet, or never. */
  ended?: { readonly failure: Failure | undefined; readonly executed: number; readonly known: boolean };
  readonly operation: () => string | null;
  readonly leave: () => void;
}

/** Plays one path to its end, on fake timers. Answers what is wrong with it: nothing, for a sound machine. */
export async function play(path: Path, options: PlayOptions = {}): Promise<string[]> {
  const wrong = new Set<string>();
  const world = createWorld(path, options, wrong);
  const [a, b] = [await world.start("a"), await world.start("b")];
  world.main(a, b);
  await world.quiet();
  world.calm();
  const survivors = [a, b].filter((one) => !one.isDead());
  if (survivors.length < 2) survivors.push(await world.start("c"));
  judge(world, path, wrong);
  // What was decided stays so, whoever is asked, and the target is free unless nobody knows.
  for (const one of survivors) world.call(one, ID.same);
  await world.quiet();
  for (const one of survivors) world.call(one, ID.other);
  await world.quiet();
  const last = world.call(survivors[0] ?? b, LAST_ID);
  await world.quiet();
  judge(world, path, wrong);
  const unresolved = [...world.database.operations.values()].some(({ state }) => state === "UNRESOLVED");
  const reason = last.ended?.failure?.reason;
  if (reason !== (unresolved ? "OPERATION_IN_PROGRESS" : undefined)) wrong.add(`at the end the target says ${reason}`);
  for (const one of survivors) await one.runner[Symbol.asyncDispose]();
  await b.store[Symbol.asyncDispose]();
  return [...wrong];
}

interface World {
  readonly vendor: FakeVendor;
  readonly database: MemoryDatabase;
  readonly answers: readonly Answer[];
  start(replica: string): Promise<Process>;
  call(process: Process, requestId: string): Answer;
  main(a: Process, b: Process): void;
  /** Nothing goes wrong any more. */
  calm(): void;
  /** Until nothing happens any more. */
  quiet(): Promise<void>;
}

function createWorld(path: Path, options: PlayOptions, wrong: Set<string>): World {
  const monotonic = (): number => performance.now();
  const now = (): Date => new Date();
  const answers: Answer[] = [];
  const hits = new Map<string, number>();
  let stopped = path.stop === undefined;
  let doubted = false;
  let others: { a: Process; b: Process; first: Answer } | undefined;

  const database = createMemoryDatabase({
    now,
    compareAndSet: options.compareAndSet ?? true,
    doubt: (write) => {
      const blocking = [...database.operations.values()].filter(({ blocks }) => blocks).length;
      if (blocking > 1) wrong.add("two operations block the target");
      if (doubted || path.trouble === undefined || !("write" in path.trouble) || nameOf(write) !== path.trouble.write) {
        return undefined;
      }
      doubted = true;
      return path.trouble.doubt;
    },
  });
  const vendor = createFakeVendor({
    monotonic,
    jobMs: 60,
    executing: ({ operation }) => {
      const record = database.operations.get(operation);
      if (record === undefined || !record.blocks || !(record.state === "SENDING" || record.state === "UNKNOWN")) {
        wrong.add(`executed while ${record?.state ?? "not stored"}, blocking ${record?.blocks}`);
      }
    },
  });
  vendor.script(path.script);

  const start = async (replica: string): Promise<Process> => {
    let gate: Promise<void> | undefined;
    let dead = false;
    const alive = async (): Promise<void> => {
      while (gate !== undefined) await gate;
    };
    const stop = (how: "dies" | "pauses" | "pauses long"): void => {
      dead = how === "dies";
      gate = dead
        ? new Promise(() => {})
        : sleep(PAUSE_MS[how === "dies" ? "pauses" : how]).then(() => {
            gate = undefined;
          });
    };
    const reach = async (point: Failpoint | "permitted" | "answered"): Promise<void> => {
      await alive();
      const count = (hits.get(point) ?? 0) + 1;
      hits.set(point, count);
      const here = (at: Point): boolean => (at === point ? count === 1 : at === `${point}#2` && count === 2);
      await meddle(here);
      if (!stopped && path.stop !== undefined && here(path.stop.at)) {
        stopped = true;
        stop(path.stop.how);
      }
      await alive();
    };
    const store = database.connect(replica, alive);
    const action = createFakeAction({
      vendor,
      reach,
      againMs: 20,
      settleMs: SETTLE_MS,
      blocksUntil: path.kind === "cluster" ? "applied" : "ended",
      authoritative: path.kind !== "opaque cloud",
    });
    let ids = 0;
    const runner = createRunner({
      store,
      now,
      monotonic,
      reach,
      newId: () => `${replica}-${++ids}`,
      background: (_call, work) => void work.catch(() => {}), // judged by what is stored
      timing: TIMING,
    });
    await runner.begin([options.decorate?.(action, vendor) ?? action]);
    actions.set(runner, action);
    return { runner, store, isDead: () => dead, isStopped: () => gate !== undefined };
  };
  const actions = new Map<Runner, FakeAction>();

  /** What callers and operators do at a point. */
  const meddle = async (here: (at: Point) => boolean): Promise<void> => {
    const { duplicate, trouble } = path;
    if (others === undefined) return;
    const { b, first } = others;
    if (trouble !== undefined && "leave" in trouble && here(trouble.leave)) first.leave();
    if (trouble !== undefined && "cancel" in trouble && here(trouble.cancel)) {
      for (const record of database.operations.values()) {
        const judging = { actor: "somebody", now: () => now().getTime() };
        await cancelOperation(database.connect("operator"), record, judging);
      }
    }
    if (duplicate !== undefined && here(duplicate.at)) {
      call(b, ID[duplicate.id]);
      if (!duplicate.races) await sleep(20);
    }
  };

  const call: World["call"] = ({ runner, isDead }, requestId) => {
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
      operation: () => context.responseHeader.get(OPERATION_HEADER),
      leave: () => leaving.abort(new ConnectError("the caller has gone", Code.Canceled)),
    };
    answers.push(answer);
    const made = context.values.get(callKey);
    made.received = true;
    const action = actions.get(runner);
    if (action === undefined) throw new Error("no such runner");
    const request = create(RestartRequestSchema, { name: "web", requestId });
    const end = (failure: Failure | undefined): void => {
      if (isDead()) return;
      const record = [...database.operations.values()].find((one) => one.requestId === requestId);
      const known = record !== undefined;
      answer.ended = { failure, known, executed: executedOf(world, requestId) };
    };
    runner.operations.run(action, request, context).then(
      () => end(undefined),
      (error: unknown) => end(toFailure(error, made)),
    );
    return answer;
  };

  const processes: Process[] = [];
  const world: World = {
    vendor,
    database,
    answers,
    start: async (replica) => {
      const process = await start(replica);
      processes.push(process);
      return process;
    },
    call,
    main: (a, b) => {
      others = { a, b, first: { requestId: "", operation: () => null, leave: () => {} } };
      const first = call(a, ID.same);
      others = { a, b, first };
    },
    calm: () => {
      stopped = true;
      doubted = true;
      others = undefined;
      vendor.script("ok");
    },
    quiet: async () => {
      const begun = monotonic();
      let calm = 0;
      while (calm < 3) {
        await sleep(30);
        const open = [...database.operations.values()].some(({ state }) => !ENDED.has(state));
        const busy = processes.some((one) => !one.isDead() && one.isStopped());
        const waiting = answers.some(({ ended }) => ended === undefined) && !processes.some((one) => one.isDead());
        calm = open || busy || waiting ? 0 : calm + 1;
        if (monotonic() - begun > LIMIT_MS) {
          wrong.add(open ? "an operation did not end" : "a call was not answered");
          return;
        }
      }
    },
  };
  return world;
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
  SENT: ["SENT", "SUCCEEDED", "FAILED"],
  UNKNOWN: ["UNKNOWN", "SENT", "SUCCEEDED", "FAILED", "CANCELLED", "NOT_OBSERVED", "UNRESOLVED"],
  SUCCEEDED: [],
  FAILED: [],
  CANCELLED: [],
  NOT_OBSERVED: [],
  UNRESOLVED: [],
};

const executedOf = ({ database, vendor }: World, requestId: string): number =>
  vendor.executions.filter(({ operation }) => database.operations.get(operation)?.requestId === requestId).length;

/** Compares what is stored, and what was answered, with what the vendor did. */
function judge(world: World, path: Path, wrong: Set<string>): void {
  const { database, vendor, answers } = world;
  const known = new Set<string>();
  for (const record of database.operations.values()) {
    if (known.has(record.requestId ?? "")) wrong.add("one request_id has two operations");
    known.add(record.requestId ?? "");
    judgeVerdict(record, world, path, wrong);
    let state: OperationState | undefined;
    for (const row of database.audit.filter(({ operation }) => operation === record.name)) {
      if (row.from !== state) wrong.add(`${state} became ${row.to} as if it had been ${row.from}`);
      if (row.from !== undefined && !ARROWS[row.from].includes(row.to)) wrong.add(`${row.from} became ${row.to}`);
      state = row.to;
    }
    if (state !== record.state) wrong.add(`the audit trail ends with ${state}, not ${record.state}`);
  }
  if (vendor.executions.some(({ operation }) => !database.operations.has(operation))) wrong.add("executed for nobody");
  for (const { requestId, ended, operation } of answers) {
    if (ended === undefined) continue;
    const record = database.operations.get(operation() ?? "");
    const { failure } = ended;
    const executed = executedOf(world, requestId);
    if (record !== undefined && record.requestId !== requestId) wrong.add("answered with another operation's name");
    if (failure === undefined && ended.executed !== 1) wrong.add(`answered as done, executed ${ended.executed} times`);
    if (failure === undefined && record === undefined) wrong.add("answered as done without an operation");
    if (failure?.outcome === "applied" && ended.executed !== 1) wrong.add("answered as applied, and was not");
    if (failure?.outcome === "not_applied" && (ended.executed > 0 || (ended.known && executed > 0))) {
      wrong.add(`answered as not applied (${failure.reason}), executed`);
    }
    if (failure?.code === Code.Unavailable && failure.outcome !== "not_applied") wrong.add("UNAVAILABLE after a send");
    if (failure?.reason === "INTERNAL") wrong.add(`internal error: ${String(failure.cause)}`);
  }
}

function judgeVerdict(record: OperationRecord, { vendor }: World, path: Path, wrong: Set<string>): void {
  const { state, error, name } = record;
  const executions = vendor.executions.filter(({ operation }) => operation === name);
  const executed = executions.length;
  const fails = executions[0]?.fails ?? false;
  const outcome = error === undefined ? undefined : parseFailure(error).outcome;
  const expected: Readonly<Record<string, boolean>> = {
    SUCCEEDED: executed === 1 && !fails,
    FAILED: outcome === "applied" ? executed === 1 && fails : outcome === "not_applied" && executed === 0,
    CANCELLED: executed === 0 && outcome === "not_applied",
    NOT_OBSERVED: executed === 0 && outcome === "not_applied",
    UNRESOLVED: path.kind === "opaque cloud" && executed <= 1 && outcome === "unknown",
  };
  if (executed > 1) wrong.add(`executed ${executed} times`);
  if (expected[state] !== true) wrong.add(`${state} (${outcome}), executed ${executed} times`);
  if (record.blocks !== (state === "UNRESOLVED")) wrong.add(`${state} and blocking: ${record.blocks}`);
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
