import type { ColumnType, GeneratedAlways, Kysely, Transaction } from "kysely";
import type { OperationState } from "../../core/operation.ts";

/** The tables of the store, the same on SQLite and on PostgreSQL. Their columns' meaning is that of record.ts. */
export interface Tables {
  readonly operations: OperationTable;
  readonly audit: AuditTable;
  readonly tombstones: TombstoneTable;
  readonly replicas: ReplicaTable;
  readonly meta: MetaTable;
  readonly freezes: FreezeTable;
}

/** The store's database. */
export type Db = Kysely<Tables>;
/** A transaction of it. */
export type Trx = Transaction<Tables>;

/** A 64-bit integer, always within what a number holds; `pg` reads it as a string. */
type Long = ColumnType<number | string, number, number>;
type LongOrNull = ColumnType<number | string | null, number | null, number | null>;

/** One operation. */
export interface OperationTable {
  readonly name: string;
  readonly principal: string;
  readonly request_id: string | null;
  readonly request_hash: string;
  readonly method: string;
  readonly action: string;
  readonly target: string;
  /** The target while the operation keeps others from it: unique. */
  readonly blocks_target: string | null;
  readonly state: OperationState;
  readonly version: number;
  readonly owner: string;
  readonly request: string;
  readonly response: string | null;
  readonly error: string | null;
  readonly evidence: string;
  readonly vendor_job: string;
  /** Tokens, each followed by a line feed. */
  readonly warnings: string;
  readonly progress: string;
  readonly reason: string;
  readonly parent: string | null;
  /** Its place among the operations that were inserted with it. */
  readonly ordinal: number;
  /** How many rows of the audit trail it has. */
  readonly audits: number;
  /** 0 or 1. */
  readonly cancel_requested: number;
  readonly create_time: Long;
  readonly send_time: LongOrNull;
  readonly update_time: Long;
  readonly end_time: LongOrNull;
  /** Not used any longer: when an operation is looked at is known to who looks. */
  readonly wake_time: LongOrNull;
  /** See {@link sealOf} in rows.ts. */
  readonly seal: LongOrNull;
}

/** The audit trail: rows are inserted, and go with their operation. */
export interface AuditTable {
  readonly sequence: GeneratedAlways<number | string>;
  readonly operation: string;
  readonly time: Long;
  readonly replica: string;
  readonly event: string;
  readonly actor: string;
  readonly detail: string;
  /** JSON (core/identity.ts) in rows of calls; null where nobody is asked who they are. */
  readonly identity: string | null;
  readonly from_state: OperationState | null;
  /** FROZEN and LIFTED stand in rows about freezes, whose `operation` is freezes/{name}; those stay. */
  readonly to_state: OperationState | "FROZEN" | "LIFTED";
  readonly seal: LongOrNull;
}

/** Request ids whose operation is gone. */
export interface TombstoneTable {
  readonly principal: string;
  readonly request_id: string;
  readonly name: string;
  readonly request_hash: string;
  readonly method: string;
  readonly target: string;
  readonly state: OperationState;
  readonly response: string | null;
  readonly error: string | null;
  readonly code: number;
  readonly end_time: Long;
  readonly seal: LongOrNull;
}

/** Freezes that callers have made. */
export interface FreezeTable {
  readonly name: string;
  /** JSON: a list of patterns. */
  readonly targets: string;
  readonly until_time: Long;
  readonly message: string;
  readonly reason: string;
  readonly principal: string;
  readonly create_time: Long;
  readonly seal: LongOrNull;
}

/** Processes that use the store, or did. */
export interface ReplicaTable {
  readonly id: string;
  readonly beats: Long;
  /** Wall clock of its last beat, to forget it by after a month. */
  readonly beat_time: Long;
}

/**
 * Facts about the store itself: `schema_version`; `min_program` (migrations.ts); `store_id`, the replica that made it; `starts`
 * (sqlite/starts.ts); `last_backup` (summary.ts); `freeze_epoch`, how often freezes have changed.
 */
export interface MetaTable {
  readonly key: string;
  readonly value: string;
}
