/**
 * Work that callers at the same time share: nobody gets a result that was begun before they asked, and however many ask, at most one
 * is under way by each key and one waits for it. A thousand watches that begin at once would otherwise read a thousand times, and be
 * throttled. Rejects with the signal's reason when that comes first; the work goes on for the others.
 */
export type Shared<Result> = (key: string, work: () => Promise<Result>, signal: AbortSignal) => Promise<Result>;

/** Makes a {@link Shared}. */
export function createShared<Result>(): Shared<Result> {
  const running = new Map<string, Promise<Result>>();
  const waiting = new Map<string, Promise<Result>>();

  const start = (key: string, work: () => Promise<Result>): Promise<Result> => {
    const result = work().finally(() => running.delete(key));
    running.set(key, result);
    return result;
  };
  const after = async (key: string, current: Promise<Result>, work: () => Promise<Result>): Promise<Result> => {
    await Promise.allSettled([current]);
    waiting.delete(key);
    return start(key, work);
  };
  return async (key, work, signal) => {
    const current = running.get(key);
    let result = waiting.get(key);
    if (current === undefined) {
      result = start(key, work);
    } else if (result === undefined) {
      result = after(key, current, work);
      waiting.set(key, result);
    }
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      return await Promise.race([result ?? start(key, work), promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };
}
