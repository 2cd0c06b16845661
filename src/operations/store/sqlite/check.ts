import { DatabaseSync } from "node:sqlite";
import { StoreRefused } from "../store.ts";
import { codeOf, SQLITE_BUSY } from "./database.ts";
import { isLogDamaged } from "./wal.ts";

/** Marks a file as a store of restartd ("rstd"), as SQLite foresees it. */
export const APPLICATION_ID = 0x72737464;

/** Tables whose every row must be where each index says: a lost one could have something restarted twice, or in spite of a freeze. */
const CHECKED = ["operations", "tombstones", "meta", "freezes"] as const;

/**
 * Refuses a file whose log is damaged, without opening it: a connection that may write takes the damage for the end of the log, and drops
 * what is behind it when it is closed.
 *
 * @throws SQLite's own SQLITE_BUSY when the file is in use: then its log is being written.
 */
export function refuseDamagedLog(path: string): void {
  refuseUsed(path);
  if (isLogDamaged(`${path}-wal`)) {
    throw new StoreRefused(
      `${path}-wal is damaged: operations that it held would be forgotten. Restore a backup; do not delete the file.`,
    );
  }
}

function refuseUsed(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 0 });
  try {
    // Without it a reader makes files beside the database.
    database.exec("pragma locking_mode = exclusive; select count(*) from sqlite_schema");
  } catch (error) {
    // What else keeps a reader from reading, such as that it cannot lock, is found by who opens the file after this.
    if (codeOf(error) === SQLITE_BUSY) throw error;
  } finally {
    database.close();
  }
}

/** Refuses a database that something else than restartd has made. */
export function refuseForeign(database: DatabaseSync, path: string): void {
  const id = database.prepare("pragma application_id").get()?.application_id;
  const tables = database.prepare("select count(*) as count from sqlite_schema").get()?.count;
  if (id !== APPLICATION_ID && (id !== 0 || tables !== 0)) {
    throw new StoreRefused(
      `${path} is a database of something else than restartd: set store.sqlite.path to another file.`,
    );
  }
}

/**
 * Refuses a file that says something else than was written to it, as far as the safety of operations depends on it: the definitions, the
 * structure of tables and indexes, and that each row is where every index says. Rows have a checksum beside (rows.ts).
 *
 * @param expected has the definitions as they should be; it is closed.
 * @param newer whether a newer program has added definitions of its own.
 */
export function refuseDamage(database: DatabaseSync, path: string, expected: DatabaseSync, newer: boolean): void {
  const defined = newer ? hasAll(database, expected) : definitionsOf(database) === definitionsOf(expected);
  expected.close();
  const damage = (what: string) =>
    new StoreRefused(`${path} is damaged (${what}): nothing in it can be relied on. Restore a backup.`);
  if (!defined) throw damage("its tables are not defined as restartd defines them");
  // Rows are looked up in the order of each index, all over the file: for that long, more of it (64 MiB) is kept in memory.
  const usual = database.prepare("pragma cache_size").get()?.cache_size;
  database.exec("pragma cache_size = -65536");
  // What it finds is not shown, for that can have contents in it.
  if (database.prepare("pragma quick_check(1)").get()?.quick_check !== "ok") throw damage("its structure");
  for (const table of CHECKED) {
    const index = falseIndex(database, table);
    if (index !== undefined) throw damage(`index ${index}`);
  }
  database.exec(`pragma cache_size = ${usual}; pragma shrink_memory`);
}

/**
 * An index of a table that has no entry for some row, or an entry that says something else than its row. `pragma integrity_check` finds
 * that as well, but looks up every row in every index for it, which takes twice as long.
 */
function falseIndex(database: DatabaseSync, table: string): string | undefined {
  const indexes = database
    .prepare("select i.name, s.sql from pragma_index_list(?) as i join sqlite_schema as s on s.name = i.name")
    .all(table)
    .map(({ name, sql }) => ({ name: String(name), condition: / where (.*)$/i.exec(String(sql))?.[1] ?? "true" }));
  const totals = indexes.map(({ condition }, at) => `total(${condition}) as c${at}`);
  const rows = database.prepare(`select ${totals.join(", ")} from ${table} not indexed`).get();
  return indexes.find(({ name, condition }, at) => {
    const columns = database
      .prepare("select name from pragma_index_info(?)")
      .all(name)
      .map((column) => String(column.name));
    const of = (side: string) => columns.map((column) => `${side}.${column}`).join(", ");
    // The index alone answers what is read of it, for it has every column of its condition.
    const entries = `select rowid as id, ${columns.join(", ")} from ${table} indexed by ${name} where ${condition}`;
    const found = database
      .prepare(
        `select count(*) as entries, total((${of("entry")}) is (${of("actual")})) as equal
          from (${entries}) as entry left join ${table} as actual not indexed on actual.rowid = entry.id`,
      )
      .get();
    return found?.entries !== rows?.[`c${at}`] || found?.equal !== found?.entries;
  })?.name;
}

const definitions = (database: DatabaseSync): Definition[] =>
  database
    .prepare("select type, name, tbl_name, sql from sqlite_schema where name not like 'sqlite_stat%' order by name")
    .all() as unknown as Definition[];

const definitionsOf = (database: DatabaseSync): string => JSON.stringify(definitions(database));

/** A row of `sqlite_schema`. */
interface Definition {
  readonly type: string;
  readonly name: string;
  readonly tbl_name: string;
  readonly sql: string | null;
}

/** Whether a database has every table with every column, and every index, that another one has; beside tables and indexes it has nothing. */
function hasAll(database: DatabaseSync, expected: DatabaseSync): boolean {
  const found = new Map(definitions(database).map((definition) => [definition.name, definition]));
  if ([...found.values()].some(({ type }) => type !== "table" && type !== "index")) return false;
  return definitions(expected).every(({ type, name, tbl_name, sql }) => {
    const other = found.get(name);
    if (other?.type !== type || other.tbl_name !== tbl_name) return false;
    if (type !== "table") return other.sql === sql;
    const columns = new Set(columnsOf(database, name));
    return columnsOf(expected, name).every((column) => columns.has(column));
  });
}

/** Each column of a table with its type, constraints and default. */
const columnsOf = (database: DatabaseSync, table: string): string[] =>
  database
    .prepare('select name, type, "notnull", dflt_value, pk from pragma_table_info(?)')
    .all(table)
    .map((column) => JSON.stringify(column));
