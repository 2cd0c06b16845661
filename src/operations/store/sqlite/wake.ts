import type { OperationRecord } from "../record.ts";
import type { Store } from "../store.ts";

/** A longer delay of setTimeout fires at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** So many operations are looked at at a time, for instance after a restart. */
const CONCURRENCY = 32;

/** Wakes operations of this one process, by a timer set for the next one. */
export interface Alarm {
  /** Takes notice of an operation's new `wakeTime`, or that it is gone. */
  set(name: string, record: Pick<OperationRecord, "wakeTime" | "endTime"> | undefined): void;
  /** Begins to wake. */
  start(handler: Parameters<Store["wake"]>[0]): void;
  /** Stops, and waits for what was woken. */
  stop(): Promise<void>;
}

/**
 * @param now the wall clock that `wakeTime` is by.
 * @param monotonic milliseconds that no correction of the wall clock moves: a wait that has begun is as long as it was meant to be.
 */
export function createAlarm(now: () => Date, monotonic: () => number): Alarm {
  /** When each one is due, by the monotonic clock. */
  const due = new Map<string, number>();
  const running = new Set<Promise<void>>();
  let handle: Parameters<Store["wake"]>[0] | undefined;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Number.POSITIVE_INFINITY;

  const arm = (at: number) => {
    if (handle === undefined || at >= timerAt) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(ring, Math.min(Math.max(0, Math.ceil(at - monotonic())), MAX_TIMEOUT_MS));
  };

  function ring(): void {
    timerAt = Number.POSITIVE_INFINITY;
    const time = monotonic();
    let next = Number.POSITIVE_INFINITY;
    for (const [name, at] of due) {
      if (at > time) next = Math.min(next, at);
      else if (handle !== undefined && running.size < CONCURRENCY) {
        due.delete(name);
        run(handle(name));
      }
      // Else: the end of one that is running rings again.
    }
    arm(next);
  }

  function run(handling: Promise<void>): void {
    const full = () => running.size >= CONCURRENCY;
    const one = handling.finally(() => {
      const waiting = full();
      running.delete(one);
      if (waiting) arm(monotonic());
    });
    running.add(one);
  }

  return {
    set: (name, record) => {
      if (record?.wakeTime === undefined || record.endTime !== undefined) {
        due.delete(name);
        return;
      }
      const at = monotonic() + record.wakeTime - now().getTime();
      due.set(name, at);
      arm(at);
    },
    start: (handler) => {
      handle = handler;
      ring();
    },
    stop: async () => {
      handle = undefined;
      clearTimeout(timer);
      await Promise.all(running);
    },
  };
}
