import type { OperationRecord } from "./record.ts";
import { clean, type Rows } from "./rows.ts";
import type { Db, Trx } from "./schema.ts";
import type { HoldEpoch, Statement, Statements } from "./statements.ts";
import type { Found, Store } from "./store.ts";

/** What SQLite and PostgreSQL do differently. */
export interface Engine {
  /** See {@link Store.exclusive}. */
  readonly exclusive: boolean;
  /** Whether rows carry a checksum that is compared when they are read: where the database has none of its own. */
  readonly sealed: boolean;
  /**
   * Runs `work` in one durable transaction, and rolls it back if it throws; what it throws comes out as it is. PostgreSQL: READ
   * COMMITTED, so that each statement sees what was committed before it.
   *
   * @throws UncertainCommit when the commit may have happened.
   */
  transaction<Result>(work: (trx: Trx) => Promise<Result>): Promise<Result>;
  /** How the database names the n-th (from 1) value that is bound. */
  place(position: number): string;
  /**
   * Runs one statement as a durable transaction of its own, where that costs less than to begin and to commit one.
   *
   * @throws UncertainCommit when the commit may have happened.
   */
  single?(statement: Statement): Promise<readonly unknown[]>;
  /** With {@link single}: as part of such a statement, what {@link keepFreezes} and the look at the epoch are in a transaction. */
  readonly holdEpoch?: HoldEpoch;
  /** Keeps freezes as they are until the transaction ends, where others may change them meanwhile; others may keep them as well. */
  keepFreezes?(trx: Trx): Promise<void>;
  /** Waits for the transactions that keep freezes as they are, and keeps others from doing so until the transaction ends. */
  changeFreezes?(trx: Trx): Promise<void>;
  /** Waits for the transactions that were begun before, where reads do not do so by themselves. It must not reject. */
  written?(): Promise<unknown>;
  /** Called after the commit that inserted, changed or (`record` undefined) removed an operation. It must not throw. */
  changed?(name: string, record: OperationRecord | undefined): void;
  readonly subscribe: Store["subscribe"];
  readonly backup?: NonNullable<Store["backup"]>;
  /** Bytes of the database's file. */
  sizeBytes?(): number | Promise<number>;
  /** Closes the database. */
  close(): Promise<void>;
}

/** What createKyselyStore works with. */
export interface KyselyStoreOptions {
  readonly db: Db;
  /** See {@link Store.replica}. */
  readonly replica: string;
  /** The wall clock. */
  readonly now: () => Date;
  readonly engine: Engine;
}

/** What the parts of the store share. */
export interface Context extends KyselyStoreOptions {
  readonly rows: Rows;
  readonly statements: Statements;
}

/** Who used a request_id, be it an operation or what is left of one. */
export async function findRequest(
  { rows }: Context,
  db: Db,
  principal: string,
  requestId: string,
): Promise<Found | undefined> {
  const operation = db.selectFrom("operations").selectAll();
  const tombstone = db.selectFrom("tombstones").selectAll();
  const key = { principal: clean(principal), request_id: requestId };
  const row = await operation
    .where("principal", "=", key.principal)
    .where("request_id", "=", key.request_id)
    .executeTakeFirst();
  if (row !== undefined) return { record: rows.record(row) };
  // Looked at second: an operation that another replica removes in between has left its tombstone by then.
  const left = await tombstone
    .where("principal", "=", key.principal)
    .where("request_id", "=", key.request_id)
    .executeTakeFirst();
  return left && { tombstone: rows.tombstone(left) };
}

/** The operation that blocks a target. */
export async function findBlocker({ rows }: Context, db: Db, target: string): Promise<OperationRecord | undefined> {
  const operation = db.selectFrom("operations").selectAll();
  const row = await operation.where("blocks_target", "=", clean(target)).executeTakeFirst();
  return row && rows.record(row);
}
