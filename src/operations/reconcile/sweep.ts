import { Failure } from "../../core/errors.ts";
import type { OperationState } from "../../core/operation.ts";
import { formatFailure } from "../../core/status.ts";
import type { OpenOperation, OperationRecord } from "../store/record.ts";
import type { Step, Store } from "../store/store.ts";
import { isToBeLookedAt } from "./observe.ts";

/** What sweeping takes. */
export interface SweepOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  /** How long (ms) a replica may be silent before it counts as dead. */
  readonly leaseMs: number;
  /** Whether this process runs the call of an operation now. */
  readonly inFlight: (name: string) => boolean;
  /** Whether surely nothing was sent of an operation of this process's. */
  readonly isDisowned: (name: string) => boolean;
  /** Whether an operation has children. */
  readonly isParent: (record: OpenOperation) => boolean;
}

/** What a sweep has found. */
export interface Swept {
  /** Parents whose call has gone: they go where their children are. */
  readonly orphans: readonly string[];
  /** What this process is to look at, those included that it has just taken over. */
  readonly own: readonly OpenOperation[];
}

/** Finds what nobody works on any longer. Only what is looked at depends on its judgement, never whether something is sent. */
export interface Sweeper {
  /** Looks through every operation that has not ended. Rejects when the store does. */
  sweep(): Promise<Swept>;
  /** How long (ms) this process has seen an operation in its state. */
  age(record: Pick<OperationRecord, "name" | "state">): number;
}

/** At most so many operations are taken on in one transaction: whoever wants to write meanwhile waits for it. */
const TAKEN_AT_ONCE = 32;

/** Begins with knowing nothing: ages and leases are counted from what this process sees itself, so that no clock has to agree. */
export function createSweeper(options: SweepOptions): Sweeper {
  const { store, monotonic, leaseMs, inFlight, isParent } = options;
  const seen = new Map<string, { readonly state: OperationState; readonly since: number }>();
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
  const isOrphan = ({ name, owner }: OpenOperation): boolean =>
    owner === store.replica ? !inFlight(name) : isDead(owner);
  const isOwn = ({ owner }: OpenOperation): boolean => owner === store.replica || store.exclusive;

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
      for (const name of seen.keys()) {
        if (!names.has(name)) seen.delete(name);
      }
      const orphans: string[] = [];
      const own: OpenOperation[] = [];
      const left: OpenOperation[] = [];
      for (const one of open) {
        age(one);
        if (isToBeLookedAt(one)) {
          if (isOwn(one)) own.push(one);
          else if (isDead(one.owner)) left.push(one);
        } else if (isOrphan(one)) {
          // A parent sends nothing itself, and ends as its children do.
          if (isParent(one)) orphans.push(one.name);
          else left.push(one);
        }
      }
      for (let at = 0; at < left.length; at += TAKEN_AT_ONCE) {
        const taken = await take(options, left.slice(at, at + TAKEN_AT_ONCE));
        own.push(...taken.filter(isToBeLookedAt));
      }
      return { orphans, own };
    },
  };
}

/** Takes on what nobody works on; what has changed since it was found is left to the next sweep. Answers what was taken. */
async function take(
  { store, now, isDisowned }: SweepOptions,
  left: readonly OpenOperation[],
): Promise<OperationRecord[]> {
  const records = await Promise.all(left.map(({ name }) => store.get(name)));
  const steps = left.flatMap(({ version }, at) => {
    const before = records[at];
    if (before?.version !== version) return [];
    const { state, owner, name } = before;
    const unsent = state === "ACCEPTED" || (state === "SENDING" && owner === store.replica && isDisowned(name));
    return [unsent ? cancel(before, now()) : look(before, store.replica)];
  });
  const taken = await store.changeAll(steps);
  return taken.filter((record) => record !== undefined);
}

/** Has this replica look what became of an operation that may have been sent. */
const look = (before: OperationRecord, owner: string): Step =>
  isToBeLookedAt(before)
    ? { before, change: { owner }, event: undefined }
    : {
        before,
        change: { state: "UNKNOWN", owner },
        event: { event: "outcome unknown", detail: "the server that was sending it is gone" },
      };

/** Ends an operation that surely was not sent, and whose call has gone. */
function cancel(before: OperationRecord, now: number): Step {
  const failure = new Failure("CANCELLED", "the server that had accepted the call is gone; nothing was sent");
  return {
    before,
    change: { state: "CANCELLED", blocks: false, error: formatFailure(failure), endTime: now },
    event: { event: "cancelled", detail: failure.message },
  };
}
