import type { FreezeChange, Freezes } from "../../core/freeze.ts";
import type { OperationState } from "../../core/operation.ts";
import type { AuditEvent, AuditRow, Change, OpenOperation, OperationRecord, Tombstone } from "./record.ts";

/**
 * Where operations are kept, durably: what a promise of a write has resolved for survives a crash and a power loss. A write that
 * rejects may have happened all the same. The same on SQLite and on PostgreSQL.
 */
export interface Store extends AsyncDisposable {
  /** Id of this process among the replicas: a new one at every start. */
  readonly replica: string;
  /**
   * Whether this process alone uses it. Then nobody else is at work on anything in it, what was asked for first is written first, and a
   * read sees every write that was asked for before it.
   */
  readonly exclusive: boolean;
  /**
   * W1: stores new operations with an audit row each, in one transaction.
   *
   * @param instead says what to store, blocking nothing, in place of an operation whose target another one blocks, as long as some
   *   other of those that block is not blocked itself. Without it, or if all are, nothing is stored.
   * @param epoch of the freezes that permit it: where an operation is stored with its permit. Not for what has `instead`.
   */
  insert(records: readonly OperationRecord[], event: EventOf, instead?: Instead, epoch?: number): Promise<Inserted>;
  /**
   * Changes an operation and writes an audit row, in one durable transaction, if it still has this version.
   *
   * @param event undefined for what is no change of state, such as progress: it is not audited.
   * @param epoch of the freezes that permit it, for a permit: with a change of them that has resolved it does not happen.
   * @returns the operation as it is now; undefined when it has another version, is gone, or freezes are no longer those of `epoch`.
   * @throws UncertainCommit when the commit may have happened, and whatever else the database throws.
   */
  change(
    before: OperationRecord,
    change: Change,
    event: AuditEvent | undefined,
    epoch?: number,
  ): Promise<OperationRecord | undefined>;
  /** The same for several different operations, in one transaction: those that have another version, or are gone, stay as they are. */
  changeAll(steps: readonly Step[]): Promise<(OperationRecord | undefined)[]>;
  get(name: string): Promise<OperationRecord | undefined>;
  /** The operation that keeps others from a target now. */
  blocking(target: string): Promise<OperationRecord | undefined>;
  /** Who used a request_id. */
  find(principal: string, requestId: string): Promise<Found | undefined>;
  /** The children of an operation, in the order in which they were inserted. */
  children(parent: string): Promise<OperationRecord[]>;
  /** A page, newest first. */
  list(query: ListQuery): Promise<OperationRecord[]>;
  /** Every operation that has not ended. Not compared with its checksum: who acts on one reads it first. */
  open(): Promise<OpenOperation[]>;
  /** The freezes that callers have made, those that have run out among them. */
  freezes(): Promise<Freezes>;
  /**
   * Changes them, if they are still those of an epoch, and answers whether. Once it has resolved, no write that relies on an older epoch
   * happens any more, here or in another replica.
   */
  changeFreezes(epoch: number, change: FreezeChange): Promise<boolean>;
  /** Facts about the whole store, for those who watch over it. */
  summary(): Promise<StoreSummary>;
  /** The audit trail of an operation, oldest first. */
  audit(name: string): Promise<AuditRow[]>;
  /** Leaves of an ended operation its tombstone alone, if it still has this version. */
  remove(record: OperationRecord): Promise<boolean>;
  /** The same for operations that ended before a time (epoch ms), at most `limit`; answers how many. Parts go with their parent. */
  purge(endedBefore: number, limit: number): Promise<number>;
  /** Says that this replica lives, and answers how often every replica has said so: who does not move is dead. */
  beat(): Promise<ReadonlyMap<string, number>>;
  /**
   * Calls `listener` with the name of each operation that changed, here or in another replica, soon; with undefined when it could not
   * be told of some: any may have changed.
   */
  subscribe(listener: (name: string | undefined) => void): () => void;
  /** Writes a consistent copy of everything to a new file, while work goes on. SQLite alone; PostgreSQL has its own tools. */
  backup?(file: string): Promise<void>;
}

/** One of the changes of {@link Store.changeAll}: what {@link Store.change} is told. */
export interface Step {
  readonly before: OperationRecord;
  readonly change: Change;
  readonly event: AuditEvent | undefined;
}

/** What the audit trail says of an operation that is inserted. */
export type EventOf = AuditEvent | ((record: OperationRecord) => AuditEvent);

/** See {@link Store.insert}. */
export type Instead = (record: OperationRecord, blocking: OperationRecord) => OperationRecord;

/** What became of an {@link Store.insert}. */
export type Inserted =
  /** Some request_id was used before: nothing was stored. */
  | { readonly duplicate: Found; readonly stale?: undefined }
  /** Freezes are no longer those of the epoch: nothing was stored. */
  | { readonly duplicate?: undefined; readonly stale: true; readonly blocked: ReadonlyMap<string, OperationRecord> }
  /** Those (by name) whose target another operation blocks, with that one; what that means for all is said there. */
  | {
      readonly duplicate?: undefined;
      readonly stale?: undefined;
      readonly blocked: ReadonlyMap<string, OperationRecord>;
    };

/** A use of a request_id. */
export type Found =
  | { readonly record: OperationRecord; readonly tombstone?: undefined }
  | { readonly tombstone: Tombstone; readonly record?: undefined };

/** What {@link Store.summary} answers. */
export interface StoreSummary {
  /** A random id that it got when it was made, the same for every replica. Callers never learn it. */
  readonly id: string;
  /** Operations that have not ended, and those that are UNRESOLVED: how many of each rpc in each state, and since when (epoch ms) the oldest. */
  readonly open: readonly {
    readonly method: string;
    readonly state: OperationState;
    readonly count: number;
    readonly oldest: number;
  }[];
  readonly schemaVersion: number;
  /** Bytes of its file; undefined where that is not ours to know. */
  readonly sizeBytes: number | undefined;
  /** When (epoch ms) it was last copied by {@link Store.backup}; undefined: never. */
  readonly lastBackup: number | undefined;
}

/** Which operations to list. */
export interface ListQuery {
  readonly where: readonly Comparison[];
  readonly limit: number;
  /** The last one of the page before. */
  readonly after?: { readonly createTime: number; readonly name: string };
}

/** A comparison of a filter; all of them hold. Time is in epoch ms. */
export type Comparison =
  | { readonly field: "target" | "principal" | "parent"; readonly operator: "=" | "<" | ">"; readonly value: string }
  | { readonly field: "state"; readonly operator: "=" | "<" | ">"; readonly value: OperationState }
  | { readonly field: "createTime"; readonly operator: "=" | "<" | ">"; readonly value: number };

/** A commit of which nobody knows whether, or how safely, it happened. */
export class UncertainCommit extends Error {
  override readonly name = "UncertainCommit";
}

/** The store must not be used: why, and what to do. For whoever starts the process. */
export class StoreRefused extends Error {
  override readonly name = "StoreRefused";
}
