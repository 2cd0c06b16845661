import type { FreezeChange, Freezes } from "../../core/freeze.ts";
import type { Context } from "./context.ts";
import { StoreDamaged } from "./rows.ts";
import type { Db, Trx } from "./schema.ts";
import { execute, type Statement } from "./statements.ts";

/** Key of `meta` under which it stands how often freezes have changed. */
export const EPOCH = "freeze_epoch";

/** A freeze that ran out so long ago (ms, by the wall clock) is forgotten: other clocks may be behind. */
const FORGET_MS = 24 * 3600 * 1000;

/** Every permit asks for it. */
const SELECT_EPOCH: Statement = { text: `select value from meta where key = '${EPOCH}'`, values: [] };

async function readEpoch(db: Db): Promise<number> {
  const [row] = await execute<{ value: string }>(db, SELECT_EPOCH);
  const epoch = row === undefined ? Number.NaN : Number(row.value);
  if (!Number.isSafeInteger(epoch)) {
    throw new StoreDamaged("The store is damaged: it does not say how often freezes have changed. Restore a backup.");
  }
  return epoch;
}

/** See `Store.freezes`. The epoch is read first: what comes in between makes it too old, which whoever writes by it is told. */
export async function readFreezes({ db, rows }: Context): Promise<Freezes> {
  const epoch = await readEpoch(db);
  const switched = await db.selectFrom("freezes").selectAll().orderBy("name").execute();
  return { epoch, switched: switched.map((row) => rows.freeze(row)) };
}

/** Whether freezes are those of an epoch. They stay so until the transaction ends where it has kept them so (`Engine.keepFreezes`). */
export async function isEpoch(trx: Trx, epoch: number): Promise<boolean> {
  return (await readEpoch(trx)) === epoch;
}

/** See `Store.changeFreezes`. */
export function changeFreezes(context: Context, epoch: number, change: FreezeChange): Promise<boolean> {
  const { engine, rows, now, replica } = context;
  const time = now().getTime();
  return engine.transaction(async (trx) => {
    await engine.changeFreezes?.(trx);
    if ((await readEpoch(trx)) !== epoch) return false;
    await trx
      .updateTable("meta")
      .set({ value: String(epoch + 1) })
      .where("key", "=", EPOCH)
      .execute();
    const name = change.kind === "create" ? change.freeze.name : change.name;
    await trx
      .deleteFrom("freezes")
      .where((row) => row.or([row("name", "=", name), row("until_time", "<", time - FORGET_MS)]))
      .execute();
    if (change.kind === "create") await trx.insertInto("freezes").values(rows.ofFreeze(change.freeze)).execute();
    await trx
      .insertInto("audit")
      .values(rows.ofFreezeChange(change, time, replica))
      .execute();
    return true;
  });
}
