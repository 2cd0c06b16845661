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
  /**
   * {@link insert} and {@link audit} as one statement.
   *
   * @param epoch it answers nothing when freezes are no longer those of this epoch either.
   */
  insertWithAudit(operation: Operation, row: Audit, epoch?: number): Statement;
  /** {@link change} and {@link audit} as one statement; `epoch` as there. */
  changeWithAudit(operation: Operation, version: number, row: Audit, epoch?: number): Statement;
}

/**
 * Text of a query that answers one row while freezes are those of an epoch, whose place it is told, and keeps them so until the transaction
 * ends.
 */
export type HoldEpoch = (place: string) => string;

/** Columns of `audit` that are no text. */
const NUMBERS: ReadonlySet<string> = new Set(["time", "seal"]);

/** Columns that a change leaves as they are. */
const FIXED: ReadonlySet<string> = new Set(["name", "ordinal", "audits"]);

/**
 * @param place how the database names the n-th (from 1) value that is bound.
 * @param holdEpoch for statements that are told an epoch: without it there are none.
 */
export function createStatements(place: (position: number) => string, holdEpoch?: HoldEpoch): Statements {
  const texts = new Map<string, string>();
  const text = (key: string, make: () => string): string => {
    const known = texts.get(key) ?? make();
    texts.set(key, known);
    return known;
  };
  const places = (columns: readonly string[], after = 0): string[] => columns.map((_, at) => place(after + at + 1));
  const insertText = (columns: readonly string[], from?: string): string => {
    const values = places(columns).join(", ");
    const rows = from === undefined ? `values (${values})` : `select ${values} from ${from}`;
    return `insert into operations (${columns.join(", ")}) ${rows} on conflict do nothing returning name`;
  };
  const changeText = (columns: readonly string[], audits: number, from = ""): string => {
    const sets = columns.map((column, at) => `${column} = ${place(at + 1)}`);
    const [name, version] = [place(columns.length + 1), place(columns.length + 2)];
    return `update operations set ${sets.join(", ")}, audits = audits + ${audits}${from} where name = ${name} and version = ${version} returning name`;
  };
  /** A statement that takes its row from `epoch`: while freezes are those of the epoch that is bound at a position. */
  const whileEpoch = (position: number, statement: string): string => {
    if (holdEpoch === undefined) throw new Error("no statement holds an epoch here");
    return `with epoch as (${holdEpoch(place(position))}) ${statement}`;
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
    insertWithAudit(operation, row, epoch) {
      const columns = Object.keys(operation);
      const count = columns.length;
      const audits = Object.keys(row);
      if (epoch === undefined) {
        return {
          text: text("insert with audit", () => withAudit(insertText(columns), audits, count)),
          values: [...Object.values(operation), ...Object.values(row)],
        };
      }
      return {
        text: text("insert with permit", () =>
          withAudit(whileEpoch(count + 1, insertText(columns, "epoch")), audits, count + 1),
        ),
        values: [...Object.values(operation), String(epoch), ...Object.values(row)],
      };
    },
    changeWithAudit(operation, version, row, epoch) {
      const [columns, values] = changed(operation);
      const count = columns.length + 2;
      const audits = Object.keys(row);
      if (epoch === undefined) {
        return {
          text: text("change with audit", () => withAudit(changeText(columns, 1), audits, count)),
          values: [...values, operation.name, version, ...Object.values(row)],
        };
      }
      return {
        text: text("permit", () =>
          withAudit(whileEpoch(count + 1, changeText(columns, 1, " from epoch")), audits, count + 1),
        ),
        values: [...values, operation.name, version, String(epoch), ...Object.values(row)],
      };
    },
  };
}

/** Runs a statement as part of what `db` is: a transaction, or for itself. */
export async function execute<Row>(db: Db, { text, values }: Statement): Promise<readonly Row[]> {
  return (await db.executeQuery(CompiledQuery.raw(text, [...values]) as CompiledQuery<Row>)).rows;
}
