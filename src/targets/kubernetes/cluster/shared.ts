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
  const join = (key: string, work: () => Promise<Result>): Promise<Result> => {
    const current = running.get(key);
    if (current === undefined) {
      return start(key, work);
    }
    const next = waiting.get(key) ?? after(key, current, work);
    waiting.set(key, next);
    return next;
  };
  return async (key, work, signal) => {
    signal.throwIfAborted(); // before anything begins that nobody would wait for
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([join(key, work), promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };
}
