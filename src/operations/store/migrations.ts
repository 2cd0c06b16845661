import { type RawBuilder, sql } from "kysely";
import type { Trx } from "./schema.ts";
import { StoreRefused } from "./store.ts";

/** What table definitions need to know of the database. */
export interface Dialect {
  /** Type of text that is ordered by its bytes in UTF-8. */
  readonly text: RawBuilder<unknown>;
  /** Type of a primary key that the database counts up. */
  readonly sequence: RawBuilder<unknown>;
}

/** One step from a schema version to the next; it never changes once it was released. */
export type Migration = (trx: Trx, dialect: Dialect) => Promise<void>;

/** Every step in order: the n-th (from 1) makes schema version n. */
export const MIGRATIONS: readonly Migration[] = [first];

/**
 * Brings the store to the newest schema version. Who calls it sees to it that nobody else does at the same time.
 *
 * @param trx one transaction for all of it: either everything is migrated or nothing.
 * @param replica names the store if it is made here.
 * @throws StoreRefused when the store is newer than this program.
 */
export async function migrate(
  trx: Trx,
  dialect: Dialect,
  replica: string,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<void> {
  await sql`create table if not exists meta (key ${dialect.text} primary key, value ${dialect.text} not null)`.execute(
    trx,
  );
  const row = await trx.selectFrom("meta").select("value").where("key", "=", "schema_version").executeTakeFirst();
  const version = Number(row?.value ?? 0);
  if (!Number.isSafeInteger(version) || version < 0) {
    throw new StoreRefused("The store does not say which schema version it has: it is damaged; restore a backup.");
  }
  if (version > migrations.length) {
    throw new StoreRefused(
      `The store has schema version ${version}, and this restartd knows versions up to ${migrations.length}: a newer restartd has used it. Start that newer version again, or restore a backup from before the upgrade.`,
    );
  }
  if (version === migrations.length) return;
  for (const migration of migrations.slice(version)) await migration(trx, dialect);
  if (row === undefined) await trx.insertInto("meta").values({ key: "store_id", value: replica }).execute();
  await trx
    .insertInto("meta")
    .values({ key: "schema_version", value: String(migrations.length) })
    .onConflict((conflict) => conflict.column("key").doUpdateSet({ value: String(migrations.length) }))
    .execute();
}

async function first(trx: Trx, { text, sequence }: Dialect): Promise<void> {
  const statements = [
    sql`create table operations (
      name ${text} primary key,
      principal ${text} not null,
      request_id ${text},
      request_hash ${text} not null,
      method ${text} not null,
      action ${text} not null,
      target ${text} not null,
      blocks_target ${text},
      state ${text} not null,
      version integer not null,
      owner ${text} not null,
      request ${text} not null,
      response ${text},
      error ${text},
      evidence ${text} not null,
      vendor_job ${text} not null,
      warnings ${text} not null,
      progress ${text} not null,
      reason ${text} not null,
      parent ${text},
      ordinal integer not null,
      audits integer not null,
      cancel_requested integer not null,
      create_time bigint not null,
      send_time bigint,
      update_time bigint not null,
      end_time bigint,
      wake_time bigint,
      seal bigint
    )`,
    sql`create unique index operations_request_id on operations (principal, request_id) where request_id is not null`,
    sql`create unique index operations_blocks_target on operations (blocks_target) where blocks_target is not null`,
    // An index has every column that its condition is about: SQLite's is checked by itself when it is opened (sqlite/check.ts).
    // The list's has all that lists filter by: any filter reads this index alone, in the order of the list, and then the rows of a page.
    // One index for each filter would be faster for some, and slower for combinations, for each write, and for a start.
    sql`create index operations_list on operations (create_time, name, state, target, principal)`,
    sql`create index operations_parent on operations (parent) where parent is not null`,
    sql`create index operations_open on operations (end_time, wake_time) where end_time is null`,
    sql`create index operations_ended on operations (end_time) where end_time is not null`,
    sql`create table audit (
      sequence ${sequence},
      operation ${text} not null,
      time bigint not null,
      replica ${text} not null,
      event ${text} not null,
      actor ${text} not null,
      detail ${text} not null,
      from_state ${text},
      to_state ${text} not null,
      seal bigint
    )`,
    sql`create index audit_operation on audit (operation, sequence)`,
    sql`create table tombstones (
      principal ${text} not null,
      request_id ${text} not null,
      name ${text} not null,
      request_hash ${text} not null,
      method ${text} not null,
      target ${text} not null,
      state ${text} not null,
      response ${text},
      error ${text},
      code integer not null,
      end_time bigint not null,
      seal bigint,
      primary key (principal, request_id)
    )`,
    sql`create table replicas (id ${text} primary key, beats bigint not null, beat_time bigint not null)`,
  ];
  for (const statement of statements) await statement.execute(trx);
}
