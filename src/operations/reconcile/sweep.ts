import { Failure } from "../../core/errors.ts";
import type { OperationState } from "../../core/operation.ts";
import { formatFailure } from "../../core/status.ts";
import { LOOK_EVERY_MS, type OperationRecord } from "../store/record.ts";
import type { Step, Store } from "../store/store.ts";

/** What sweeping takes. */
export interface SweepOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  /** How long (ms) a replica may be silent before it counts as dead. */
  readonly leaseMs: number;
  /** What waits to be looked at counts as forgotten when nothing of it has changed for so long (ms). */
  readonly forgottenMs: number;
  /** Whether this process runs the call of an operation now. */
  readonly inFlight: (name: string) => boolean;
  /** Whether an operation has parts. */
  readonly isWhole: (record: OperationRecord) => boolean;
}

/** Finds what nobody works on any longer. Only what is looked at depends on its judgement, never whether something is sent. */
export interface Sweeper {
  /**
   * Looks at every operation that has not ended. Rejects when the store does.
   *
   * @returns names of those that somebody has to look at: their wake-up was lost, or they have parts and their call has gone.
   */
  sweep(): Promise<string[]>;
  /** How long (ms) this process has seen an operation in its state. */
  age(record: Pick<OperationRecord, "name" | "state">): number;
}

/** At most so many operations are called forgotten at a time: the others have waited for long too. */
const LOOKS_AT_ONCE = 32;

/** At most so many operations are taken on in one transaction: whoever wants to write meanwhile waits for it. */
const RELEASED_AT_ONCE = 32;

/** Begins with knowing nothing: ages and leases are counted from what this process sees itself, so that no clock has to agree. */
export function createSweeper(options: SweepOptions): Sweeper {
  const { store, now, monotonic, leaseMs, forgottenMs, inFlight, isWhole } = options;
  const seen = new Map<string, { readonly state: OperationState; readonly since: number }>();
  const versions = new Map<string, { readonly version: number; readonly since: number }>();
  const beats = new Map<string, { readonly count: number; readonly since: number }>();

  const age = ({ name, state }: Pick<OperationRecord, "name" | "state">): number => {
    const before = seen.get(name);
    if (before?.state === state) {
      return monotonic() - before.since;
    }
    seen.set(name, { state, since: monotonic() });
    return 0;
  };
  const isDead = (replica: string): boolean => {
    const beat = beats.get(replica);
    return beat === undefined || monotonic() - beat.since > leaseMs;
  };
  const isOrphan = ({ name, owner }: OperationRecord): boolean =>
    owner === store.replica ? !inFlight(name) : isDead(owner);
  const isForgotten = ({ name, version }: OperationRecord): boolean => {
    const before = versions.get(name);
    if (before?.version === version && monotonic() - before.since < forgottenMs) {
      return false;
    }
    versions.set(name, { version, since: monotonic() });
    return before?.version === version;
  };

  return {
    age,
    async sweep() {
      // First: whoever has accepted one of these had said before that it lives.
      const open = await store.open();
      for (const [replica, count] of await store.beat()) {
        if (beats.get(replica)?.count !== count) {
          beats.set(replica, { count, since: monotonic() });
        }
      }
      const names = new Set(open.map(({ name }) => name));
      for (const known of [seen, versions]) {
        for (const name of known.keys()) {
          if (!names.has(name)) known.delete(name);
        }
      }
      const orphans: string[] = [];
      const released: Step[] = [];
      const forgotten: string[] = [];
      for (const record of open) {
        age(record);
        if (record.state === "SENT" || record.state === "UNKNOWN") {
          if (forgotten.length < LOOKS_AT_ONCE && isForgotten(record)) forgotten.push(record.name);
        } else if (isOrphan(record)) {
          // What has parts sends nothing itself, and ends as they do.
          if (isWhole(record)) orphans.push(record.name);
          else released.push(release(record, now() + released.length * LOOK_EVERY_MS));
        }
      }
      for (let at = 0; at < released.length; at += RELEASED_AT_ONCE) {
        await store.changeAll(released.slice(at, at + RELEASED_AT_ONCE));
      }
      return [...orphans, ...forgotten];
    },
  };
}

/**
 * Takes an operation on whose call has gone: what surely was not sent is cancelled, what may have been sent is looked for.
 *
 * @param at when (epoch ms).
 */
function release(before: OperationRecord, at: number): Step {
  if (before.state === "SENDING") {
    return {
      before,
      change: { state: "UNKNOWN", wakeTime: at },
      event: { event: "outcome unknown", detail: "the server that was sending it is gone" },
    };
  }
  const failure = new Failure("CANCELLED", "the server that had accepted the call is gone; nothing was sent");
  return {
    before,
    change: { state: "CANCELLED", blocks: false, error: formatFailure(failure), endTime: at },
    event: { event: "cancelled", detail: failure.message },
  };
}
