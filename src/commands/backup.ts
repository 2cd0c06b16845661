import { access, link, open, rm } from "node:fs/promises";

/** Why a copy was not made. Its message says what to do. */
export class BackupError extends Error {
  override readonly name = "BackupError";
}

/**
 * Writes a copy that comes in pieces to a new file that its owner alone can read. The file is there when all of it is, on disk, or not
 * at all.
 *
 * @param fetch begins to fetch it; not called when the file cannot be made.
 * @returns bytes written.
 * @throws BackupError when the file is there already or nothing came, and whatever else goes wrong.
 */
export async function writeBackup(
  file: string,
  fetch: () => AsyncIterable<{ readonly data: Uint8Array }>,
): Promise<number> {
  await refuseExisting(file, `${file} exists already: nothing is overwritten; name another file`);
  const partial = `${file}.partial`;
  await refuseExisting(
    partial,
    `${partial} is left from a copy that did not end, or one is being made: remove it first`,
  );
  const handle = await open(partial, "wx", 0o600);
  try {
    let bytes = 0;
    try {
      for await (const { data } of fetch()) {
        await handle.writeFile(data);
        bytes += data.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (bytes === 0) {
      throw new BackupError("the server sent an empty copy: nothing was written");
    }
    await link(partial, file); // unlike a rename, it does not replace what came meanwhile
    return bytes;
  } finally {
    await rm(partial, { force: true });
  }
}

async function refuseExisting(file: string, message: string): Promise<void> {
  const exists = await access(file).then(
    () => true,
    () => false, // whatever else is wrong shows when it is opened
  );
  if (exists) {
    throw new BackupError(message);
  }
}
