import { closeSync, globSync, openSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";

/** How often a copy is begun anew because a transaction is being written just then. */
const ATTEMPTS = 100;

/**
 * Copies a database to a new file, readable for its owner alone, while work goes on. The copy counts one start less: whoever puts it in
 * the store's place is told that it has forgotten something (starts.ts).
 *
 * @param written waits for the transactions that have been begun.
 */
export async function backupDatabase(
  database: DatabaseSync,
  file: string,
  written: () => unknown = () => undefined,
): Promise<void> {
  closeSync(openSync(file, "wx", 0o600));
  try {
    for (let attempt = 1; !(await isCopied(database, file, attempt === ATTEMPTS)); attempt++) await written();
    const copy = new DatabaseSync(file);
    copy.exec("update meta set value = cast(max(cast(value as integer) - 1, 0) as text) where key = 'starts'");
    copy.close();
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  }
}

/**
 * Copies, unless the very first step meets a transaction that this connection is writing: SQLite says SQLITE_LOCKED
 * (https://sqlite.org/c3ref/backup_finish.html), and Node, which goes on after that in later steps, gives up then with `not an error`.
 */
async function isCopied(database: DatabaseSync, file: string, last: boolean): Promise<boolean> {
  try {
    await backup(database, file);
    return true;
  } catch (error) {
    if (last || (error as { errcode?: number }).errcode !== 0) throw error;
    return false;
  }
}

/**
 * Copies a database to a file beside it before it is migrated, and then removes the copy from before the last migration.
 *
 * @param version the schema version that it is migrated to.
 */
export async function keepBefore(database: DatabaseSync, path: string, version: number): Promise<void> {
  const file = `${path}.before-v${version}`;
  const partial = `${file}.partial`;
  rmSync(partial, { force: true }); // from a start that was killed
  await backupDatabase(database, partial);
  renameSync(partial, file);
  const folder = dirname(path);
  for (const name of globSync("*.before-v*", { cwd: folder })) {
    if (name.startsWith(`${basename(path)}.before-v`) && join(folder, name) !== file) rmSync(join(folder, name));
  }
}
