import { setTimeout as delay } from "node:timers/promises";

/**
 * What `work` gives. Rejects when that takes longer (ms) by a timer of this process, which a machine that stands still holds up as it
 * does the work: for what has a bound of its own, by another timer.
 */
export async function within<Result>(ms: number, work: Promise<Result>): Promise<Result> {
  const over = new AbortController();
  const late = delay(ms, undefined, { signal: over.signal }).then(
    () => {
      throw new Error(`it has taken more than ${ms} ms`);
    },
    () => work,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}
