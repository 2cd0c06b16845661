import type { Context } from "./context.ts";
import type { OperationRecord } from "./record.ts";
import type { Trx } from "./schema.ts";

/** Thrown to roll back: something is not, or no more, as removing needs it. */
class Kept extends Error {
  override readonly name = "Kept";
}

/** See `Store.remove`: the operation and its children, unless one of them has not ended or still blocks its target. */
export const removeOperation = async (context: Context, { name, version }: OperationRecord): Promise<boolean> =>
  (await removeWithChildren(context, name, version)) > 0;

/** See `Store.purge`. */
export async function removeEnded(context: Context, endedBefore: number, limit: number): Promise<number> {
  const due = await context.db
    .selectFrom("operations as operation")
    .select(["name", "version"])
    .where("end_time", "<", endedBefore)
    .where("parent", "is", null)
    .where("blocks_target", "is", null)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("operations as child")
            .select("child.name")
            .whereRef("child.parent", "=", "operation.name")
            .where((child) =>
              child.or([child("child.end_time", "is", null), child("child.blocks_target", "is not", null)]),
            ),
        ),
      ),
    )
    .orderBy("end_time")
    .limit(limit)
    .execute();
  let removed = 0;
  for (const { name, version } of due) removed += await removeWithChildren(context, name, version);
  return removed;
}

/** Answers how many operations are gone: none when something has changed meanwhile, has not ended, or blocks its target. */
async function removeWithChildren(context: Context, name: string, version: number): Promise<number> {
  const { engine, rows } = context;
  try {
    const names = await engine.transaction(async (trx) => {
      const operations = await trx
        .selectFrom("operations")
        .selectAll()
        .where((row) => row.or([row("name", "=", name), row("parent", "=", name)]))
        .execute();
      const records = operations.map((row) => rows.record(row));
      if (!records.some((record) => record.name === name && record.version === version)) throw new Kept();
      for (const record of records) await bury(context, trx, record);
      return records.map((record) => record.name);
    });
    for (const removed of names) engine.changed?.(removed, undefined);
    return names.length;
  } catch (error) {
    if (error instanceof Kept) return 0;
    throw error;
  }
}

async function bury({ rows }: Context, trx: Trx, record: OperationRecord): Promise<void> {
  if (record.endTime === undefined || record.blocks) throw new Kept();
  const { numDeletedRows } = await trx
    .deleteFrom("operations")
    .where("name", "=", record.name)
    .where("version", "=", record.version)
    .executeTakeFirst();
  if (numDeletedRows !== 1n) throw new Kept();
  await trx.deleteFrom("audit").where("operation", "=", record.name).execute();
  if (record.requestId !== undefined) {
    await trx.insertInto("tombstones").values(rows.ofTombstone(record, record.requestId)).execute();
  }
}
