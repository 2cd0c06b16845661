import { resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Kysely, SqliteDialect, sql } from "kysely";
import type { Engine } from "../context.ts";
import { createKyselyStore } from "../kysely-store.ts";
import { type Dialect, isOlder, MIGRATIONS, type Migration, migrate, readSchemaState, setMeta } from "../migrations.ts";
import type { Tables } from "../schema.ts";
import { type Store, StoreRefused } from "../store.ts";
import { backupDatabase, keepBefore } from "./backup.ts";
import { APPLICATION_ID, refuseDamage, refuseDamagedLog, refuseForeign } from "./check.ts";
import { adaptDatabase, codeOf, SQLITE_BUSY } from "./database.ts";
import { prepareFile, type Statfs } from "./file.ts";
import { createGroups } from "./group.ts";
import { type FileGuard, fileAt, guardFiles } from "./same-file.ts";
import { countStart, refuseRestored } from "./starts.ts";

/** `path` of a store that lives as long as the process. */
export const IN_MEMORY = ":memory:";

/** How a SQLite store is opened. */
export interface SqliteStoreOptions {
  /** Path of the file, made if there is none; or {@link IN_MEMORY}. */
  readonly path: string;
  /** A new id of this process. */
  readonly replica: string;
  /** The wall clock. */
  readonly now: () => Date;
  /** Told of what an operator should know, in a sentence. */
  readonly warn: (message: string) => void;
  /** Asks for the type of a file system; default: node:fs. */
  readonly statfs?: Statfs;
  /** Version of SQLite; default: that of this process. */
  readonly version?: string;
  /** Steps of the schema; default: all of them. */
  readonly migrations?: readonly Migration[];
  /** The oldest program that may use the store after them; default: as migrations.ts says. */
  readonly minProgram?: number;
  /** Whether a store that was restored from a copy is meant to be used. Default: it is refused. */
  readonly acceptRestore?: boolean;
  /** The file does not grow beyond so many pages of 4 KiB; default: SQLite's limit. */
  readonly maxPages?: number;
}

const DIALECT: Dialect = {
  text: sql.raw("text"),
  sequence: sql.raw("integer primary key autoincrement"),
  hasMeta: sql`select name from sqlite_schema where type = 'table' and name = 'meta'`,
};

/** Results of PRAGMA that mean that it is in force: what SQLite does not know, it ignores. */
const PRAGMAS = [
  ["journal_mode = wal", "wal"],
  ["synchronous = full", 2],
  ["foreign_keys = on", 1],
  ["trusted_schema = off", 0],
  ["cell_size_check = on", 1],
  // Else what a savepoint may have to roll back is written to a file, page by page: as much as the log itself takes.
  ["temp_store = memory", 2],
] as const;

/**
 * Opens the store in a SQLite file, for this process alone.
 *
 * @throws StoreRefused when the file must not be used: another process has it, it is damaged, newer than this program, restored from a
 *   copy, somebody else's, or on a file system that cannot be trusted.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const path = options.path === IN_MEMORY ? IN_MEMORY : resolve(options.path);
  refuseVersion(options.version ?? process.versions.sqlite ?? "0");
  if (path !== IN_MEMORY) prepareFile(path, options.warn, options.statfs);
  const file = path === IN_MEMORY ? undefined : fileAt(path);
  const database = openDatabase(path);
  try {
    return await prepareStore(database, path, file, options);
  } catch (error) {
    if (database.isOpen) database.close();
    if (error instanceof StoreRefused || codeOf(error) === undefined) throw error;
    throw new StoreRefused(`${path} cannot be used as a store (${messageOf(error)}): restore a backup.`, {
      cause: error,
    });
  }
}

async function prepareStore(
  database: DatabaseSync,
  path: string,
  file: ReturnType<typeof fileAt>,
  options: SqliteStoreOptions,
): Promise<Store> {
  const { migrations = MIGRATIONS, minProgram } = options;
  if (path !== IN_MEMORY) takeFile(database, path);
  const db = openKysely(database);
  const state = await readSchemaState(db, DIALECT);
  const older = isOlder(state, migrations.length);
  const starts = path === IN_MEMORY ? 0 : refuseRestored(path, state.starts, options.acceptRestore ?? false) + 1;
  if (older && state.version > 0) await keepBefore(database, path, migrations.length);
  await db.transaction().execute((trx) => migrate(trx, DIALECT, options.replica, migrations, minProgram));
  if (path !== IN_MEMORY) {
    refuseDamage(database, path, await expectedSchema(migrations), state.version > migrations.length);
  }
  if (options.maxPages !== undefined) database.exec(`pragma max_page_count = ${options.maxPages}`);
  await db.transaction().execute(async (trx) => {
    // Nobody else uses the file: whoever did is dead.
    await trx.deleteFrom("replicas").execute();
    await setMeta(trx, "starts", String(starts));
  });
  if (path !== IN_MEMORY) countStart(path, starts);
  const files = path === IN_MEMORY ? undefined : guardFiles(path, file);
  return createKyselyStore({ ...options, db, engine: createEngine(database, db, files) });
}

/** Takes the file for this process. */
function takeFile(database: DatabaseSync, path: string): void {
  try {
    refuseDamagedLog(path);
    // First, so that the log's index is in this process alone, and no file beside the others.
    database.exec("pragma locking_mode = exclusive");
    refuseForeign(database, path);
    for (const [pragma, expected] of PRAGMAS) {
      database.exec(`pragma ${pragma}`);
      const result = Object.values(database.prepare(`pragma ${pragma.split(" ")[0]}`).get() ?? {})[0];
      if (result !== expected) {
        throw new StoreRefused(`SQLite does not do \`pragma ${pragma}\` on ${path}: it says ${result}.`);
      }
    }
    database.exec(`begin immediate; pragma application_id = ${APPLICATION_ID}; commit`);
  } catch (error) {
    if (codeOf(error) !== SQLITE_BUSY) throw error;
    throw new StoreRefused(
      `${path} is in use by another process, most likely another restartd: a SQLite store serves one process. Stop the other one, or use store.postgres for several.`,
      { cause: error },
    );
  }
}

/** The definitions that the migrations make, as SQLite keeps them. */
export async function expectedSchema(migrations: readonly Migration[]): Promise<DatabaseSync> {
  const database = openDatabase(IN_MEMORY);
  const db = openKysely(database);
  await db.transaction().execute((trx) => migrate(trx, DIALECT, "", migrations));
  return database;
}

function createEngine(database: DatabaseSync, db: Kysely<Tables>, files: FileGuard | undefined): Engine {
  const commitTogether = createGroups(database, db, files);
  let written: Promise<unknown> = Promise.resolve();
  const allWritten = (): Promise<unknown> => written;
  const listeners = new Set<(name: string) => void>();
  return {
    exclusive: true,
    place: () => "?",
    sealed: true,
    transaction(work) {
      const one = commitTogether(work);
      written = one.catch(() => {}); // who asked for it is told
      return one;
    },
    // They are committed in order: after the last one all are.
    written: allWritten,
    changed: (name) => {
      // In its own turn: what a listener throws is not the writer's.
      for (const listener of listeners) queueMicrotask(() => listener(name));
    },
    subscribe: (listener) => {
      // Wrapped, so that the same function can listen twice.
      const own = (name: string) => listener(name);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    backup: (file) => backupDatabase(database, file, allWritten),
    sizeBytes: () => {
      const pages = database.prepare("select page_count * page_size as bytes from pragma_page_count, pragma_page_size");
      return Number(pages.get()?.bytes);
    },
    close: () => db.destroy(),
  };
}

const openKysely = (database: DatabaseSync): Kysely<Tables> =>
  new Kysely<Tables>({ dialect: new SqliteDialect({ database: adaptDatabase(database) }) });

function openDatabase(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0, enableDoubleQuotedStringLiterals: false, allowExtension: false });
  } catch (error) {
    throw new StoreRefused(`${path} cannot be opened (${messageOf(error)}): set store.sqlite.path to another file.`, {
      cause: error,
    });
  }
}

/** The first version without the WAL-reset bug, which could damage a file. */
const OLDEST = [3, 51, 3] as const;

function refuseVersion(version: string): void {
  const numbers = version.split(".").map(Number);
  const first = OLDEST.findIndex((oldest, at) => (numbers[at] ?? 0) !== oldest);
  if (first !== -1 && !((numbers[first] ?? 0) > (OLDEST[first] ?? 0))) {
    throw new StoreRefused(`This Node has SQLite ${version}, and ${OLDEST.join(".")} is needed: use a newer Node.`);
  }
}

/** SQLite's words for an error: they name tables and columns, never what is in them. */
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
