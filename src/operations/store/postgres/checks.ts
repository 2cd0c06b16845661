import type pg from "pg";
import { StoreRefused } from "../store.ts";

/** pg-boss needs it, and older ones are no longer maintained. */
const OLDEST = 130_000;

interface Settings {
  readonly version: string;
  readonly version_number: number;
  readonly encoding: string;
  readonly full_page_writes: string;
  readonly synchronous_commit: string;
  readonly read_only: string;
}

const SETTINGS = `select
  current_setting('server_version') as version,
  current_setting('server_version_num')::int as version_number,
  current_setting('server_encoding') as encoding,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('transaction_read_only') as read_only`;

/**
 * Looks at the server at the other end of a connection, each time that one is made: after a failover the address leads to another one.
 *
 * @throws StoreRefused when it would forget what it acknowledges, or is a standby, which answers with what was so a moment ago.
 */
export async function checkServer(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ fsync: string; standby: boolean }>(
    "select current_setting('fsync') as fsync, pg_is_in_recovery() as standby",
  );
  if (rows[0]?.standby !== false) {
    throw new StoreRefused(
      "PostgreSQL is a standby, which cannot be written to: let the store's address name the primary.",
    );
  }
  if (rows[0].fsync === "off") {
    throw new StoreRefused(
      "PostgreSQL runs with fsync=off: a power loss loses operations that were acknowledged, and a restart may then be sent twice. Set fsync=on in postgresql.conf and restart PostgreSQL.",
    );
  }
}

/**
 * Makes sure that what the database says is written is written.
 *
 * @param warn is told what is risky but legitimate.
 * @returns the value of synchronous_commit.
 * @throws StoreRefused what is wrong with the database, and what to set.
 */
export async function checkDurability(pool: pg.Pool, warn: (message: string) => void): Promise<string> {
  const { rows } = await pool.query<Settings>(SETTINGS);
  const [settings] = rows;
  if (settings === undefined) throw new StoreRefused("PostgreSQL does not tell its settings.");
  const refusal = refusalOf(settings);
  if (refusal !== undefined) throw new StoreRefused(refusal);
  if (settings.full_page_writes === "off") {
    warn(
      "PostgreSQL runs with full_page_writes=off: a power loss can damage the store, unless its disk writes 8 KiB at once; set full_page_writes=on",
    );
  }
  if (settings.synchronous_commit === "local") {
    warn(
      "PostgreSQL runs with synchronous_commit=local: a failover can lose operations; set synchronous_commit=on and synchronous_standby_names",
    );
  }
  await checkStandbys(pool, warn);
  return settings.synchronous_commit;
}

function refusalOf(settings: Settings): string | undefined {
  if (settings.version_number < OLDEST) {
    return `The server is PostgreSQL ${settings.version}: restartd needs 13 or newer.`;
  }
  if (settings.synchronous_commit === "off") {
    return "PostgreSQL has synchronous_commit=off for restartd: a crash loses operations that were acknowledged, and a restart may then be sent twice. Set synchronous_commit=on in postgresql.conf, and reset it where a role, a database or the address of the store sets it: ALTER ROLE ... RESET synchronous_commit.";
  }
  if (settings.read_only === "on") {
    return "PostgreSQL lets restartd only read: reset default_transaction_read_only for its role and database.";
  }
  if (settings.encoding !== "UTF8") {
    return `The database has the encoding ${settings.encoding}: create one with ENCODING 'UTF8' for restartd.`;
  }
  return undefined;
}

async function checkStandbys(pool: pg.Pool, warn: (message: string) => void): Promise<void> {
  const { rows } = await pool.query<{ sync_state: string | null }>("select sync_state from pg_stat_replication");
  if (rows.length === 0) return;
  // Without the right to see them, standbys are there without their state.
  if (rows.every(({ sync_state }) => sync_state === null)) {
    warn(
      "PostgreSQL has standbys, and restartd may not see whether they are synchronous: if they are not, a failover can lose operations. GRANT pg_read_all_stats to its role to have that checked",
    );
  } else if (!rows.some(({ sync_state }) => sync_state === "sync" || sync_state === "quorum")) {
    warn(
      "every standby of PostgreSQL is asynchronous: a failover can lose operations that were acknowledged; set synchronous_standby_names",
    );
  }
}
