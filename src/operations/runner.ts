import { setTimeout } from "node:timers/promises";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { type Call, callKey, OPERATION_HEADER, type Warning, warn } from "../core/call.ts";
import { remainingMs } from "../core/deadline.ts";
import { type Action, type Asking, type MutatingRequest, type Operations, outcomeOfState } from "../core/operation.ts";
import { ANONYMOUS } from "../core/principal.ts";
import { inProgress, methodName, newRecord, refuseReuse } from "./accept.ts";
import { answerOf, outcomeUnknown } from "./answer.ts";
import { type Driven, type DriveOptions, drive } from "./drive.ts";
import type { Reach } from "./failpoint.ts";
import { type Keeper, type KeeperOptions, startKeeper } from "./keeper.ts";
import type { OperationRecord } from "./record.ts";
import type { Found, Store } from "./store.ts";
import { guarded } from "./unavailable.ts";
import { createWaiter } from "./wait.ts";

/** How long things may take, in milliseconds; each has a default. */
export interface Timing {
  /** A permit to send is good for so long. Default 5,000. */
  readonly sendWindowMs: number;
  /** A replica that was silent for so long counts as dead. Default 15,000. */
  readonly leaseMs: number;
  /** Every replica says so often that it lives, and looks for what nobody works on. Default 2,000. */
  readonly beatMs: number;
  /** After a send it is first looked at after so long. Default 500. */
  readonly firstLookMs: number;
  /** What waits to be looked at is looked at after so long even if its wake-up was lost. Default 30,000. */
  readonly forgottenMs: number;
  /** Replaces every action's own settle time. Default: none. */
  readonly settleMs: number | undefined;
  /** Ended operations are kept so long; then their tombstones alone. Default 30 days. */
  readonly retentionMs: number;
}

/** What the runner works with. */
export interface RunnerOptions {
  readonly store: Store;
  readonly now: () => Date;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  /** Makes ids (UUIDs) of operations that have no request_id. */
  readonly newId: () => string;
  /** Takes work whose caller no longer waits for it. */
  readonly background: (call: Call, work: Promise<unknown>) => void;
  readonly timing?: Partial<Timing>;
  /** Told whether the store can be used, when that changes. */
  readonly health?: (available: boolean) => void;
  /** Told of what nobody else is told of: a look that failed, a sweep that failed. */
  readonly trouble?: (error: unknown, what: string) => void;
  readonly reach?: Reach;
}

/** Makes operations of calls, and takes them to their end. */
export interface Runner extends AsyncDisposable {
  readonly operations: Operations;
  /** Begins to look after operations, those of dead processes among them. Rejects when the store does. */
  // biome-ignore lint/suspicious/noExplicitAny: whoever holds an action of some target does not know its messages
  begin(actions: readonly Action<any, any, any>[]): Promise<void>;
  /** The rpc's descriptor of an operation's method. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  actionOf(method: string): Action<any, any, any> | undefined;
}

const TIMING: Timing = {
  sendWindowMs: 5_000,
  leaseMs: 15_000,
  beatMs: 2_000,
  firstLookMs: 500,
  forgottenMs: 30_000,
  settleMs: undefined,
  retentionMs: 30 * 24 * 3_600_000,
};

/** Longest pause (ms) before a write that failed is tried again. */
const MAX_PAUSE_MS = 2_000;

/** A runner that has not begun yet. */
export function createRunner(options: RunnerOptions): Runner {
  const { store, monotonic, newId, background, reach = () => {} } = options;
  const timing = { ...TIMING, ...options.timing };
  const now = (): number => options.now().getTime();
  /** Operations whose calls run here, each with how many callers are about to make or make it. */
  const inFlight = new Map<string, number>();
  const ending = new Set<Promise<unknown>>();
  const waiter = createWaiter(store);
  const stopping = new AbortController();
  const driving: DriveOptions = { store, now, monotonic, reach, pause: pauses(stopping.signal), ...timing };
  let keeper: Keeper | undefined;

  /** Answers a call whose request_id was used before: by what is known, once it is. Nothing is sent. */
  const repeat = async <Output extends DescMessage>(
    found: Found,
    asked: OperationRecord,
    action: Action<DescMessage, Output>,
    context: HandlerContext,
  ): Promise<MessageShape<Output>> => {
    const known = found.record ?? found.tombstone;
    refuseReuse(asked, known);
    name(context, known);
    const call = context.values.get(callKey);
    const answered = await waitForAnswer(known, action, context);
    warn(context, (answered.warnings ?? []) as readonly Warning[]);
    call.outcome = "applied";
    return answered.response;
  };

  const waitForAnswer = async <Output extends DescMessage>(
    first: NonNullable<Found["record"] | Found["tombstone"]>,
    action: Action<DescMessage, Output>,
    context: HandlerContext,
  ): Promise<{ response: MessageShape<Output>; warnings: readonly string[] | undefined }> => {
    let response = answerOf(action, first);
    let record = "version" in first ? first : undefined;
    while (response === undefined) {
      const call = context.values.get(callKey);
      if (record !== undefined) {
        call.outcome = outcomeOfState[record.state] ?? call.outcome;
      }
      record = await waiter.nextChange(record ?? first, context.signal).catch((error: unknown) => {
        throw context.signal.aborted && call.outcome !== "not_applied"
          ? outcomeUnknown(first, { deadlineExceeded: isDeadline(context.signal), cause: error })
          : error;
      });
      response = answerOf(action, record);
    }
    return { response, warnings: record?.warnings };
  };

  const run: Operations["run"] = async (action, request, context) => {
    const call = context.values.get(callKey);
    call.target = action.targetOf(request);
    const warnings = new Set<Warning>();
    const asking: Asking = {
      call,
      signal: context.signal,
      remainingMs: () => remainingMs(context.values),
      validateOnly: request.validateOnly,
      warn: (added) => {
        for (const warning of added) warnings.add(warning);
        warn(context, warnings);
      },
    };
    if (request.validateOnly) {
      await action.prepare(request, asking);
      return create(action.method.output);
    }
    const principal = ANONYMOUS;
    const record = newRecord(action, request, { principal, replica: store.replica, newId, now: now() });
    if (record.requestId !== undefined) {
      const found = await guarded(store.find(principal, record.requestId));
      if (found !== undefined) {
        return repeat(found, record, action, context);
      }
    }
    const plan = await action.prepare(request, asking);
    return accept(record, action, request, context, async () => {
      name(context, record);
      return drive(record, action, request, plan, asking, warnings, driving);
    });
  };

  /** W1, then the send; the caller is answered as soon as its outcome is known, and may leave before. */
  const accept = async <Input extends DescMessage, Output extends DescMessage, Plan>(
    record: OperationRecord,
    action: Action<Input, Output, Plan>,
    request: MutatingRequest,
    context: HandlerContext,
    send: () => Promise<Driven<Output>>,
  ): Promise<MessageShape<Output>> => {
    inFlight.set(record.name, (inFlight.get(record.name) ?? 0) + 1);
    const finish = (): void => {
      const others = (inFlight.get(record.name) ?? 1) - 1;
      if (others === 0) inFlight.delete(record.name);
      else inFlight.set(record.name, others);
    };
    let duplicate: Found | undefined;
    try {
      await reach("before W1");
      const inserted = await guarded(
        store.insert([record], { event: "accepted", actor: record.principal, detail: request.reason }),
      );
      const blocking = inserted.duplicate === undefined ? inserted.blocked.get(record.name) : undefined;
      if (blocking !== undefined) {
        throw inProgress(blocking, now());
      }
      duplicate = inserted.duplicate;
      if (duplicate === undefined) await reach("after W1");
    } catch (error) {
      finish();
      throw error;
    }
    if (duplicate !== undefined) {
      finish();
      return repeat(duplicate, record, action, context);
    }
    const driven = send();
    const stored = driven.then((ended) => ended.stored).finally(finish);
    ending.add(stored);
    void stored.catch(() => {}).finally(() => ending.delete(stored)); // its failure is that of `driven`, which is answered
    const answered = driven.then(async ({ failure, response, stored }) => {
      // While the store is away the caller is not kept waiting: what was recorded before the send is enough to find out again.
      const durable = await within(stored, timing.sendWindowMs);
      if (failure !== undefined) {
        throw failure;
      }
      return response ?? (await waitForAnswer(durable ?? record, action, context)).response;
    });
    return whileWanted(record, context, answered);
  };

  /** Waits as long as the caller does: one who leaves after something left is told that the outcome is unknown. */
  const whileWanted = async <Result>(
    record: OperationRecord,
    { signal, values }: HandlerContext,
    answered: Promise<Result>,
  ): Promise<Result> => {
    const call = values.get(callKey);
    const { promise: gone, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => {
      if (call.outcome !== "not_applied") {
        background(call, answered);
        reject(outcomeUnknown(record, { deadlineExceeded: isDeadline(signal), cause: signal.reason }));
      }
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([answered, gone]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };

  return {
    operations: { run },
    actionOf: (method) => keeper?.actionOf(method),
    async begin(actions) {
      const keeping: KeeperOptions = {
        store,
        now,
        monotonic,
        timing,
        reach,
        actions: new Map(actions.map((action) => [methodName(action), action])),
        inFlight: (name) => inFlight.has(name),
        health: options.health ?? (() => {}),
        trouble: options.trouble ?? (() => {}),
      };
      keeper = await startKeeper(keeping);
    },
    async [Symbol.asyncDispose]() {
      await keeper?.[Symbol.asyncDispose]();
      stopping.abort();
      await Promise.allSettled(ending);
      waiter[Symbol.dispose]();
    },
  };
}

const isDeadline = ({ reason }: AbortSignal): boolean =>
  reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;

/** Waits before a write is tried again: a little longer each time. Rejects when the process ends. */
const pauses =
  (stopping: AbortSignal) =>
  (attempt: number): Promise<void> =>
    setTimeout(Math.min(100 * 2 ** attempt, MAX_PAUSE_MS), undefined, { signal: stopping });

/** What work gives, or undefined when that takes longer. */
async function within<Result>(work: Promise<Result>, limitMs: number): Promise<Result | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([work, setTimeout(limitMs, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}

/** Tells the caller, and the log, which operation a call is. */
function name({ responseHeader, values }: HandlerContext, operation: Pick<OperationRecord, "name">): void {
  responseHeader.set(OPERATION_HEADER, operation.name);
  values.get(callKey).operation = operation.name;
}
