import type { DescMessage } from "@bufbuild/protobuf";
import type { Action } from "../core/operation.ts";
import type { Reach } from "./failpoint.ts";
import { observe } from "./observe.ts";
import type { OperationRecord } from "./record.ts";
import type { Timing } from "./runner.ts";
import type { Store } from "./store.ts";
import { createSweeper } from "./sweep.ts";

/** What keeping operations going takes. */
export interface KeeperOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  readonly timing: Timing;
  readonly reach: Reach;
  /** By full name of the rpc. */
  readonly actions: ReadonlyMap<string, Action<DescMessage, DescMessage, unknown>>;
  /** Whether this process runs the call of an operation now. */
  readonly inFlight: (name: string) => boolean;
  /** Told whether the store can be used, when that changes. */
  readonly health: (available: boolean) => void;
  readonly trouble: (error: unknown, what: string) => void;
}

/** Looks after the operations that nobody waits for: beats, orphans, wake-ups, retention. */
export interface Keeper extends AsyncDisposable {
  actionOf(method: string): Action<DescMessage, DescMessage, unknown> | undefined;
}

/** Bounds (ms) one look at a target. */
const LOOK_LIMIT_MS = 30_000;

/** Ended operations are looked for so often (ms). */
const PURGE_MS = 60_000;

/** At most so many operations are removed in one transaction. */
const PURGE_BATCH = 500;

/** Begins. Rejects when the store does. */
export async function startKeeper(options: KeeperOptions): Promise<Keeper> {
  const { store, now, monotonic, timing, reach, actions, trouble } = options;
  const sweeper = createSweeper({ ...options, leaseMs: timing.leaseMs, forgottenMs: timing.forgottenMs });
  const under = new Set<Promise<unknown>>();
  const looking = new Set<string>();
  const stopping = new AbortController();
  const track = <Result>(work: Promise<Result>): Promise<Result> => {
    under.add(work);
    const done = (): void => void under.delete(work);
    work.then(done, done);
    return work;
  };
  const advance = async (name: string): Promise<void> => {
    if (looking.has(name)) {
      return;
    }
    looking.add(name);
    try {
      const record = await store.get(name);
      if (record !== undefined && (record.state === "SENT" || record.state === "UNKNOWN")) {
        await look(record);
      }
    } catch (error) {
      trouble(error, `looking after ${name}`);
    } finally {
      looking.delete(name);
    }
  };
  const look = async (record: OperationRecord): Promise<void> => {
    const action = actions.get(record.method);
    if (action === undefined) {
      trouble(new Error(`nothing here serves ${record.method}`), `looking after ${record.name}`);
      await store.change(record, { wakeTime: now() + timing.forgottenMs }, undefined);
      return;
    }
    await observe(record, action, {
      store,
      now,
      reach,
      age: sweeper.age,
      settleMs: timing.settleMs,
      limitMs: LOOK_LIMIT_MS,
      stopping: stopping.signal,
      failed: (_record, error) => trouble(error, `looking at ${record.target} for ${record.name}`),
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
      if (available) options.health(false);
      available = false;
      trouble(error, "looking after operations");
    }
  };

  await round();
  await store.wake((name) => track(advance(name)));
  let timer: NodeJS.Timeout | undefined;
  const next = (): void => {
    timer = setTimeout(() => void track(beat()).then(() => stopping.signal.aborted || next()), timing.beatMs);
  };
  next();
  return {
    actionOf: (method) => actions.get(method),
    async [Symbol.asyncDispose]() {
      stopping.abort();
      clearTimeout(timer);
      await Promise.allSettled(under);
    },
  };
}
