import type { DatabaseSync } from "node:sqlite";
import { StoreRefused } from "../store.ts";

/** Marks a file as a store of restartd ("rstd"), as SQLite foresees it. */
const APPLICATION_ID = 0x72737464;

/** Marks a new file; refuses a database that something else has made. */
export function refuseForeign(database: DatabaseSync, path: string): void {
  const id = database.prepare("pragma application_id").get()?.application_id;
  if (id === APPLICATION_ID) return;
  const tables = database.prepare("select count(*) as count from sqlite_schema").get()?.count;
  if (id !== 0 || tables !== 0) {
    throw new StoreRefused(
      `${path} is a database of something else than restartd: set store.sqlite.path to another file.`,
    );
  }
  database.exec(`pragma application_id = ${APPLICATION_ID}`);
}

/**
 * Refuses a file that says something else than was written to it, as far as the safety of operations depends on it: table and index
 * definitions, and for operations and tombstones that each row is where every index says. Rows have a checksum beside (rows.ts).
 *
 * @param expected has the definitions as they should be; it is closed.
 */
export function refuseDamage(database: DatabaseSync, path: string, expected: DatabaseSync): void {
  const definitions = definitionsOf(expected);
  expected.close();
  const damage = (what: string) =>
    new StoreRefused(`${path} is damaged (${what}): nothing in it can be relied on. Restore a backup.`);
  if (definitionsOf(database) !== definitions) throw damage("its tables are not defined as restartd defines them");
  for (const table of ["operations", "tombstones", "meta"]) {
    // One finding is enough; what it says is not shown, for it can have contents in it.
    const finding = database.prepare(`pragma integrity_check(${table})`).get()?.integrity_check;
    if (finding !== "ok") throw damage(`table ${table}`);
  }
}

const definitionsOf = (database: DatabaseSync): string =>
  JSON.stringify(
    database
      .prepare("select type, name, tbl_name, sql from sqlite_schema where name not like 'sqlite_stat%' order by name")
      .all(),
  );
