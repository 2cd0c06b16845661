import { type RawBuilder, sql } from "kysely";
import type { Db, Trx } from "./schema.ts";
import { StoreRefused } from "./store.ts";

/** What table definitions need to know of the database. */
export interface Dialect {
  /** Type of text that is ordered by its bytes in UTF-8. */
  readonly text: RawBuilder<unknown>;
  /** Type of a primary key that the database counts up. */
  readonly sequence: RawBuilder<unknown>;
  /** Answers a row if there is the table `meta`. */
  readonly hasMeta: RawBuilder<unknown>;
}

/**
 * One step from a schema version to the next; it never changes once it was released. It only adds: tables, indexes, and columns that
 * have a default, or may be null, and that no seal (rows.ts) is about. So a program of the version before works on beside a newer one,
 * and may come back. It reads nothing, for `restartd store sql` prints it.
 */
export type Migration = (trx: Trx, dialect: Dialect) => Promise<void>;

/** Every step in order: the n-th (from 1) makes schema version n. */
export const MIGRATIONS: readonly Migration[] = [first, second];

/**
 * The oldest program, by the schema version that it knows, that may use a store of the newest schema. It grows by a release that drops
 * what the one before has stopped to use.
 */
export const MIN_PROGRAM = 1;

/** What a store says of itself; all of it 0 while there is no store yet. */
export interface SchemaState {
  readonly version: number;
  /** See {@link MIN_PROGRAM}; a store that does not say may be used by no program that is older than itself. */
  readonly minProgram: number;
  /** How often it was opened: SQLite alone counts (sqlite/starts.ts). */
  readonly starts: number;
}

/**
 * Reads what a store says of itself.
 *
 * @throws StoreRefused when it cannot be understood.
 */
export async function readSchemaState(db: Db, dialect: Dialect): Promise<SchemaState> {
  if ((await dialect.hasMeta.execute(db)).rows.length === 0) return { version: 0, minProgram: 0, starts: 0 };
  const rows = await db.selectFrom("meta").selectAll().execute();
  const facts = new Map(rows.map(({ key, value }) => [key, Number(value)]));
  const version = facts.get("schema_version") ?? 0;
  const state = { version, minProgram: facts.get("min_program") ?? version, starts: facts.get("starts") ?? 0 };
  if (!Object.values(state).every((count) => Number.isSafeInteger(count) && count >= 0)) {
    throw new StoreRefused("The store does not say which schema version it has: it is damaged; restore a backup.");
  }
  return state;
}

/**
 * Whether a store has to be migrated.
 *
 * @param known the newest schema version that this program knows.
 * @throws StoreRefused when the store is newer than this program, and no longer for it.
 */
export function isOlder({ version, minProgram }: SchemaState, known: number): boolean {
  if (version > known && minProgram > known) {
    throw new StoreRefused(
      `The store has schema version ${version}, which programs that know versions from ${minProgram} on may use, and this restartd knows versions up to ${known}: a newer restartd has used it. Start that newer version again, or restore a backup from before the upgrade.`,
    );
  }
  return version < known;
}

/**
 * Brings the store to the newest schema version; one that is newer stays as it is. Who calls it sees to it that nobody else does at the
 * same time.
 *
 * @param trx one transaction for all of it: either everything is migrated or nothing.
 * @param replica names the store if it is made here.
 * @throws StoreRefused when the store is newer than this program, and no longer for it.
 */
export async function migrate(
  trx: Trx,
  dialect: Dialect,
  replica: string,
  migrations: readonly Migration[] = MIGRATIONS,
  minProgram = MIN_PROGRAM,
): Promise<void> {
  const state = await readSchemaState(trx, dialect);
  if (!isOlder(state, migrations.length)) return;
  if (state.version === 0) {
    await sql`create table if not exists meta (key ${dialect.text} primary key, value ${dialect.text} not null)`.execute(
      trx,
    );
    await trx
      .insertInto("meta")
      .values({ key: "store_id", value: replica })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  for (const migration of migrations.slice(state.version)) await migration(trx, dialect);
  for (const [key, value] of [
    ["schema_version", migrations.length],
    ["min_program", minProgram],
  ] as const) {
    await setMeta(trx, key, String(value));
  }
}

/** Writes a fact about the store. */
export async function setMeta(trx: Db, key: string, value: string): Promise<void> {
  await trx
    .insertInto("meta")
    .values({ key, value })
    .onConflict((conflict) => conflict.column("key").doUpdateSet({ value }))
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

/** Freezes, and who somebody was in the audit trail. */
async function second(trx: Trx, { text }: Dialect): Promise<void> {
  const statements = [
    sql`create table freezes (
      name ${text} primary key,
      targets ${text} not null,
      until_time bigint not null,
      message ${text} not null,
      reason ${text} not null,
      principal ${text} not null,
      create_time bigint not null,
      seal bigint
    )`,
    sql`alter table audit add column identity ${text}`,
    sql`insert into meta (key, value) values ('freeze_epoch', '0')`,
  ];
  for (const statement of statements) await statement.execute(trx);
}
