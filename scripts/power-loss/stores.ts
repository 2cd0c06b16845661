import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import type { OperationRecord } from "../../src/operations/store/record.ts";
import { openSqliteThread } from "../../src/operations/store/sqlite/thread.ts";

/** Which of the two is written to: restartd's store, or the negative control. */
export type Kind = "store" | "control";

/** What the power is cut under: it keeps operations with their audit trail. Every promise that resolves is an acknowledgement. */
export interface Keeping extends AsyncDisposable {
  /** W1. */
  insert(record: OperationRecord): Promise<void>;
  /** W2: it becomes SENDING. */
  permit(record: OperationRecord): Promise<void>;
  /** What is there of it. */
  find(name: string): Promise<Kept | undefined>;
}

/** What is there of one operation. */
export interface Kept {
  readonly state: string;
  /** Rows of its audit trail. */
  readonly audits: number;
}

/** Opens one on a file, made if there is none. */
export const openKeeping = (kind: Kind, path: string): Promise<Keeping> =>
  kind === "store" ? openStore(path) : Promise.resolve(openControl(path));

/** The store, as restartd opens it. */
async function openStore(path: string): Promise<Keeping> {
  const store = await openSqliteThread({
    path,
    replica: randomUUID(),
    now: () => new Date(),
    warn: (message) => void process.stderr.write(`${message}\n`),
  });
  return {
    async insert(record) {
      const inserted = await store.insert([record], { event: "accepted" });
      if (inserted.duplicate !== undefined || inserted.blocked.size > 0)
        throw new Error(`${record.name} was not inserted`);
    },
    async permit(record) {
      const changed = await store.change(record, { state: "SENDING" }, { event: "permit" });
      if (changed === undefined) throw new Error(`${record.name} was not changed`);
    },
    async find(name) {
      const found = await store.get(name);
      return found && { state: found.state, audits: (await store.audit(name)).length };
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

/** The negative control: the same writes without asking the disk to keep anything, which whoever judges the store has to catch. */
function openControl(path: string): Keeping {
  const database = new DatabaseSync(path);
  database.exec(`
    pragma locking_mode = exclusive;
    pragma journal_mode = wal;
    pragma synchronous = off;
    create table if not exists operations (name text primary key, state text not null, request text not null);
    create table if not exists audit (sequence integer primary key, operation text not null, event text not null);
    create index if not exists audit_operation on audit (operation, sequence);
  `);
  const insert = database.prepare("insert into operations (name, state, request) values (?, ?, ?)");
  const change = database.prepare("update operations set state = 'SENDING' where name = ?");
  const audit = database.prepare("insert into audit (operation, event) values (?, ?)");
  const get = database.prepare(
    "select state, (select count(*) from audit where operation = name) as audits from operations where name = ?",
  );
  const transaction = (work: () => void): void => {
    database.exec("begin immediate");
    work();
    database.exec("commit");
  };
  return {
    insert: async ({ name, state, request }) =>
      transaction(() => {
        insert.run(name, state, request);
        audit.run(name, "accepted");
      }),
    permit: async ({ name }) =>
      transaction(() => {
        change.run(name);
        audit.run(name, "permit");
      }),
    find: async (name) => {
      const row = get.get(name);
      return row && { state: String(row.state), audits: Number(row.audits) };
    },
    [Symbol.asyncDispose]: async () => database.close(),
  };
}
