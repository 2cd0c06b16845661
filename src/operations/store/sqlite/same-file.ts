import { type BigIntStats, statSync } from "node:fs";

/** Knows whether the files of an open database are still those at its path. */
export interface FileGuard {
  /**
   * To be called before something is written.
   *
   * @throws Error when the path does not lead to the open file any longer, or when somebody else has written to it. What would be
   *   written then is lost at the next start, and with it that a request was sent.
   */
  check(): void;
  /** To be called after something was written, by whoever wrote: from then on the files have to be as they are now. */
  note(): void;
}

/** What of a file changes when it is another one, or when somebody else writes to it. */
const COMPARED = ["dev", "ino", "nlink", "size", "mtimeNs"] as const satisfies (keyof BigIntStats)[];

/** What of a file stays as it is when we write to it ourselves. */
const LASTING = ["dev", "ino", "nlink"] as const satisfies (keyof BigIntStats)[];

/** What a path leads to, before a database is opened there: another file may be put in its place while that goes on. */
export const fileAt = (path: string): BigIntStats | undefined => statOf(path);

/**
 * Guards the file of a database, and its write-ahead log, which both have to be there. SQLite holds them open, so that no other file
 * can get their inodes as long.
 *
 * @param opened the file that was at the path before it was opened: one that is another by now is not the database.
 */
export function guardFiles(path: string, opened: BigIntStats | undefined): FileGuard {
  const found = statOf(path);
  const database = found?.ino === opened?.ino && found?.dev === opened?.dev ? found : opened;
  const files = [
    { name: path, known: database },
    { name: `${path}-wal`, known: statOf(`${path}-wal`) },
  ];
  return {
    check() {
      for (const { name, known } of files) {
        const stat = statOf(name);
        const what = changeOf(known, stat);
        if (what !== undefined) {
          throw new Error(`${name} ${what}: restart restartd once the file of the store is in its place.`);
        }
      }
    },
    note() {
      for (const file of files) {
        const stat = statOf(file.name);
        // Another file stays another file, whatever we have written meanwhile.
        if (LASTING.every((field) => stat?.[field] === file.known?.[field])) file.known = stat;
      }
    },
  };
}

function changeOf(known: BigIntStats | undefined, stat: BigIntStats | undefined): string | undefined {
  if (stat === undefined) return "cannot be found any longer";
  if (known?.ino !== stat.ino || known.dev !== stat.dev) return "was replaced by another file";
  return COMPARED.every((field) => stat[field] === known[field]) ? undefined : "was changed by something else";
}

/** Undefined for whatever reason: a folder that cannot be entered has the file out of reach as well. */
function statOf(name: string): BigIntStats | undefined {
  try {
    return statSync(name, { bigint: true });
  } catch {
    return undefined;
  }
}
