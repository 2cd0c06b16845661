import { CompiledQuery, type Insertable } from "kysely";
import type { AuditTable, Db, OperationTable } from "./schema.ts";

/** A row of `operations` or `audit`, with all its columns, always in the same order. */
type Operation = Insertable<OperationTable>;
type Audit = Insertable<AuditTable>;

/** One statement with what it is bound to. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/**
 * The statements that every call makes, as text that is made once: to build and to compile a query costs more than to run it. Whatever
 * is not made for each call is left to Kysely.
 */
export interface Statements {
  /** Answers nothing where another row is in the way. */
  insert(operation: Operation): Statement;
  /** Answers nothing when there is no such version any more. */
  change(operation: Operation, version: number, audits: 0 | 1): Statement;
  audit(row: Audit): Statement;
  get(name: string): Statement;
  /** {@link insert} and {@link audit} as one statement. */
  insertWithAudit(operation: Operation, row: Audit): Statement;
  /** {@link change} and {@link audit} as one statement. */
  changeWithAudit(operation: Operation, version: number, row: Audit): Statement;
}

/** Columns of `audit` that are no text. */
const NUMBERS: ReadonlySet<string> = new Set(["time", "seal"]);

/** Columns that a change leaves as they are. */
const FIXED: ReadonlySet<string> = new Set(["name", "ordinal", "audits"]);

/** @param place how the database names the n-th (from 1) value that is bound. */
export function createStatements(place: (position: number) => string): Statements {
  const texts = new Map<string, string>();
  const text = (key: string, make: () => string): string => {
    const known = texts.get(key) ?? make();
    texts.set(key, known);
    return known;
  };
  const places = (columns: readonly string[], after = 0): string[] => columns.map((_, at) => place(after + at + 1));
  const insertText = (columns: readonly string[]): string =>
    `insert into operations (${columns.join(", ")}) values (${places(columns).join(", ")}) on conflict do nothing returning name`;
  const changeText = (columns: readonly string[], audits: number): string => {
    const sets = columns.map((column, at) => `${column} = ${place(at + 1)}`);
    const [name, version] = [place(columns.length + 1), place(columns.length + 2)];
    return `update operations set ${sets.join(", ")}, audits = audits + ${audits} where name = ${name} and version = ${version} returning name`;
  };
  /** With an audit row, if the first statement has done anything. */
  const withAudit = (first: string, columns: readonly string[], after: number): string => {
    const values = places(columns, after).map((value, at) =>
      NUMBERS.has(columns[at] ?? "") ? `${value}::bigint` : `${value}::text`,
    );
    return `with done as (${first}), trail as (insert into audit (${columns.join(", ")}) select ${values.join(", ")} from done) select name from done`;
  };
  const changed = (operation: Operation): [columns: string[], values: unknown[]] => {
    const entries = Object.entries(operation).filter(([column]) => !FIXED.has(column));
    return [entries.map(([column]) => column), entries.map(([, value]) => value)];
  };
  return {
    insert: (operation) => ({
      text: text("insert", () => insertText(Object.keys(operation))),
      values: Object.values(operation),
    }),
    change(operation, version, audits) {
      const [columns, values] = changed(operation);
      return {
        text: text(`change ${audits}`, () => changeText(columns, audits)),
        values: [...values, operation.name, version],
      };
    },
    audit: (row) => ({
      text: text("audit", () => {
        const columns = Object.keys(row);
        return `insert into audit (${columns.join(", ")}) values (${places(columns).join(", ")})`;
      }),
      values: Object.values(row),
    }),
    get: (name) => ({ text: text("get", () => `select * from operations where name = ${place(1)}`), values: [name] }),
    insertWithAudit(operation, row) {
      const columns = Object.keys(operation);
      return {
        text: text("insert with audit", () => withAudit(insertText(columns), Object.keys(row), columns.length)),
        values: [...Object.values(operation), ...Object.values(row)],
      };
    },
    changeWithAudit(operation, version, row) {
      const [columns, values] = changed(operation);
      return {
        text: text("change with audit", () => withAudit(changeText(columns, 1), Object.keys(row), columns.length + 2)),
        values: [...values, operation.name, version, ...Object.values(row)],
      };
    },
  };
}

/** Runs a statement as part of what `db` is: a transaction, or for itself. */
export async function execute<Row>(db: Db, { text, values }: Statement): Promise<readonly Row[]> {
  return (await db.executeQuery(CompiledQuery.raw(text, [...values]) as CompiledQuery<Row>)).rows;
}
