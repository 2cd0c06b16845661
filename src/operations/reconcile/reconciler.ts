import type { DescMessage } from "@bufbuild/protobuf";
import type { Action, BatchAction } from "../../core/operation.ts";
import type { Tracer } from "../../core/tracer.ts";
import type { FailpointHook } from "../records/failpoint.ts";
import { rollUp } from "../records/parent.ts";
import type { Timing } from "../records/timing.ts";
import type { OpenOperation, OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { createLooks } from "./looks.ts";
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
  /** Whether surely nothing was sent of an operation of this process's. */
  readonly isDisowned: (name: string) => boolean;
  /** Told whether the store can be used, when that changes. */
  readonly health: (available: boolean, cause?: unknown) => void;
  readonly onError: (error: unknown, what: string) => void;
  /** Keeps track of what looks ask vendors. */
  readonly tracer: Tracer;
}

/** Looks after the operations that nobody waits for: beats, orphans, looks, retention. */
export interface Reconciler extends AsyncDisposable {
  actionOf(method: string): AnyAction | undefined;
  /** Takes care of an operation whose call is over, from now on. */
  adopt(record: OperationRecord): void;
  /** Brings an operation with children to where they are now; does nothing to any other. Rejects when the store does. */
  rollUp(name: string): Promise<void>;
}

/** Ended operations are looked for so often (ms). */
const PURGE_MS = 60_000;

/** At most so many operations are removed in one transaction. */
const PURGE_BATCH = 500;

/** Begins. Rejects when the store does. */
export async function startReconciler(options: ReconcilerOptions): Promise<Reconciler> {
  const { store, now, monotonic, timing, failpoint, actions, inFlight, onError } = options;
  /** The action of an operation that has children. */
  const batchOf = ({ method, parent }: Pick<OpenOperation, "method" | "parent">): BatchAction | undefined => {
    const action = actions.get(method);
    return parent === undefined && action !== undefined && "item" in action ? action : undefined;
  };
  const sweeper = createSweeper({
    ...options,
    leaseMs: timing.leaseMs,
    isParent: (record) => batchOf(record) !== undefined,
  });
  const rollUpParent = async (name: string): Promise<void> => {
    const parent = await store.get(name);
    const batch = parent && batchOf(parent);
    if (batch !== undefined) await rollUp(name, batch, { store, now, failpoint });
  };
  const looks = createLooks({
    ...options,
    age: sweeper.age,
    actionOf: ({ method }) => {
      const action = actions.get(method);
      return action !== undefined && "item" in action ? action.item : action;
    },
    isParent: (record) => batchOf(record) !== undefined,
    rollUp: rollUpParent,
  });
  const under = new Set<Promise<unknown>>();
  const track = (work: Promise<unknown>): Promise<unknown> => {
    under.add(work);
    const done = (): void => void under.delete(work);
    work.then(done, done);
    return work;
  };

  let stopped = false;
  let available = true;
  let purged = Number.NEGATIVE_INFINITY;
  const round = async (): Promise<void> => {
    const begun = monotonic();
    const { orphans, own } = await sweeper.sweep();
    looks.compare(
      own.filter(({ name }) => !inFlight(name)),
      begun,
    );
    // Not waited for: it may take longer than this replica may be silent.
    for (const name of orphans) {
      void track(rollUpParent(name).catch((error: unknown) => onError(error, `looking after ${name}`)));
    }
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
  let timer: NodeJS.Timeout | undefined;
  const next = (afterMs: number): void => {
    timer = setTimeout(() => void track(beat()).then(() => stopped || next(timing.beatMs)), afterMs);
  };
  next(0);
  return {
    actionOf: (method) => actions.get(method),
    adopt: (record) => looks.adopt(record, timing.firstLookMs),
    rollUp: rollUpParent,
    async [Symbol.asyncDispose]() {
      stopped = true;
      clearTimeout(timer);
      await Promise.allSettled([looks[Symbol.asyncDispose](), ...under]);
    },
  };
}
