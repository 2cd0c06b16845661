import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { Failure } from "../../src/core/errors.ts";
import type { OperationState } from "../../src/core/operation.ts";
import { formatFailure } from "../../src/core/status.ts";
import type { AuditEvent, OperationRecord } from "../../src/operations/store/record.ts";
import { createRows } from "../../src/operations/store/rows.ts";
import { openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import { record } from "./records.ts";

/** What a store is filled with. */
export interface Seed {
  /** Operations that have ended: one in a thousand not well. */
  readonly finished: number;
  /** Operations that have not. */
  readonly open: number;
  /** Their state. */
  readonly openState: "ACCEPTED" | "SENDING" | "SENT" | "UNKNOWN";
  /** Whether each has its audit trail, which takes most of the time. */
  readonly audited: boolean;
  /** When the newest one was accepted, in epoch ms; each is a second older than the one before it. */
  readonly newest: number;
}

/** Workloads that the finished operations are about, in turn. */
const TARGETS = 500;

/** Of so many finished operations one has not ended well, but as one of these, in turn. */
const BAD_EVERY = 1_000;
const BAD = ["FAILED", "NOT_OBSERVED", "UNRESOLVED"] as const satisfies OperationState[];

/** A workload of the simulator's and the benchmark's cluster. */
const targetOf = (name: string): string => `clusters/admin/apps/v1/namespaces/shop/deployments/${name}`;

/**
 * Fills a new SQLite store as if it had been used: in one transaction, as fast as the machine can.
 *
 * @returns every operation, newest first.
 */
export async function seedSqlite(path: string, seed: Seed): Promise<OperationRecord[]> {
  const store = await openSqliteStore({
    path,
    replica: randomUUID(),
    now: () => new Date(seed.newest),
    warn: () => {},
  });
  await store[Symbol.asyncDispose]();
  const records = Array.from({ length: seed.open + seed.finished }, (_, index) => seededRecord(index, seed));
  const rows = createRows(true);
  using database = new DatabaseSync(path);
  // What is half done after a crash is thrown away, not repaired.
  database.exec("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -500000; begin immediate");
  const indexes = dropIndexes(database);
  const addOperation = inserter(database, "operations");
  const addAudit = inserter(database, "audit");
  for (const one of records.toReversed()) {
    addOperation(rows.ofRecord(one, 0));
    for (const row of seed.audited ? trailOf(one) : []) addAudit(rows.ofAudit(row));
  }
  database.exec(`${indexes} commit; pragma journal_mode = wal`);
  return records;
}

function seededRecord(index: number, { open, openState, newest }: Seed): OperationRecord {
  const createTime = newest - index * 1_000;
  const isOpen = index < open;
  const bad = index % BAD_EVERY === 0 ? BAD[(index / BAD_EVERY) % BAD.length] : undefined;
  const state = isOpen ? openState : (bad ?? "SUCCEEDED");
  const blocks = (isOpen && state !== "SENT") || state === "UNRESOLVED";
  // Whoever blocks a target has it to itself.
  const name = isOpen || blocks ? `busy-${index}` : `web-${index % TARGETS}`;
  return record({
    principal: "anonymous",
    requestHash: "5".repeat(64),
    target: targetOf(name),
    request: JSON.stringify({
      cluster: "admin",
      group: "apps",
      version: "v1",
      resource: "deployments",
      namespace: "shop",
      name,
    }),
    evidence: JSON.stringify({
      mechanism: "template annotation",
      restarted_at: new Date(createTime).toISOString(),
      baseline: "",
      uid: randomUUID(),
    }),
    blocks,
    state,
    version: isOpen ? 3 : 4,
    owner: "00000000-0000-4000-8000-000000000000",
    createTime,
    updateTime: createTime + 800,
    sendTime: state === "ACCEPTED" ? undefined : createTime + 5,
    ...(!isOpen && { endTime: createTime + 800 }),
    ...(state === "SUCCEEDED" && { response: "{}" }),
    ...(bad !== undefined &&
      !isOpen && { error: formatFailure(new Failure("OUTCOME_UNKNOWN", "seeded", { outcome: "unknown" })) }),
  });
}

/** The audit trail that such an operation has. */
function trailOf({ name, owner, createTime, state, endTime }: OperationRecord) {
  const common = { operation: name, replica: owner };
  const step = (event: AuditEvent["event"], after: number, from: OperationState | undefined, to: OperationState) => ({
    ...common,
    event,
    time: createTime + after,
    from,
    to,
  });
  return [
    step("accepted", 0, undefined, "ACCEPTED"),
    ...(state === "ACCEPTED" ? [] : [step("permit", 5, "ACCEPTED", "SENDING")]),
    ...(endTime === undefined ? [] : [step("sent", 20, "SENDING", "SENT"), step("ended", 800, "SENT", state)]),
  ];
}

/** Adds rows to a table by one prepared statement. */
function inserter(database: DatabaseSync, table: "operations" | "audit"): (row: object) => void {
  const columns = database
    .prepare("select name from pragma_table_info(?)")
    .all(table)
    .map(({ name }) => String(name))
    .filter((name) => name !== "sequence");
  const places = columns.map((column) => `:${column}`);
  const statement = database.prepare(`insert into ${table} (${columns.join(", ")}) values (${places.join(", ")})`);
  return (row) => void statement.run({ ...row });
}

/** Takes the indexes away, which are built faster afterwards. Answers what makes them again. */
function dropIndexes(database: DatabaseSync): string {
  const indexes = database
    .prepare("select name, sql from sqlite_schema where type = 'index' and sql is not null")
    .all();
  for (const { name } of indexes) database.exec(`drop index ${name}`);
  return indexes.map(({ sql }) => `${sql};`).join("");
}
