import { setTimeout as delay } from "node:timers/promises";

/** The time that work takes: a clock that can be stopped. */
export class WorkClock {
  #stoppedAt: number | undefined;
  #lost = 0;
  #resumed = Promise.withResolvers<void>();

  /** Milliseconds in which work went on. */
  now(): number {
    return (this.#stoppedAt ?? performance.now()) - this.#lost;
  }

  /** From now on no work goes on. */
  stop(): void {
    this.#stoppedAt ??= performance.now();
  }

  /** Work goes on. */
  resume(): void {
    if (this.#stoppedAt === undefined) return;
    this.#lost += performance.now() - this.#stoppedAt;
    this.#stoppedAt = undefined;
    this.#resumed.resolve();
    this.#resumed = Promise.withResolvers();
  }

  /** Resolves at a time of this clock; rejects when the signal fires. */
  async until(time: number, signal: AbortSignal): Promise<void> {
    while (this.now() < time) {
      signal.throwIfAborted();
      if (this.#stoppedAt === undefined) {
        await delay(Math.ceil(time - this.now()), undefined, { signal });
      } else {
        const { promise: aborted, reject } = Promise.withResolvers<never>();
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        await Promise.race([this.#resumed.promise, aborted]);
      }
    }
  }
}
