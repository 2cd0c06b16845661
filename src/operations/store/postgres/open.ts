import { CompiledQuery, type Kysely } from "kysely";
import pg from "pg";
import type { Engine } from "../context.ts";
import { EPOCH } from "../freezes.ts";
import { createKyselyStore } from "../kysely-store.ts";
import type { Migration } from "../migrations.ts";
import type { Tables } from "../schema.ts";
import type { HoldEpoch } from "../statements.ts";
import { type Store, StoreRefused } from "../store.ts";
import { followAddress, type GiveAddress, ignoreEnvironment } from "./address.ts";
import { checkDurability } from "./checks.ts";
import { explain } from "./failure.ts";
import { createAnnouncer, listen } from "./notify.ts";
import { openPool, type Pool } from "./pool.ts";
import { refuseSharedSessions } from "./pooler.ts";
import { MIGRATION_LOCK, openKysely, prepare } from "./prepare.ts";

/** How a PostgreSQL store is opened. */
export interface PostgresStoreOptions {
  /** postgres://user:password@host:port/database, as it is whenever a connection is made. */
  readonly url: GiveAddress;
  /** A new id of this process. */
  readonly replica: string;
  /** The wall clock. */
  readonly now: () => Date;
  /** Told of what an operator should know, in a sentence. */
  readonly warn: (message: string) => void;
  /** Steps of the schema; default: all of them. */
  readonly migrations?: readonly Migration[];
  /** The oldest program that may use the store after them; default: as migrations.ts says. */
  readonly minProgram?: number;
  /** Until it gives up waiting for another replica that migrates; default: a minute. */
  readonly turnMs?: number;
}

/**
 * Key of the advisory lock on freezes: taken by who writes a permit, beside others, and by who changes freezes, alone. It is fair: who waits
 * to change them does not wait for permits that are asked for later.
 */
const FREEZE_LOCK = MIGRATION_LOCK + 1;

/**
 * The shared lock of a permit that is one statement, which sees what was committed when it began, before it had the lock. The row's lock
 * is what makes that sound: it is taken last, on the row as it is by then, and is not taken on one that says another epoch; and whoever
 * changes freezes changes this row, and waits for those who have locked it.
 */
export const HOLD_EPOCH: HoldEpoch = (place) =>
  `select 1 as held from pg_advisory_xact_lock_shared(${FREEZE_LOCK}), meta where key = '${EPOCH}' and value = ${place} for share of meta`;

/**
 * Opens the store in a PostgreSQL database, which several replicas may share.
 *
 * @throws StoreRefused when the database cannot be reached or must not be used: it would lose what it acknowledged, is newer than this
 *   program, or its rights do not suffice.
 */
export async function openPostgresStore(given: PostgresStoreOptions): Promise<Store> {
  ignoreEnvironment();
  const options = { ...given, url: followAddress(given.url, given.warn) };
  const pool = openPool(options.url, options.warn);
  try {
    await refuseSharedSessions(options.url);
    pool.pin(await checkDurability(pool.pg, options.warn));
    await prepare(options);
    const db = openKysely(pool);
    return createKyselyStore({ ...options, db, engine: createEngine(db, pool, options) });
  } catch (error) {
    await pool.close();
    throw refusalOf(error);
  }
}

function createEngine(db: Kysely<Tables>, pool: Pool, { url, replica, warn }: PostgresStoreOptions): Engine {
  const listeners = new Set<Parameters<Store["subscribe"]>[0]>();
  const tell = (name: string | undefined) => {
    // In its own turn: what a listener throws is not the writer's.
    for (const listener of listeners) queueMicrotask(() => listener(name));
  };
  const own = `${replica} `;
  const announce = createAnnouncer(pool.pg, own);
  const stopListening = listen(
    url,
    (payload) => {
      if (payload === undefined) tell(undefined);
      else if (!payload.startsWith(own)) for (const name of payload.split(" ").slice(1)) tell(name);
    },
    warn,
  );
  return {
    exclusive: false,
    sealed: false,
    transaction: (work) => db.transaction().execute(work),
    place: (position) => `$${position}`,
    single: pool.single,
    holdEpoch: HOLD_EPOCH,
    changed(name) {
      tell(name);
      announce(name);
    },
    keepFreezes: async (trx) => {
      await trx.executeQuery(CompiledQuery.raw(`select pg_advisory_xact_lock_shared(${FREEZE_LOCK})`));
    },
    changeFreezes: async (trx) => {
      await trx.executeQuery(CompiledQuery.raw(`select pg_advisory_xact_lock(${FREEZE_LOCK})`));
    },
    subscribe: (listener) => {
      // Wrapped, so that the same function can listen twice.
      const wrapped = (name: string | undefined) => listener(name);
      listeners.add(wrapped);
      return () => listeners.delete(wrapped);
    },
    close: async () => {
      stopListening();
      await pool.close();
    },
  };
}

/** What went wrong while opening, for whoever starts the process; PostgreSQL's words name no secrets. */
function refusalOf(given: unknown): unknown {
  const error = explain(given);
  if (error instanceof StoreRefused || !(error instanceof Error)) return error;
  const words = error.message || error.name;
  if (!(error instanceof pg.DatabaseError)) {
    // What pg itself says is a plain error; another kind is a defect, whose place somebody has to find.
    return error.name === "Error"
      ? new StoreRefused(
          `PostgreSQL answers, but cannot be used as a store (${words}): make sure that the store's address has what the server asks for, such as a password or TLS.`,
          { cause: error },
        )
      : error;
  }
  if (error.code === "42501") {
    return new StoreRefused(
      `PostgreSQL refuses restartd's role what it needs (${words}): make the role the owner of the store's database.`,
      { cause: error },
    );
  }
  return new StoreRefused(
    `PostgreSQL refuses restartd (${words}): make sure that the store's address names its own database, and a role that owns it.`,
    { cause: error },
  );
}
