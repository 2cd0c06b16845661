import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { StoreRefused } from "../store.ts";
import { reasonOf } from "./file.ts";

/** Where the starts of a store are counted a second time: `restartd.starts` beside `restartd.db`. */
export const startsFile = (path: string): string => `${path.replace(/\.db$/, "")}.starts`;

/**
 * Refuses a store that is older than the last one at its path: it was restored from a copy, or removed, and has forgotten what was sent
 * since. Where no file counts, nobody can know.
 *
 * @param starts as the store counts them.
 * @param accepted whether somebody has said that this is meant.
 * @returns how many starts to count from.
 * @throws StoreRefused
 */
export function refuseRestored(path: string, starts: number, accepted: boolean): number {
  const file = startsFile(path);
  const counted = readStarts(file);
  if (counted === undefined || counted <= starts) return starts;
  if (accepted) return counted;
  const gap = counted - starts;
  throw new StoreRefused(
    `${path} has counted ${starts} starts, and ${file} ${counted}: the store is a copy from before the last ${gap === 1 ? "start" : `${gap} starts`}, and has forgotten every restart since then. A request that is repeated with a request_id of that time would restart again. Keep callers from repeating such requests, and start once with --accept-restore.`,
  );
}

/** Writes down how often the store was opened, after the store itself has: so its own count is never the lower one. */
export function countStart(path: string, starts: number): void {
  const file = startsFile(path);
  const partial = `${file}.partial`;
  try {
    const handle = openSync(partial, "w", 0o600);
    try {
      writeSync(handle, `${starts}\n`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    // A power loss may undo it: then the file's count is the lower one, which is no reason to refuse.
    renameSync(partial, file);
  } catch (error) {
    throw new StoreRefused(
      `${file} cannot be written (${reasonOf(error)}): it tells a restored store from the one that was here last. Let this user write to its folder.`,
      { cause: error },
    );
  }
}

function readStarts(file: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    if (reasonOf(error) === "ENOENT") return undefined;
    throw new StoreRefused(`${file} cannot be read (${reasonOf(error)}): let this user read it.`, { cause: error });
  }
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new StoreRefused(
    `${file} does not hold a number: it is damaged. Remove it if the store beside it was not restored from a copy.`,
  );
}
