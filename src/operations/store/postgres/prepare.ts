import { CompiledQuery, Kysely, type LogEvent, PostgresDialect, sql } from "kysely";
import pg from "pg";
import { type Dialect, isOlder, MIGRATIONS, type Migration, migrate, readSchemaState } from "../migrations.ts";
import type { Tables } from "../schema.ts";
import { StoreRefused } from "../store.ts";
import type { GiveAddress } from "./address.ts";
import { openPool, type Pool } from "./pool.ts";

/** What migrations need to know of PostgreSQL. */
export const DIALECT: Dialect = {
  text: sql.raw('text collate "C"'),
  sequence: sql.raw("bigint generated always as identity primary key"),
  // Not to_regclass: while it waited for its turn, a session may have missed that there is one now.
  hasMeta: sql`select 1 as there from pg_class where relname = 'meta' and pg_table_is_visible(oid)`,
};

/** Key of the advisory lock that replicas take to migrate: "rstd". */
export const MIGRATION_LOCK = 0x72737464;

/** Until a replica gives up waiting for another one that migrates. */
const TURN_MS = 60_000;

/** insufficient_privilege, lock_not_available. */
const [FORBIDDEN, LOCKED] = ["42501", "55P03"];

/** How the tables are made. */
export interface PrepareOptions {
  readonly url: GiveAddress;
  readonly replica: string;
  readonly warn: (message: string) => void;
  readonly migrations?: readonly Migration[];
  readonly minProgram?: number;
  /** Default: a minute. */
  readonly turnMs?: number;
}

/**
 * Makes or migrates the tables; one replica at a time. Where nothing is missing nothing is locked, and no right to define is needed.
 *
 * @throws StoreRefused when another replica takes too long, or the role has no right to what is missing.
 */
export async function prepare(options: PrepareOptions): Promise<void> {
  const { url, replica, warn, migrations = MIGRATIONS, minProgram, turnMs = TURN_MS } = options;
  const migrating = openPool(url, warn, "migration");
  let failed: string | undefined;
  const db = openKysely(migrating, (event) => {
    if (event.level === "error") failed ??= event.query.sql;
  });
  try {
    const state = await readSchemaState(db, DIALECT);
    if (!isOlder(state, migrations.length)) return;
    await db.transaction().execute(async (trx) => {
      await trx.executeQuery(CompiledQuery.raw(`set local lock_timeout = ${turnMs}`));
      await trx.executeQuery(CompiledQuery.raw(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`));
      await migrate(trx, DIALECT, replica, migrations, minProgram);
    });
  } catch (error) {
    throw refusalOf(error, failed, turnMs);
  } finally {
    await migrating.close();
  }
}

function refusalOf(error: unknown, failed: string | undefined, turnMs: number): unknown {
  if (!(error instanceof pg.DatabaseError)) return error;
  if (error.code === LOCKED) {
    return new StoreRefused(
      `Another replica migrates the store, or something holds its tables, and has not ended within ${turnMs / 1000} s: start again once it has.`,
      { cause: error },
    );
  }
  if (error.code === FORBIDDEN && failed !== undefined) {
    return new StoreRefused(
      `The store's tables are not as this restartd needs them, and PostgreSQL refuses restartd's role (${error.message}) the statement: ${failed.replace(/\s+/g, " ")}. Run what \`restartd store sql\` prints as the owner of the database, or make the role the owner.`,
      { cause: error },
    );
  }
  return error;
}

/** Kysely on a pool. */
export const openKysely = (pool: Pool, log?: (event: LogEvent) => void): Kysely<Tables> =>
  new Kysely<Tables>({ dialect: new PostgresDialect({ pool: pool.kysely }), ...(log && { log }) });
