import type { DatabaseSync } from "node:sqlite";
import type { Engine } from "../context.ts";
import type { Db, Trx } from "../schema.ts";
import type { FileGuard } from "./same-file.ts";

/** So many transactions share a commit at most: whoever reads meanwhile waits for all of them. */
const MAX_GROUP = 32;

/** A transaction that waits to be run. */
interface Waiting {
  /** Runs it; what it throws is kept for `end`. */
  readonly run: (trx: Trx) => Promise<void>;
  /** Whether it is to be rolled back. */
  readonly failed: () => boolean;
  /** Tells its caller how it ended. */
  readonly end: () => void;
  /** Tells its caller that nothing of it was written, or that nobody knows. */
  readonly reject: (error: unknown) => void;
}

/**
 * Runs transactions so that those which come in the same turn of the event loop share one commit: the disk, which takes most of the time,
 * is waited for once. Each is rolled back for itself; nobody is told anything before the commit, for each may have seen what those
 * before it in the group have written. They are committed in the order in which they came.
 */
export function createGroups(database: DatabaseSync, db: Db, files?: FileGuard): Engine["transaction"] {
  const waiting: Waiting[] = [];
  let scheduled = false;
  const commit = async (): Promise<void> => {
    await commitTogether(database, db, waiting.splice(0, MAX_GROUP), files);
    scheduled = false;
    schedule();
  };
  const schedule = (): void => {
    if (scheduled || waiting.length === 0) return;
    scheduled = true;
    // Everything that has come in by then is taken along.
    setImmediate(() => void commit());
  };
  return (work) => {
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof work>>>();
    let end = (): void => {};
    let failed = false;
    waiting.push({
      async run(trx) {
        try {
          const result = await work(trx);
          end = () => resolve(result);
        } catch (error) {
          failed = true;
          end = () => reject(error);
        }
      },
      failed: () => failed,
      end: () => end(),
      reject,
    });
    schedule();
    return promise;
  };
}

async function commitTogether(
  database: DatabaseSync,
  db: Db,
  group: readonly Waiting[],
  files: FileGuard | undefined,
): Promise<void> {
  try {
    files?.check();
  } catch (error) {
    for (const one of group) one.reject(error);
    return;
  }
  const isAlone = group.length === 1;
  try {
    await db.transaction().execute(async (trx) => {
      for (const one of group) {
        if (!isAlone) database.exec("savepoint one");
        await one.run(trx);
        // After some errors, such as a full disk, SQLite itself has rolled back everything.
        if (!database.isTransaction || (isAlone && one.failed())) throw new AllRolledBack(one);
        if (one.failed()) database.exec("rollback to one");
        if (!isAlone) database.exec("release one");
      }
    });
  } catch (error) {
    const culprit = error instanceof AllRolledBack ? error.one : undefined;
    for (const one of group) {
      if (one === culprit) one.end();
      else one.reject(culprit === undefined ? error : new Error("The store has rolled back a transaction: try again."));
    }
    return;
  } finally {
    files?.note();
  }
  for (const one of group) one.end();
}

/** Thrown when nothing of a group was written because of one of it. */
class AllRolledBack extends Error {
  override readonly name = "AllRolledBack";
  readonly one: Waiting;
  constructor(one: Waiting) {
    super("rolled back");
    this.one = one;
  }
}
