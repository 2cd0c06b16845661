import { closeSync, openSync, rmSync } from "node:fs";
import { backup, type DatabaseSync } from "node:sqlite";

/** Copies a database to a new file, readable for its owner alone, while work goes on. */
export async function backupDatabase(database: DatabaseSync, file: string): Promise<void> {
  closeSync(openSync(file, "wx", 0o600));
  try {
    await backup(database, file);
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  }
}
