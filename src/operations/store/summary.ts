import type { OperationState } from "../../core/operation.ts";
import type { Context } from "./context.ts";
import { setMeta } from "./migrations.ts";
import type { StoreSummary } from "./store.ts";

/** Key of `meta` under which the time (epoch ms) of the last backup stands. */
const LAST_BACKUP = "last_backup";

/** See `Store.summary`. */
export async function summarize({ db, engine }: Context): Promise<StoreSummary> {
  const open = await db
    .selectFrom("operations")
    .select(({ fn }) => ["method", "state", fn.countAll().as("count"), fn.min("create_time").as("oldest")])
    .where(({ or, eb }) => or([eb("end_time", "is", null), eb("state", "=", "UNRESOLVED" satisfies OperationState)]))
    .groupBy(["method", "state"])
    .execute();
  const meta = await db
    .selectFrom("meta")
    .selectAll()
    .where("key", "in", ["store_id", "schema_version", LAST_BACKUP])
    .execute();
  const facts = new Map(meta.map(({ key, value }) => [key, value]));
  const lastBackup = facts.get(LAST_BACKUP);
  return {
    id: facts.get("store_id") ?? "",
    open: open.map(({ method, state, count, oldest }) => ({
      method,
      state,
      count: Number(count),
      oldest: Number(oldest),
    })),
    schemaVersion: Number(facts.get("schema_version") ?? 0),
    sizeBytes: await engine.sizeBytes?.(),
    lastBackup: lastBackup === undefined ? undefined : Number(lastBackup),
  };
}

/** Writes down that the store was copied just now. */
export async function noteBackup({ now, engine }: Context): Promise<void> {
  const value = String(now().getTime());
  await engine.transaction((trx) => setMeta(trx, LAST_BACKUP, value));
}
