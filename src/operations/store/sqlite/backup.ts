import { closeSync, globSync, openSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";

/**
 * Copies a database to a new file, readable for its owner alone, while work goes on. The copy counts one start less: whoever puts it in
 * the store's place is told that it has forgotten something (starts.ts).
 */
export async function backupDatabase(database: DatabaseSync, file: string): Promise<void> {
  closeSync(openSync(file, "wx", 0o600));
  try {
    await backup(database, file);
    const copy = new DatabaseSync(file);
    copy.exec("update meta set value = cast(max(cast(value as integer) - 1, 0) as text) where key = 'starts'");
    copy.close();
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
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
