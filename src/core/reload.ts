import { statSync } from "node:fs";
import { readFailure } from "./problem.ts";

/** What {@link watchFiles} can be told. */
export interface WatchOptions {
  /** How often (ms) the files are looked at. */
  readonly everyMs: number;
  /** Called after some file has changed, has come or has gone. It must not throw. */
  readonly changed: () => void;
}

/** How often (ms) files that are read again when they change are looked at. */
export const LOOK_EVERY_MS = 2_000;

/**
 * Looks at files again and again. Not by the system's own notifications: they miss what a Kubernetes volume does, which swaps a link
 * to a folder.
 *
 * @param files their absolute paths.
 */
export function watchFiles(files: readonly string[], { everyMs, changed }: WatchOptions): Disposable {
  const look = (): string => files.map(stampOf).join();
  // The first look finds a change in any case: a file may have changed between its first reading and now.
  let seen: string | undefined;
  const timer = setInterval(() => {
    const now = look();
    if (now === seen) return;
    seen = now;
    changed();
  }, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function stampOf(file: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch (error) {
    return readFailure(error); // whoever reads it says so
  }
}
