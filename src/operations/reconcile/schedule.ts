/** A longer delay of setTimeout fires at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** So many operations are looked at at a time, for instance after a start. */
const CONCURRENCY = 32;

/**
 * When each operation is looked at next: in the memory of this process alone, by timers, which no correction of the wall clock moves.
 */
export interface Schedule {
  /** Has an operation looked at after so long (ms), in place of when it would have been; after the look that runs, if one does. */
  set(name: string, afterMs: number): void;
  /** Has it not looked at any more. */
  delete(name: string): void;
  /** Stops, and waits for the looks that run. */
  stop(): Promise<void>;
}

/** @param look looks at an operation; it must not reject. One look at a time for each operation, and at most 32 for all. */
export function createSchedule(look: (name: string) => Promise<void>): Schedule {
  const timers = new Map<string, NodeJS.Timeout>();
  /** Whose time has come, in that order, while too many looks run. */
  const due = new Set<string>();
  const running = new Map<string, Promise<void>>();
  let stopped = false;

  const run = (): void => {
    for (const name of due) {
      if (running.size >= CONCURRENCY) return;
      if (running.has(name)) continue;
      due.delete(name);
      const one = look(name).finally(() => {
        running.delete(name);
        if (!stopped) run();
      });
      running.set(name, one);
    }
  };
  const forget = (name: string): void => {
    clearTimeout(timers.get(name));
    timers.delete(name);
    due.delete(name);
  };
  return {
    set(name, afterMs) {
      forget(name);
      if (stopped) return;
      const ring = (): void => {
        timers.delete(name);
        due.add(name);
        run();
      };
      timers.set(name, setTimeout(ring, Math.min(Math.max(0, afterMs), MAX_TIMEOUT_MS)));
    },
    delete: forget,
    async stop() {
      stopped = true;
      for (const name of [...timers.keys(), ...due]) forget(name);
      await Promise.all(running.values());
    },
  };
}
