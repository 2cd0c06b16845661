import { isVisible, jittered, now, sleep, visible } from "../browser.ts";
import { answered, forget, unanswered } from "./away.ts";
import { isAway, type Problem, problemOf } from "./problem.ts";

/** One way of following something, for as long as it is wanted. */
export interface Step {
  /** Opens the stream, and takes each of its messages; undefined: this step only reads. */
  stream?(signal: AbortSignal): AsyncIterable<void>;
  /** Reads once what the stream would tell. */
  read(signal: AbortSignal): Promise<void>;
  /** Time (ms) between two reads when there is no stream. */
  readonly everyMs: number;
  /** Whether this is still the way to follow. */
  wanted(): boolean;
  /** Told of a failure of the stream by the server's own word. Answers whether the step is over. */
  ended?(problem: Problem): boolean;
}

/** What the follower tells. */
export interface Telling {
  /** Whether the stream has been away for a while. */
  reconnecting(now: boolean): void;
  problem(problem: Problem | undefined): void;
}

/** Streams that all tabs of a browser may have: HTTP/1.1 has six connections a host, and pages need some. */
const SLOTS = 4;

const RECONNECT_MS = [500, 1000, 2000, 4000, 5000];

/** A stream that says nothing for so long (ms) is asked after: laptops sleep, and proxies forget. */
const SILENCE_MS = 60_000;

/** `Reconnecting…` is shown after so many ms. */
const PATIENCE_MS = 2000;

/** The one stream of this tab: another page ends it first. */
let current: AbortController | undefined;

/**
 * Follows something to its end: by a stream where one can be had, by reading elsewhere; never in a hidden tab.
 *
 * @param next the way to follow now; undefined when all is over.
 */
export async function follow(next: () => Step | undefined, signal: AbortSignal, telling: Telling): Promise<void> {
  const who = {};
  signal.addEventListener("abort", () => forget(who), { once: true });
  let failures = 0;
  let late: ReturnType<typeof setTimeout> | undefined;
  const well = (): void => {
    failures = 0;
    clearTimeout(late);
    late = undefined;
    answered(who);
    telling.reconnecting(false);
    telling.problem(undefined);
  };
  for (let step = next(); step !== undefined; step = next()) {
    await visible(signal);
    const attempt = new AbortController();
    const either = AbortSignal.any([signal, attempt.signal]);
    const hide = (): void => {
      if (!isVisible()) attempt.abort();
    };
    document.addEventListener("visibilitychange", hide);
    const release = step.stream && (await takeSlot());
    try {
      if (step.stream === undefined || release === undefined) {
        await step.read(either);
        well();
        if (step.wanted()) await sleep(step.everyMs, either);
      } else {
        current?.abort();
        current = attempt;
        const whole = await consume(step, either, well);
        if (!whole) throw new Error("the stream ended early");
      }
    } catch (error) {
      signal.throwIfAborted();
      if (attempt.signal.aborted) continue;
      const problem = problemOf(error);
      if (!isAway(problem) && step.ended?.(problem)) continue;
      const wait = jittered(isAway(problem) ? (RECONNECT_MS[failures++] ?? 5000) : 5000);
      late ??= setTimeout(() => telling.reconnecting(true), PATIENCE_MS);
      telling.problem(problem);
      if (isAway(problem) && failures > 2) unanswered(who, now() + wait, () => attempt.abort());
      await sleep(wait, either).catch(() => signal.throwIfAborted());
    } finally {
      document.removeEventListener("visibilitychange", hide);
      attempt.abort();
      release?.();
    }
  }
  well();
}

/** Takes a stream's messages. Answers whether it ended because it was no longer wanted, or because all is over. */
async function consume(step: Step, signal: AbortSignal, well: () => void): Promise<boolean> {
  const messages = step.stream?.(signal)[Symbol.asyncIterator]();
  if (messages === undefined) return true;
  try {
    for (let message = messages.next(); ; ) {
      const quiet = new AbortController();
      const silence = sleep(SILENCE_MS, AbortSignal.any([signal, quiet.signal])).then(() => undefined);
      const result = await Promise.race([message, silence]).finally(() => {
        quiet.abort();
        silence.catch(() => {}); // ended by the line before
      });
      if (result === undefined) {
        await step.read(signal);
      } else if (result.done) {
        return !step.wanted();
      } else {
        well();
        message = messages.next();
      }
      if (!step.wanted()) {
        message.catch(() => {}); // it is ended below
        return true;
      }
    }
  } finally {
    // Not waited for: it ends when the attempt is aborted.
    messages.return?.()?.catch(() => {});
  }
}

/** Takes one of the browser's places for a stream; answers how to give it back, or undefined when all are taken. */
async function takeSlot(): Promise<(() => void) | undefined> {
  const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  if (entry?.nextHopProtocol === "h2") return () => {};
  if (!("locks" in navigator)) return undefined;
  for (let slot = 0; slot < SLOTS; slot++) {
    const release = await tryLock(`restartd-stream-${slot}`);
    if (release !== undefined) return release;
  }
  return undefined;
}

function tryLock(name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    void navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (lock === null) return resolve(undefined);
      return new Promise<void>((release) => resolve(release));
    });
  });
}
