import { chmod, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure, help, preconditionFailure, retryInfo } from "../../core/errors.ts";
import { guarded } from "../records/unavailable.ts";
import type { Store } from "../store/store.ts";

/** Bytes of one piece. */
const PIECE = 32 * 1024;

/** After so many milliseconds another copy may be through. */
const RETRY_AFTER_MS = 10_000;

/** What {@link createBackup} can be told. */
export interface BackupOptions {
  /** Where the copy is kept while it is sent, readable by nobody else. Default: the system's folder for temporary files. */
  readonly folder?: string;
}

/**
 * Makes consistent copies of the store, in pieces, one at a time: each takes the store's place on the disk once more. No file of one
 * stays, however its caller leaves.
 *
 * @returns a copy. It throws Failure OPERATION_UNSUPPORTED_BY_TARGET when the store has its own tools, QUEUE_FULL while another copy is
 *   made or sent, STORE_UNAVAILABLE.
 */
export function createBackup(
  store: Store,
  { folder = tmpdir() }: BackupOptions,
): (signal: AbortSignal) => AsyncGenerator<{ data: Uint8Array }> {
  /** The one that is being made or sent. */
  let current: AbortSignal | undefined;
  return async function* (signal) {
    if (store.backup === undefined) {
      throw unsupported();
    }
    if (current !== undefined) {
      throw busy();
    }
    current = signal;
    const free = (): void => {
      if (current === signal) current = undefined;
    };
    let leave = free;
    try {
      await using file = await guarded(copyTo(folder, store.backup));
      // Whoever has left may never ask for the next piece, nor have this ended.
      leave = () => void file.close().finally(free);
      signal.addEventListener("abort", leave, { once: true });
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
      signal.removeEventListener("abort", leave);
      free();
    }
  };
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

const busy = (): Failure =>
  new Failure("QUEUE_FULL", "another copy of the store is being made: wait until it has ended, or been given up", {
    details: [retryInfo(RETRY_AFTER_MS)],
  });

function unsupported(): Failure {
  const description = "the store is PostgreSQL, whose own tools make copies: use pg_dump, or its continuous archiving";
  return new Failure("OPERATION_UNSUPPORTED_BY_TARGET", description, {
    details: [
      preconditionFailure([{ type: "OPERATION_UNSUPPORTED_BY_TARGET", subject: "store", description }]),
      help("Backup of a PostgreSQL database by pg_dump", "https://www.postgresql.org/docs/current/backup-dump.html"),
    ],
  });
}
