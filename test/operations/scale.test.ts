import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { OperationRecord } from "../../src/operations/store/record.ts";
import { openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import type { Comparison, ListQuery, Store } from "../../src/operations/store/store.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { record } from "./records.ts";
import { seedSqlite } from "./seed.ts";

/** How fast this is the benchmark tells (bench/operations.ts). Here it is that nothing reads more than it has to. */
const FINISHED = 100_000;
const OPEN = 1_000;
const NEWEST = Date.UTC(2026, 0, 31);
const PAGE = 100;

let folder: Folder;
let path: string;
let seeded: readonly OperationRecord[];
let store: Store;
/** Plans of all statements that the store made, by their text. */
const plans = new Map<string, readonly Step[]>();
let database: DatabaseSync;
const { prepare } = DatabaseSync.prototype;

beforeAll(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "restartd.db");
  seeded = await seedSqlite(path, {
    finished: FINISHED,
    open: OPEN,
    openState: "SENT",
    audited: false,
    newest: NEWEST,
  });
  vi.spyOn(DatabaseSync.prototype, "prepare").mockImplementation(function (this: DatabaseSync, sql, ...rest) {
    // The store's own connection is the one that makes its statements.
    if (/^(select|insert|update|delete)/i.test(sql)) plans.set(sql, planOf(this, sql));
    if (/"operations"/.test(sql)) database = this;
    return prepare.call(this, sql, ...rest);
  });
  store = await openSqliteStore({
    path,
    replica: "replica",
    now: () => new Date(NEWEST),
    warn: () => {},
  });
  plans.clear(); // what is checked at a start reads everything
});
afterAll(async () => {
  vi.restoreAllMocks();
  await store[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const middle = () => at(FINISHED / 2);
const at = (index: number): OperationRecord => {
  const found = seeded[index];
  if (found === undefined) throw new Error(`nothing was seeded at ${index}`);
  return found;
};
const names = (records: readonly OperationRecord[]) => records.map(({ name }) => name);

/** One comparison of each field, by each operator that a filter can have for it. */
const comparisons = (): Comparison[] => [
  ...(["=", "<", ">"] as const).flatMap((operator): Comparison[] => [
    { field: "target", operator, value: middle().target },
    { field: "principal", operator, value: "anonymous" },
    { field: "createTime", operator, value: middle().createTime },
  ]),
  { field: "state", operator: "=", value: "UNRESOLVED" },
];

/** What a list should answer, found the slow way. */
function expected({ where, limit, after }: ListQuery): string[] {
  const holds = (one: OperationRecord) =>
    where.every(({ field, operator, value }) => {
      const actual = one[field];
      if (actual === undefined) return false; // a part alone has a parent
      return operator === "=" ? actual === value : operator === "<" ? actual < value : actual > value;
    });
  return names(
    seeded.filter((one) => holds(one) && (after === undefined || one.createTime < after.createTime)).slice(0, limit),
  );
}

/** One line of EXPLAIN QUERY PLAN. */
interface Step {
  readonly parent: number;
  readonly detail: string;
}

const planOf = (on: DatabaseSync, sql: string): Step[] =>
  prepare
    .call(on, `explain query plan ${sql}`)
    .all()
    .map(({ parent, detail }) => ({ parent: Number(parent), detail: String(detail) }));

/** Tables that never have many rows, and rows that are inserted together. */
const SMALL = /^SCAN (replicas|meta|\d+-ROW VALUES CLAUSE)\b/;

/** The index that is in a list's order and has all that filters are about: a list reads it from where it begins until its page is full. */
const LIST = "SCAN operations USING COVERING INDEX operations_list";

/** What finds no more than a page, or the parts of one operation. */
const FEW =
  /^SEARCH operations USING INDEX (sqlite_autoindex_operations_1 \(name=\?\)|operations_parent \(parent=\?\))$/;

/** Steps that read or sort more than what is asked for. */
function slowSteps(plan: readonly Step[]): string[] {
  const sortsFew = plan.some(({ parent, detail }) => parent === 0 && FEW.test(detail));
  return plan
    .filter(({ parent, detail }) =>
      detail.startsWith("SCAN")
        ? detail !== LIST && !SMALL.test(detail)
        : detail.startsWith("USE TEMP B-TREE") && !(parent === 0 && sortsFew),
    )
    .map(({ detail }) => detail);
}

describe("SQLite with 100,000 finished and 1,000 open operations", () => {
  it("lists every page of every filter right", async () => {
    for (const where of [[], ...comparisons().map((one) => [one]), comparisons().slice(-2)]) {
      for (const after of [undefined, at(50 * PAGE), at(FINISHED)]) {
        const query = { where, limit: PAGE, ...(after && { after }) };
        expect(names(await store.list(query)), JSON.stringify(query)).toEqual(expected(query));
      }
    }
  });

  it("knows all that are open", async () => {
    expect((await store.open()).map(({ name }) => name).sort()).toEqual(names(seeded.slice(0, OPEN)).sort());
  });

  it("does everything by indexes", async () => {
    const [parent, part] = [record({ requestId: undefined }), record({ requestId: undefined })];
    await store.insert([record(), parent, { ...part, parent: parent.name }], { event: "accepted" });
    const blocked = record({ target: parent.target });
    await store.insert([blocked, record()], { event: "accepted" }, (one) => ({ ...one, blocks: false }));
    const ended = await store.change(
      parent,
      { state: "CANCELLED", blocks: false, endTime: NEWEST },
      { event: "cancelled" },
    );
    if (ended === undefined) throw new Error("not changed");
    await store.remove(ended);
    await store.find("anonymous", at(0).requestId ?? "");
    await store.children(parent.name);
    await store.audit(parent.name);
    await store.get(parent.name);
    await store.beat();
    await store.purge(at(FINISHED - 10).endTime ?? 0, 10);
    await store.open();
    for (const one of comparisons()) await store.list({ where: [one], limit: PAGE, after: middle() });

    expect(plans.size).toBeGreaterThan(20);
    expect([...plans].flatMap(([sql, plan]) => slowSteps(plan).map((step) => `${step}: ${sql}`))).toEqual([]);
  });

  it("would tell of a query without an index", () => {
    const slow = (sql: string) => slowSteps(planOf(database, sql));
    expect(slow("select * from operations where owner = ?")).toEqual(["SCAN operations"]);
    expect(slow("select name from operations where name > ? order by update_time limit 1")).toEqual([
      "USE TEMP B-TREE FOR ORDER BY",
    ]);
    expect(
      slow("select * from operations where name in (select name from operations order by owner limit 9) order by name"),
    ).toEqual(["SCAN operations", "USE TEMP B-TREE FOR ORDER BY"]);
  });
});
