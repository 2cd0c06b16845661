import type { DescMessage } from "@bufbuild/protobuf";
import type { Action, BatchAction } from "../../core/operation.ts";
import type { FailpointHook } from "../records/failpoint.ts";
import { rollUp } from "../records/parent.ts";
import type { Timing } from "../records/timing.ts";
import type { OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { observe } from "./observe.ts";
import { createSweeper } from "./sweep.ts";

/** What is done to one target, or to several at once. */
type AnyAction = Action<DescMessage, DescMessage, unknown> | BatchAction<DescMessage, DescMessage, unknown>;

/** What keeping operations going takes. */
export interface ReconcilerOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  readonly timing: Timing;
  readonly failpoint: FailpointHook;
  /** By full name of the rpc. */
  readonly actions: ReadonlyMap<string, AnyAction>;
  /** Whether this process runs the call of an operation now. */
  readonly inFlight: (name: string) => boolean;
  /** Told whether the store can be used, when that changes, and why not. */
  readonly health: (available: boolean, cause?: unknown) => void;
  readonly onError: (error: unknown, what: string) => void;
}

/** Looks after the operations that nobody waits for: beats, orphans, wake-ups, retention. */
export interface Reconciler extends AsyncDisposable {
  actionOf(method: string): AnyAction | undefined;
  /** Brings an operation with parts to where they are now; does nothing to any other. Rejects when the store does. */
  rollUp(name: string): Promise<void>;
}

/** Bounds (ms) one look at a target. */
const LOOK_LIMIT_MS = 30_000;

/** Ended operations are looked for so often (ms). */
const PURGE_MS = 60_000;

/** At most so many operations are removed in one transaction. */
const PURGE_BATCH = 500;

/** Begins. Rejects when the store does. */
export async function startReconciler(options: ReconcilerOptions): Promise<Reconciler> {
  const { store, now, monotonic, timing, failpoint, actions, onError } = options;
  /** The action of an operation that has parts. */
  const batchOf = ({ method, parent }: OperationRecord): BatchAction | undefined => {
    const action = actions.get(method);
    return parent === undefined && action !== undefined && "item" in action ? action : undefined;
  };
  const sweeper = createSweeper({
    ...options,
    leaseMs: timing.leaseMs,
    forgottenMs: timing.forgottenMs,
    isWhole: (record) => batchOf(record) !== undefined,
  });
  const under = new Set<Promise<unknown>>();
  /** Operations that are looked at now, each with whether its time has come again meanwhile. */
  const looking = new Map<string, boolean>();
  const stopping = new AbortController();
  const track = <Result>(work: Promise<Result>): Promise<Result> => {
    under.add(work);
    const done = (): void => void under.delete(work);
    work.then(done, done);
    return work;
  };
  const follow = async (name: string): Promise<void> => {
    const whole = await store.get(name);
    const batch = whole && batchOf(whole);
    if (batch !== undefined) await rollUp(name, batch, { store, now, failpoint });
  };
  const advance = async (name: string): Promise<void> => {
    if (looking.has(name)) {
      looking.set(name, true);
      return;
    }
    looking.set(name, false);
    try {
      const record = await store.get(name);
      if (record !== undefined && batchOf(record) !== undefined) {
        await follow(name);
      } else if (record?.state === "SENT" || record?.state === "UNKNOWN") {
        await look(record);
        if (record.parent !== undefined) await follow(record.parent);
      }
    } catch (error) {
      onError(error, `looking after ${name}`);
    }
    const again = looking.get(name);
    looking.delete(name);
    if (again && !stopping.signal.aborted) await advance(name);
  };
  const look = async (record: OperationRecord): Promise<void> => {
    const action = actions.get(record.method);
    if (action === undefined) {
      onError(new Error(`nothing here serves ${record.method}`), `looking after ${record.name}`);
      await store.change(record, { wakeTime: now() + timing.forgottenMs }, undefined);
      return;
    }
    await observe(record, "item" in action ? action.item : action, {
      store,
      now,
      failpoint,
      age: sweeper.age,
      settleMs: timing.settleMs,
      limitMs: LOOK_LIMIT_MS,
      stopping: stopping.signal,
      failed: (_record, error) => onError(error, `looking at ${record.target} for ${record.name}`),
    });
  };

  let available = true;
  let purged = Number.NEGATIVE_INFINITY;
  const round = async (): Promise<void> => {
    // Not waited for: a look may take longer than this replica may be silent.
    for (const name of await sweeper.sweep()) void track(advance(name));
    if (monotonic() - purged >= PURGE_MS) {
      purged = monotonic();
      while ((await store.purge(now() - timing.retentionMs, PURGE_BATCH)) === PURGE_BATCH);
    }
  };
  const beat = async (): Promise<void> => {
    try {
      await round();
      if (!available) options.health(true);
      available = true;
    } catch (error) {
      if (available) options.health(false, error);
      available = false;
      onError(error, "looking after operations");
    }
  };

  // Before any call is accepted here: who accepts one must not count as dead. What the dead have left does not hold up a start.
  await store.beat();
  await store.wake((name) => track(advance(name)));
  let timer: NodeJS.Timeout | undefined;
  const next = (afterMs: number): void => {
    timer = setTimeout(() => void track(beat()).then(() => stopping.signal.aborted || next(timing.beatMs)), afterMs);
  };
  next(0);
  return {
    actionOf: (method) => actions.get(method),
    rollUp: follow,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      clearTimeout(timer);
      await Promise.allSettled(under);
    },
  };
}
