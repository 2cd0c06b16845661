import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import type { Selectable } from "kysely";
import { MIGRATIONS } from "../migrations.ts";
import { createRows, StoreDamaged } from "../rows.ts";
import type { AuditTable, OperationTable, TombstoneTable } from "../schema.ts";
import { StoreRefused } from "../store.ts";
import { APPLICATION_ID, refuseDamage, refuseDamagedLog } from "./check.ts";
import { codeOf, SQLITE_BUSY } from "./database.ts";
import { expectedSchema } from "./open.ts";

/** What a store that is whole holds. */
export interface Verified {
  readonly schemaVersion: number;
  readonly operations: number;
  readonly audits: number;
  readonly tombstones: number;
}

/**
 * Looks through a copy of a store, without writing to it: its structure and indexes, its definitions, and every row's seal.
 *
 * @throws StoreRefused what is wrong with it.
 */
export async function verifyStore(path: string): Promise<Verified> {
  let database: DatabaseSync | undefined;
  try {
    refuseDamagedLog(path);
    if ((statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) {
      throw new StoreRefused(
        `${path} has a log beside it with what is not in the file yet: start and stop restartd with it first, or verify what \`restartd operations backup\` makes.`,
      );
    }
    // Immutable: nothing is locked, and no file is made beside it.
    const place = pathToFileURL(path);
    place.searchParams.set("immutable", "1");
    database = new DatabaseSync(place, { readOnly: true });
    return await verify(database, path);
  } catch (error) {
    if (error instanceof StoreRefused) throw error;
    if (error instanceof StoreDamaged) throw new StoreRefused(`${path}: ${error.message}`, { cause: error });
    if (codeOf(error) === SQLITE_BUSY) {
      throw new StoreRefused(
        `${path} is in use: verify a copy of it, which \`restartd operations backup\` makes while it is.`,
        { cause: error },
      );
    }
    if (codeOf(error) === undefined) throw error;
    const words = error instanceof Error ? error.message : String(error);
    throw new StoreRefused(`${path} cannot be read as a store (${words}).`, { cause: error });
  } finally {
    database?.close();
  }
}

async function verify(database: DatabaseSync, path: string): Promise<Verified> {
  if (database.prepare("pragma application_id").get()?.application_id !== APPLICATION_ID) {
    throw new StoreRefused(`${path} is no store of restartd.`);
  }
  const schemaVersion = Number(
    database.prepare("select value from meta where key = 'schema_version'").get()?.value ?? 0,
  );
  if (!(schemaVersion >= 1)) throw new StoreRefused(`${path} does not say which schema version it has.`);
  const known = MIGRATIONS.slice(0, schemaVersion);
  refuseDamage(database, path, await expectedSchema(known), schemaVersion > known.length);
  const rows = createRows(true);
  const operations = each<Selectable<OperationTable>>(database, "select * from operations", rows.record);
  const audits = each<Selectable<AuditTable>>(database, "select * from audit", rows.audit);
  const tombstones = each<Selectable<TombstoneTable>>(database, "select * from tombstones", rows.tombstone);
  const short = database
    .prepare(
      `select count(*) as count from operations as o
        where o.audits <> (select count(*) from audit as a where a.operation = o.name)`,
    )
    .get()?.count;
  if (short !== 0) throw new StoreDamaged("The store is damaged: rows of the audit trail are missing.");
  return { schemaVersion, operations, audits, tombstones };
}

/** Looks at each row, and counts them. */
function each<Row>(database: DatabaseSync, query: string, look: (row: Row) => unknown): number {
  let count = 0;
  for (const row of database.prepare(query).iterate()) {
    look(row as Row);
    count += 1;
  }
  return count;
}
