import type { DescMessage } from "@bufbuild/protobuf";
import type { Action, Observation } from "../../core/operation.ts";
import type { Tracer } from "../../core/tracer.ts";
import { spanOf } from "../records/span.ts";
import type { OpenOperation, OperationRecord } from "../store/record.ts";
import {
  afterFailure,
  applyObservation,
  isToBeLookedAt,
  later,
  type ObserveOptions,
  requestOf,
  viewOf,
  waitsFor,
  waitsForRunning,
} from "./observe.ts";
import { createSchedule } from "./schedule.ts";

type AnyAction = Action<DescMessage, DescMessage, unknown>;

/** What looking takes. */
export interface LooksOptions extends ObserveOptions {
  readonly monotonic: () => number;
  /** How long (ms) an operation has been in its state, as far as this process has seen. */
  readonly age: (record: OperationRecord) => number;
  /** What an operation's one target is asked by; undefined when nothing here serves it. */
  readonly actionOf: (record: OperationRecord) => AnyAction | undefined;
  readonly isParent: (record: OperationRecord) => boolean;
  /** Brings a parent to where its children are. */
  readonly rollUp: (name: string) => Promise<void>;
  readonly onError: (error: unknown, what: string) => void;
  /** Keeps track of what looks ask vendors. */
  readonly tracer: Tracer;
}

/**
 * The operations that this process looks at until their end. When it looks at one next is in its memory alone: what is stored is what
 * was learned, which is all that another process needs to go on.
 */
export interface Looks extends AsyncDisposable {
  /** Looks at an operation from now on, for the first time after so long (ms). */
  adopt(record: OperationRecord, afterMs: number): void;
  /**
   * Adopts what is this process's and is not looked at, and drops what is not.
   *
   * @param own what was this process's at a time not before `since` (monotonic ms).
   */
  compare(own: readonly OpenOperation[], since: number): void;
}

/** One operation that is looked at. */
interface Entry {
  /** As it was last read or written here; undefined when it has to be read. */
  record: OperationRecord | undefined;
  readonly adopted: number;
  /** Ends following it; undefined while it is not followed. */
  unfollow: (() => void) | undefined;
  /** Whether it can be followed, as far as is known. */
  followable: boolean;
  /** What following has shown, until it is judged. */
  seen: Observation | undefined;
  /** How many looks in a row have failed. */
  failures: number;
}

/** Bounds (ms) one look at a target. */
const LOOK_LIMIT_MS = 30_000;

/** After so long (ms) it is tried again where the store is away. */
const STORE_AGAIN_MS = 2_000;

/** Where many operations wait, as after a start, one is looked at after so long (ms) after the other: calls go before. */
const LOOK_EVERY_MS = 10;

/** A parent is compared with its children after so long (ms), beside each time that one of them ends. */
const PARENT_EVERY_MS = 15_000;

/** What is followed and has shown nothing for so long (ms) is looked at once: what there was to show may have come too early. */
const SILENCE_MS = 10_000;

/** Of what is not served here nobody knows anything; another version may come that does (ms). */
const UNSERVED_EVERY_MS = 30_000;

/** Nothing is looked at yet. */
export function createLooks(options: LooksOptions): Looks {
  const { store, monotonic, age, onError, isParent } = options;
  const entries = new Map<string, Entry>();
  const stopping = new AbortController();
  const schedule = createSchedule(advance);

  const drop = (name: string): void => {
    entries.get(name)?.unfollow?.();
    entries.delete(name);
    schedule.delete(name);
  };

  async function advance(name: string): Promise<void> {
    const entry = entries.get(name);
    if (entry === undefined) return;
    try {
      entry.record ??= await store.get(name);
      const { record } = entry;
      if (record === undefined || !isToBeLookedAt(record)) return drop(name);
      await (isParent(record)
        ? lookAtParent(entry, record)
        : options.tracer.follow(spanOf(record), () => look(entry, record)));
    } catch (error) {
      if (stopping.signal.aborted) return;
      onError(error, `looking after ${name}`);
      entry.record = undefined;
      again(entry, name, STORE_AGAIN_MS);
    }
  }

  /** Not if it was dropped meanwhile. */
  const again = (entry: Entry, name: string, afterMs: number): void => {
    if (entries.get(name) === entry) schedule.set(name, afterMs);
  };

  async function lookAtParent(entry: Entry, { name }: OperationRecord): Promise<void> {
    await options.rollUp(name);
    entry.record = undefined;
    again(entry, name, PARENT_EVERY_MS);
  }

  async function look(entry: Entry, record: OperationRecord): Promise<void> {
    const { name } = record;
    const action = options.actionOf(record);
    if (action === undefined) {
      onError(new Error(`nothing here serves ${record.method}`), `looking after ${name}`);
      return again(entry, name, UNSERVED_EVERY_MS);
    }
    if (record.state === "SENT" && follow(entry, record, action) && entry.seen === undefined) {
      return again(entry, name, SILENCE_MS);
    }
    const before = age(record);
    const { seen } = entry;
    let observation: Observation;
    try {
      observation = seen ?? (await observe(record, action));
      entry.failures = 0;
    } catch (error) {
      if (stopping.signal.aborted) return;
      onError(error, `looking at ${record.target} for ${name}`);
      entry.failures++;
      if (waitsFor(record, action, before, options) > 0) {
        return again(entry, name, later(before, afterFailure(action.lookMs, error, entry.failures)));
      }
      observation = { kind: "unclear" };
    }
    const observed = await applyObservation(record, action, observation, before, options);
    if (observed.record === undefined) {
      if (observed.ended) drop(name);
      else {
        entry.record = undefined;
        again(entry, name, 0);
      }
      if (record.parent !== undefined) await options.rollUp(record.parent);
      return;
    }
    entry.record = observed.record;
    if (entry.seen === seen) entry.seen = undefined;
    if (entry.unfollow === undefined) return again(entry, name, observed.againMs);
    if (entry.seen !== undefined) return again(entry, name, 0);
    if (observation.progress !== undefined && observation.progress !== observed.record.progress) {
      entry.seen = observation; // to be written when its time has come
      return again(entry, name, observed.againMs);
    }
    again(entry, name, Math.max(SILENCE_MS, waitsForRunning(entry.record, action, before, options)));
  }

  const observe = (record: OperationRecord, action: AnyAction): Promise<Observation> =>
    action.observe(
      viewOf(record),
      requestOf(action, record),
      AbortSignal.any([stopping.signal, AbortSignal.timeout(LOOK_LIMIT_MS)]),
    );

  /** Answers whether it has begun to follow it. */
  function follow(entry: Entry, record: OperationRecord, action: AnyAction): boolean {
    if (entry.unfollow !== undefined || !entry.followable || action.follow === undefined) return false;
    const { name } = record;
    entry.unfollow = action.follow(viewOf(record), requestOf(action, record), {
      seen(observation) {
        entry.seen = observation;
        again(entry, name, 0);
      },
      lost() {
        entry.unfollow = undefined;
        entry.followable = false;
        again(entry, name, 0);
      },
    });
    entry.followable = entry.unfollow !== undefined;
    return entry.followable;
  }

  const adopt = (name: string, record: OperationRecord | undefined, afterMs: number): void => {
    if (stopping.signal.aborted) return;
    const known = entries.get(name);
    if (known !== undefined) {
      known.record = record;
    } else {
      entries.set(name, {
        record,
        adopted: monotonic(),
        unfollow: undefined,
        followable: true,
        seen: undefined,
        failures: 0,
      });
    }
    schedule.set(name, afterMs);
  };

  return {
    adopt: (record, afterMs) => {
      if (record.owner === store.replica && isToBeLookedAt(record)) adopt(record.name, record, afterMs);
    },
    compare(own, since) {
      const names = new Set(own.map(({ name }) => name));
      for (const [name, { adopted }] of entries) {
        if (!names.has(name) && adopted < since) drop(name);
      }
      let count = 0;
      for (const { name, version } of own) {
        const entry = entries.get(name);
        if (entry === undefined) adopt(name, undefined, count++ * LOOK_EVERY_MS);
        else if (entry.record !== undefined && entry.record.version < version) entry.record = undefined;
      }
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      for (const name of [...entries.keys()]) drop(name);
      await schedule.stop();
    },
  };
}
