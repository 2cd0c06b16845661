import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { SqliteDatabase, SqliteStatement } from "kysely";
import { UncertainCommit } from "../store.ts";

/** SQLITE_FULL: the disk is full. What it refuses was surely not written. */
const SQLITE_FULL = 13;

/** SQLITE_BUSY: somebody else has the file. */
export const SQLITE_BUSY = 5;

/** So many different statements are kept prepared; the store has about thirty. */
const MAX_PREPARED = 100;

/**
 * A node:sqlite database as Kysely drives one. After a commit of which nobody knows whether it is on the disk, no transaction begins any
 * more: the kernel may report the next write as done and have lost this one.
 */
export function adaptDatabase(database: DatabaseSync): SqliteDatabase {
  const prepared = new Map<string, SqliteStatement>();
  let doubt = false;
  const begin = (run: SqliteStatement["run"]): SqliteStatement["run"] => {
    return (parameters) => {
      if (doubt) throw new Error("A write to the store's disk has failed: restart restartd once the disk is in order.");
      return run(parameters);
    };
  };
  const commit = (run: SqliteStatement["run"]): SqliteStatement["run"] => {
    return (parameters) => {
      try {
        return run(parameters);
      } catch (cause) {
        if (codeOf(cause) === SQLITE_FULL) throw cause;
        doubt = true;
        throw new UncertainCommit("A write to the store's disk failed: nobody knows whether it is there.", { cause });
      }
    };
  };
  const rollback = (run: SqliteStatement["run"]): SqliteStatement["run"] => {
    // SQLite itself has rolled back after some errors, and would complain.
    return (parameters) => (database.isTransaction ? run(parameters) : { changes: 0, lastInsertRowid: 0 });
  };
  const wrap: Record<string, typeof begin> = { begin, commit, rollback };
  return {
    close: () => database.close(),
    prepare: (sql) => {
      const known = prepared.get(sql);
      if (known !== undefined) return known;
      const statement = adaptStatement(database.prepare(sql));
      const guarded = { ...statement, run: wrap[sql]?.(statement.run) ?? statement.run };
      if (prepared.size >= MAX_PREPARED) prepared.clear();
      prepared.set(sql, guarded);
      return guarded;
    },
  };
}

function adaptStatement(statement: StatementSync): SqliteStatement {
  const bind = (parameters: readonly unknown[]) => parameters.map(inputOf);
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...bind(parameters)),
    run: (parameters) => statement.run(...bind(parameters)),
    iterate: (parameters) => statement.iterate(...bind(parameters)),
  };
}

function inputOf(value: unknown): SQLInputValue {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "bigint")
    return value;
  throw new TypeError(`SQLite cannot store a ${typeof value}.`);
}

/** SQLite's primary result code of an error that node:sqlite threw; undefined for other errors. */
export function codeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}
