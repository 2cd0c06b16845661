import { type Context, type Engine, findBlocker, findRequest } from "./context.ts";
import { isEpoch } from "./freezes.ts";
import type { OperationRecord } from "./record.ts";
import { clean } from "./rows.ts";
import type { Trx } from "./schema.ts";
import { execute } from "./statements.ts";
import type { EventOf, Inserted, Instead } from "./store.ts";

/** How often an insert is tried when what was in its way is gone a moment later. */
const ATTEMPTS = 10;

/** Thrown to roll back a transaction that has an answer all the same. */
class RolledBack extends Error {
  override readonly name = "RolledBack";
  /** Undefined: try again. */
  readonly inserted: Inserted | undefined;
  constructor(inserted: Inserted | undefined) {
    super("rolled back");
    this.inserted = inserted;
  }
}

/** See `Store.insert`. */
export async function insertOperations(
  context: Context,
  records: readonly OperationRecord[],
  event: EventOf,
  instead: Instead | undefined,
  epoch: number | undefined,
): Promise<Inserted> {
  if (records.length === 0) return { blocked: new Map() };
  const { single, holdEpoch } = context.engine;
  const isAlone = single !== undefined && (epoch === undefined || holdEpoch !== undefined);
  // Without a turn of the event loop before: what is asked for first is written first.
  if (isAlone && (await insertAlone(context, single, records, event, epoch))) return { blocked: new Map() };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      const { inserted, blocked } = await context.engine.transaction((trx) =>
        insertOnce(context, trx, records, event, instead, epoch),
      );
      for (const record of inserted) context.engine.changed?.(record.name, record);
      return { blocked };
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error;
      if (error.inserted !== undefined) return error.inserted;
    }
  }
  throw new Error("The store is too busy: operations that were in the way of a new one came and went; try again.");
}

/**
 * Stores one operation by one statement, where the database can and nothing is in the way. Not one with a request_id: who removes an
 * operation at the same time leaves a tombstone that the statement does not see, for it sees what was there when it began.
 */
async function insertAlone(
  context: Context,
  single: NonNullable<Engine["single"]>,
  records: readonly OperationRecord[],
  event: EventOf,
  epoch: number | undefined,
): Promise<boolean> {
  const { engine, rows, statements } = context;
  const [record, second] = records;
  if (record === undefined || second !== undefined || record.requestId !== undefined) return false;
  const statement = statements.insertWithAudit(rows.ofRecord(record, 0), auditOf(context, record, event), epoch);
  if ((await single(statement)).length === 0) return false;
  engine.changed?.(record.name, record);
  return true;
}

function auditOf({ rows, replica, now }: Context, record: OperationRecord, event: EventOf) {
  const audit = typeof event === "function" ? event(record) : event;
  const { name: operation, state: to } = record;
  return rows.ofAudit({ ...audit, operation, time: now().getTime(), replica, from: undefined, to });
}

async function insertOnce(
  context: Context,
  trx: Trx,
  records: readonly OperationRecord[],
  event: EventOf,
  instead: Instead | undefined,
  epoch: number | undefined,
): Promise<{ inserted: readonly OperationRecord[]; blocked: ReadonlyMap<string, OperationRecord> }> {
  // Before any row: who has kept freezes as they are may wait for one of ours, and must not be waited for by who changes them.
  if (epoch !== undefined) await context.engine.keepFreezes?.(trx);
  const ordered = records.map((record, ordinal) => ({ record, ordinal }));
  const stored = await insertRows(context, trx, inLockOrder(ordered));
  await refuseDuplicates(context, trx, records, stored);
  const missing = records.filter(({ name }) => !stored.has(name));
  const blocked = await findBlockers(context, trx, missing);
  const blocks = records.filter((record) => record.blocks).length;
  if (blocked.size > 0 && (instead === undefined || blocked.size === blocks)) throw new RolledBack({ blocked });
  if (epoch !== undefined && !(await isEpoch(trx, epoch))) throw new RolledBack({ stale: true, blocked });
  const replaced = ordered.flatMap(({ record, ordinal }) => {
    const blocking = blocked.get(record.name);
    return blocking === undefined || instead === undefined ? [] : [{ record: instead(record, blocking), ordinal }];
  });
  await insertRows(context, trx, replaced);
  const inserted = [...ordered.filter(({ record }) => stored.has(record.name)), ...replaced]
    .sort((a, b) => a.ordinal - b.ordinal)
    .map(({ record }) => record);
  const [first, ...others] = inserted.map((record) => auditOf(context, record, event));
  if (first !== undefined && others.length === 0) await execute(trx, context.statements.audit(first));
  else if (first !== undefined)
    await trx
      .insertInto("audit")
      .values([first, ...others])
      .execute();
  return { inserted, blocked };
}

/** A new operation and its place among those that are inserted with it. */
interface Ordered {
  readonly record: OperationRecord;
  readonly ordinal: number;
}

/** Answers the names of those that no other row was in the way of. */
async function insertRows(
  { rows, statements }: Context,
  trx: Trx,
  ordered: readonly Ordered[],
): Promise<ReadonlySet<string>> {
  const made = ordered.map(({ record, ordinal }) => rows.ofRecord(record, ordinal));
  const [first, second] = made;
  if (first === undefined) return new Set();
  const stored =
    second === undefined
      ? await execute<{ name: string }>(trx, statements.insert(first))
      : await trx
          .insertInto("operations")
          .values(made)
          .onConflict((conflict) => conflict.doNothing())
          .returning("name")
          .execute();
  return new Set(stored.map(({ name }) => name));
}

/** The same order for everybody, so that two inserts never wait for each other: request ids first, then targets. */
const inLockOrder = (records: readonly Ordered[]): Ordered[] =>
  records.toSorted(
    ({ record: a }, { record: b }) =>
      compare(b.requestId !== undefined, a.requestId !== undefined) ||
      compare(a.requestId ?? "", b.requestId ?? "") ||
      compare(a.target, b.target),
  );

const compare = <T extends string | boolean>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Tombstones are looked at after the insert: while an operation is being removed, the insert waits for it at the unique index, and its
 * tombstone is there afterwards.
 */
async function refuseDuplicates(
  context: Context,
  trx: Trx,
  records: readonly OperationRecord[],
  stored: ReadonlySet<string>,
): Promise<void> {
  for (const { name, principal, requestId } of records) {
    if (requestId === undefined) continue;
    const found = await findRequest(context, trx, principal, requestId);
    if (found === undefined) {
      // Blocked, or the other use has been removed since the insert: findBlockers tells them apart.
      continue;
    }
    if (found.record === undefined || found.record.name !== name || !stored.has(name)) {
      throw new RolledBack({ duplicate: found });
    }
    const left = await trx
      .selectFrom("tombstones")
      .selectAll()
      .where("principal", "=", clean(principal))
      .where("request_id", "=", requestId)
      .executeTakeFirst();
    if (left !== undefined) throw new RolledBack({ duplicate: { tombstone: context.rows.tombstone(left) } });
  }
}

async function findBlockers(
  context: Context,
  trx: Trx,
  missing: readonly OperationRecord[],
): Promise<ReadonlyMap<string, OperationRecord>> {
  const blocked = new Map<string, OperationRecord>();
  for (const { name, target, blocks } of missing) {
    const blocker = blocks ? await findBlocker(context, trx, target) : undefined;
    if (blocker === undefined) throw new RolledBack(undefined);
    blocked.set(name, blocker);
  }
  return blocked;
}
