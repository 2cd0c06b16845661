import type { Selectable } from "kysely";
import { type Context, type Engine, findBlocker, findRequest, type KyselyStoreOptions } from "./context.ts";
import { changeFreezes, isEpoch, readFreezes } from "./freezes.ts";
import { insertOperations } from "./insert.ts";
import { listOperations } from "./list.ts";
import { type AuditRow, changedRecord, type OperationRecord } from "./record.ts";
import { removeEnded, removeOperation } from "./remove.ts";
import { createRows, StoreDamaged } from "./rows.ts";
import type { OperationTable, Trx } from "./schema.ts";
import { createStatements, execute } from "./statements.ts";
import type { Step, Store } from "./store.ts";
import { noteBackup, summarize } from "./summary.ts";

/** A replica that has not beaten for so long (ms, by the wall clock) is forgotten; one that lives beats again and is back. */
const FORGET_REPLICA_MS = 30 * 24 * 3600 * 1000;

/** The store on a migrated database (migrations.ts). */
export function createKyselyStore(options: KyselyStoreOptions): Store {
  const { db, engine } = options;
  const statements = createStatements(engine.place, engine.holdEpoch);
  const context: Context = { ...options, rows: createRows(engine.sealed), statements };
  const records = (rows: readonly Selectable<OperationTable>[]) => rows.map((row) => context.rows.record(row));
  const read =
    <Args extends unknown[], Result>(work: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      await engine.written?.();
      return work(...args);
    };
  let closed: Promise<void> | undefined;
  return {
    replica: options.replica,
    exclusive: engine.exclusive,
    insert: (inserted, event, instead, epoch) => insertOperations(context, inserted, event, instead, epoch),
    change: async (before, change, event, epoch) =>
      (await changeOperations(context, [{ before, change, event }], epoch))[0],
    changeAll: (steps) => changeOperations(context, steps),
    freezes: read(() => readFreezes(context)),
    changeFreezes: (epoch, change) => changeFreezes(context, epoch, change),
    get: read(async (name) => {
      const [row] = await execute<Selectable<OperationTable>>(db, context.statements.get(name));
      return row && context.rows.record(row);
    }),
    blocking: read((target) => findBlocker(context, db, target)),
    find: read((principal, requestId) => findRequest(context, db, principal, requestId)),
    children: read(async (parent) =>
      records(
        await db
          .selectFrom("operations")
          .selectAll()
          .where("parent", "=", parent)
          .orderBy("create_time")
          .orderBy("ordinal")
          .orderBy("name")
          .execute(),
      ),
    ),
    list: read(async (query) => records(await listOperations(db, query))),
    open: read(async () => {
      const rows = await db
        .selectFrom("operations")
        .select(["name", "state", "version", "owner", "method", "parent"])
        .where("end_time", "is", null)
        .execute();
      return rows.map(({ parent, ...row }) => ({ ...row, parent: parent ?? undefined }));
    }),
    summary: read(() => summarize(context)),
    audit: read((name) => auditTrail(context, name)),
    remove: (record) => removeOperation(context, record),
    purge: (endedBefore, limit) => removeEnded(context, endedBefore, limit),
    beat: () => beat(context),
    subscribe: engine.subscribe,
    ...(engine.backup && { backup: (file: string) => backup(context, file) }),
    [Symbol.asyncDispose]: () => {
      closed ??= Promise.resolve(engine.written?.()).then(() => engine.close());
      return closed;
    },
  };
}

async function backup(context: Context, file: string): Promise<void> {
  await context.engine.backup?.(file);
  await noteBackup(context);
}

async function auditTrail({ db, rows }: Context, name: string): Promise<AuditRow[]> {
  const operation = db.selectFrom("operations").select("audits").where("name", "=", name);
  const trail = await db
    .selectFrom("audit")
    .innerJoin("operations", "operations.name", "audit.operation")
    .selectAll("audit")
    .select("operations.audits")
    .where("audit.operation", "=", name)
    .orderBy("sequence")
    .execute();
  const expected = trail[0]?.audits ?? (await operation.executeTakeFirst())?.audits ?? 0;
  if (trail.length !== expected) {
    throw new StoreDamaged("The store is damaged: rows of the audit trail are missing. Restore a backup.");
  }
  return trail.map(({ audits: _, ...row }) => rows.audit(row));
}

async function changeOperations(
  context: Context,
  steps: readonly Step[],
  epoch?: number,
): Promise<(OperationRecord | undefined)[]> {
  const { engine } = context;
  const [first, second] = steps;
  if (first === undefined) return [];
  if (second === undefined && engine.single !== undefined && (epoch === undefined || engine.holdEpoch !== undefined)) {
    return [await changeAlone(context, engine.single, first, epoch)];
  }
  const changed = await engine.transaction(async (trx) => {
    const found = new Map<string, OperationRecord | undefined>();
    if (epoch !== undefined) {
      await engine.keepFreezes?.(trx);
      if (!(await isEpoch(trx, epoch))) return found;
    }
    // The same order for everybody, so that two transactions never wait for each other.
    for (const step of steps.toSorted((a, b) => (a.before.name < b.before.name ? -1 : 1))) {
      found.set(step.before.name, await changeOperation(context, trx, step));
    }
    return found;
  });
  for (const [name, record] of changed) if (record !== undefined) engine.changed?.(name, record);
  return steps.map(({ before }) => changed.get(before.name));
}

/** What an operation is after a step, and the row of the audit trail that comes with it. */
function stepOf({ rows, now, replica }: Context, { before, change, event }: Step) {
  const time = now().getTime();
  const after = changedRecord(before, change, time);
  const { name, state: to } = after;
  const audit = event && rows.ofAudit({ ...event, operation: name, time, replica, from: before.state, to });
  return { after, row: rows.ofRecord(after, 0), audit };
}

async function changeOperation(context: Context, trx: Trx, step: Step): Promise<OperationRecord | undefined> {
  const { statements } = context;
  const { after, row, audit } = stepOf(context, step);
  const changed = await execute(trx, statements.change(row, step.before.version, audit === undefined ? 0 : 1));
  if (changed.length === 0) return undefined;
  if (audit !== undefined) await execute(trx, statements.audit(audit));
  return after;
}

/** The same as one statement. */
async function changeAlone(
  context: Context,
  single: NonNullable<Engine["single"]>,
  step: Step,
  epoch: number | undefined,
): Promise<OperationRecord | undefined> {
  const { statements, engine } = context;
  const { after, row, audit } = stepOf(context, step);
  const { version } = step.before;
  if (audit === undefined && epoch !== undefined) throw new Error("a permit without its row in the audit trail");
  const statement =
    audit === undefined ? statements.change(row, version, 0) : statements.changeWithAudit(row, version, audit, epoch);
  const changed = await single(statement);
  if (changed.length === 0) return undefined;
  engine.changed?.(after.name, after);
  return after;
}

function beat({ engine, replica, now }: Context): Promise<ReadonlyMap<string, number>> {
  const time = now().getTime();
  return engine.transaction(async (trx) => {
    await trx
      .insertInto("replicas")
      .values({ id: replica, beats: 1, beat_time: time })
      .onConflict((conflict) =>
        conflict.column("id").doUpdateSet((set) => ({ beats: set("replicas.beats", "+", 1), beat_time: time })),
      )
      .execute();
    await trx
      .deleteFrom("replicas")
      .where("beat_time", "<", time - FORGET_REPLICA_MS)
      .where("id", "!=", replica)
      .execute();
    const rows = await trx.selectFrom("replicas").select(["id", "beats"]).execute();
    return new Map(rows.map(({ id, beats }) => [id, Number(beats)]));
  });
}
