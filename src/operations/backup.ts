import { chmod, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure, help, preconditionFailure } from "../core/errors.ts";
import type { Store } from "./store.ts";
import { guarded } from "./unavailable.ts";

/** Bytes of one piece. */
const PIECE = 32 * 1024;

/** What {@link backupStore} can be told. */
export interface BackupOptions {
  /** Where the copy is kept while it is sent, readable by nobody else. Default: the system's folder for temporary files. */
  readonly folder?: string;
}

/**
 * A consistent copy of the store, in pieces. No file of it stays, however the caller leaves.
 *
 * @throws Failure OPERATION_UNSUPPORTED_BY_TARGET when the store has its own tools, STORE_UNAVAILABLE
 */
export async function* backupStore(
  store: Store,
  { folder = tmpdir() }: BackupOptions,
  signal: AbortSignal,
): AsyncGenerator<{ data: Uint8Array }> {
  if (store.backup === undefined) {
    throw unsupported();
  }
  const file = await guarded(copyTo(folder, store.backup));
  try {
    for (;;) {
      signal.throwIfAborted();
      // A new buffer each time: the piece before may not have been sent yet.
      const { bytesRead, buffer } = await guarded(file.read(new Uint8Array(PIECE)));
      if (bytesRead === 0) {
        return;
      }
      yield { data: buffer.subarray(0, bytesRead) };
    }
  } finally {
    await file.close();
  }
}

/** A copy, opened and without a name already: it is gone when it is closed, be it by the end of the process. */
async function copyTo(folder: string, backup: NonNullable<Store["backup"]>) {
  const own = await mkdtemp(join(folder, "restartd-backup-")); // mode 0700
  try {
    const path = join(own, "copy.db");
    await backup(path);
    await chmod(path, 0o600);
    return await open(path, "r");
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

function unsupported(): Failure {
  const description = "the store is PostgreSQL, whose own tools make copies: use pg_dump, or its continuous archiving";
  return new Failure("OPERATION_UNSUPPORTED_BY_TARGET", description, {
    details: [
      preconditionFailure([{ type: "OPERATION_UNSUPPORTED_BY_TARGET", subject: "store", description }]),
      help("Backup of a PostgreSQL database by pg_dump", "https://www.postgresql.org/docs/current/backup-dump.html"),
    ],
  });
}
