import { Failure, retryInfo } from "../core/errors.ts";

/** After so many milliseconds somebody else, or this server started anew, may answer. */
const RETRY_AFTER_MS = 1000;

/** Why calls are refused, and streams ended, while the server drains. */
export const shuttingDown = (): Failure =>
  new Failure("SHUTTING_DOWN", "the server is shutting down: call again, it or another may answer then", {
    details: [retryInfo(RETRY_AFTER_MS)],
  });

/** Knows what is still under way, so that the server can end without cutting anything off. */
export class Shutdown {
  readonly #begun = new AbortController();
  readonly #pending = new Set<Promise<unknown>>();

  /** Fires when draining begins, with the Failure that every stream ends with. */
  get signal(): AbortSignal {
    return this.#begun.signal;
  }

  /** How many calls and other works are under way. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Registers work that the server does not end before, be it a call or what a call left to be done. How it ends does not matter here. */
  waitFor(work: Promise<unknown>): void {
    const done = (): void => {
      this.#pending.delete(work);
    };
    this.#pending.add(work);
    work.then(done, done);
  }

  /** From now on calls are refused and streams end. A second time it does nothing. */
  begin(): void {
    if (!this.signal.aborted) {
      this.#begun.abort(shuttingDown());
    }
  }

  /**
   * Begins, and waits until nothing is under way any longer, work that is registered meanwhile included.
   *
   * @param limitMs waits at most so many milliseconds.
   * @returns how much was still under way when it gave up: 0 when all has ended.
   */
  async drain(limitMs: number): Promise<number> {
    this.begin();
    const limit = Promise.withResolvers<void>();
    let expired = false;
    const timer = setTimeout(() => {
      expired = true;
      limit.resolve();
    }, limitMs);
    while (this.#pending.size > 0 && !expired) {
      await Promise.race([Promise.allSettled(this.#pending), limit.promise]);
    }
    clearTimeout(timer);
    return this.#pending.size;
  }
}
