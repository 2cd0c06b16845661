import { Failure, resourceInfo } from "../../core/errors.ts";
import type { OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { guarded } from "./unavailable.ts";

/** Waits for changes of operations, made here or in another replica. */
export interface Waiter extends Disposable {
  /**
   * The operation when it has another version than this one. Rejects with the signal's reason, with OPERATION_NOT_FOUND when it was
   * deleted, and with STORE_UNAVAILABLE.
   */
  nextChange(
    known: Pick<OperationRecord, "name"> & Partial<Pick<OperationRecord, "version">>,
    signal: AbortSignal,
  ): Promise<OperationRecord>;
}

/** The replica that made a change may die before it tells the others: so often (ms) it is looked without having been told. */
const LOOK_MS = 15_000;

/** One subscription for everybody who waits. */
export function createWaiter(store: Store): Waiter {
  const waiting = new Map<string, Set<() => void>>();
  const unsubscribe = store.subscribe((name) => {
    const woken = name === undefined ? [...waiting.values()] : [waiting.get(name) ?? []];
    for (const wakes of woken) for (const wake of wakes) wake();
  });
  /** Resolves when the operation may have changed. */
  const news = async (name: string, signal: AbortSignal): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiters = waiting.get(name) ?? new Set();
    waiting.set(name, waiters.add(resolve));
    const timer = store.exclusive ? undefined : setTimeout(resolve, LOOK_MS);
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort);
    try {
      await promise;
      signal.throwIfAborted();
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      waiters.delete(resolve);
      if (waiters.size === 0) waiting.delete(name);
    }
  };
  return {
    async nextChange({ name, version }, signal) {
      for (;;) {
        signal.throwIfAborted();
        // Begun before the look, so that a change during it is not missed.
        const changed = news(name, signal);
        changed.catch(() => {}); // whoever waits for it below is told
        const found = await guarded(store.get(name));
        if (found === undefined) {
          throw new Failure("OPERATION_NOT_FOUND", `there is no ${name} any more`, {
            details: [resourceInfo("restartd.operation", name)],
          });
        }
        if (found.version !== version) {
          return found;
        }
        await changed;
      }
    },
    [Symbol.dispose]: unsubscribe,
  };
}
