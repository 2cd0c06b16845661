import { readFileSync } from "node:fs";

/** Connections are not taken beyond this, however many descriptors there are: each takes memory too. */
const MOST = 20_000;

/** At least so many descriptors are kept for the store, files, vendors' connections; of a small number, half. */
const RESERVE = 64;

/**
 * How many connections may be open, so that descriptors are left for everything else.
 *
 * @param limit how many descriptors the process may have; undefined when that is not known.
 */
export function connectionsFor(limit: number | undefined): number {
  if (limit === undefined) {
    return MOST;
  }
  const reserve = Math.min(Math.max(RESERVE, Math.ceil(limit / 4)), Math.ceil(limit / 2));
  return Math.max(1, Math.min(MOST, limit - reserve));
}

/** How many descriptors this process may have; undefined where only the system knows: not on Linux. */
export function descriptorLimit(): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
