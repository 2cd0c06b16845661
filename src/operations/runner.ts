import { setTimeout } from "node:timers/promises";
import type { Call } from "../core/call.ts";
import type { Calendar, FreezeRegistry } from "../core/freeze.ts";
import type { Action, BatchAction, Operations } from "../core/operation.ts";
import { noTracer, type Tracer } from "../core/tracer.ts";
import { methodName } from "./calls/accept.ts";
import { type CallEnvironment, createInFlightCalls } from "./calls/environment.ts";
import type { ExecuteOptions } from "./calls/execute.ts";
import { createRun } from "./calls/run.ts";
import { createRunAll } from "./calls/run-all.ts";
import { type Reconciler, type ReconcilerOptions, startReconciler } from "./reconcile/reconciler.ts";
import type { FailpointHook } from "./records/failpoint.ts";
import { createFreezes } from "./records/freezes.ts";
import type { Timing } from "./records/timing.ts";
import { createWaiter } from "./records/wait.ts";
import type { Store } from "./store/store.ts";

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
  /** Told whether the store can be used, when that changes, and why not. */
  readonly health?: (available: boolean, cause?: unknown) => void;
  /** Told of what nobody else is told of: a look that failed, a sweep that failed. */
  readonly onError?: (error: unknown, what: string) => void;
  readonly failpoint?: FailpointHook;
  /** Keeps track of what is asked of vendors after a call. Default: nobody does. */
  readonly tracer?: Tracer;
  /** Freezes of the configuration. Default: none. */
  readonly calendar?: Calendar;
}

/** Makes operations of calls, and takes them to their end. */
export interface Runner extends AsyncDisposable {
  readonly operations: Operations;
  readonly freezes: FreezeRegistry;
  /** Begins to look after operations, those of dead processes among them. Rejects when the store does. */
  // biome-ignore lint/suspicious/noExplicitAny: whoever holds an action of some target does not know its messages
  begin(actions: readonly (Action<any, any, any> | BatchAction<any, any, any>)[]): Promise<void>;
  /** The rpc's descriptor of an operation's method. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  actionOf(method: string): Action<any, any, any> | BatchAction<any, any, any> | undefined;
  /** Brings an operation with children to where they are now, after an operator's word on one of them. Rejects when the store does. */
  readonly rollUp: (name: string) => Promise<void>;
}

const TIMING: Timing = {
  sendWindowMs: 5_000,
  leaseMs: 15_000,
  beatMs: 2_000,
  firstLookMs: 500,
  settleMs: undefined,
  endsWithinMs: undefined,
  retentionMs: 30 * 24 * 3_600_000,
};

/** Longest pause (ms) before a write that failed is tried again. */
const MAX_PAUSE_MS = 2_000;

/** A runner that has not begun yet. */
export function createRunner(options: RunnerOptions): Runner {
  const { store, monotonic, newId, background, failpoint = () => {}, onError = () => {} } = options;
  const timing = { ...TIMING, ...options.timing };
  const now = (): number => options.now().getTime();
  const inFlight = createInFlightCalls();
  let reconciler: Reconciler | undefined;
  const waiter = createWaiter(store);
  const stopping = new AbortController();
  const freezes = createFreezes(store, options.calendar ?? [], options.now);
  const execution: ExecuteOptions = {
    store,
    freezes,
    now,
    monotonic,
    failpoint,
    pause: pauses(stopping.signal),
    over: (record) => reconciler?.adopt(record),
    ...timing,
  };
  const environment: CallEnvironment = { store, freezes, now, newId, background, onError, execution, waiter, inFlight };

  return {
    operations: { run: createRun(environment), runAll: createRunAll(environment) },
    freezes,
    rollUp: async (name) => reconciler?.rollUp(name),
    actionOf: (method) => reconciler?.actionOf(method),
    async begin(actions) {
      const reconciling: ReconcilerOptions = {
        store,
        now,
        monotonic,
        timing,
        failpoint,
        actions: new Map(actions.map((action) => [methodName(action), action])),
        inFlight: inFlight.has,
        isDisowned: inFlight.isDisowned,
        health: options.health ?? (() => {}),
        onError,
        tracer: options.tracer ?? noTracer,
      };
      reconciler = await startReconciler(reconciling);
    },
    async [Symbol.asyncDispose]() {
      await reconciler?.[Symbol.asyncDispose]();
      stopping.abort();
      await inFlight.landed();
      waiter[Symbol.dispose]();
    },
  };
}

/** Waits before a write is tried again: a little longer each time. Rejects when the process ends. */
const pauses =
  (stopping: AbortSignal) =>
  (attempt: number): Promise<void> =>
    setTimeout(Math.min(100 * 2 ** attempt, MAX_PAUSE_MS), undefined, { signal: stopping });
