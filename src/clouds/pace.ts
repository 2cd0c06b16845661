import { setTimeout } from "node:timers/promises";
import { abandoned } from "../core/abandoned.ts";
import { Failure, retryInfo } from "../core/errors.ts";
import type { Answer } from "./http.ts";
import { perAccount } from "./per-account.ts";
import { retryAfterMs } from "./vendor.ts";

/**
 * How fast one account is asked: as fast as anybody likes, until its vendor says that it is too fast. Then nobody who can wait asks before
 * the vendor wants to be asked again, and one after the other from then on; the longer nothing is refused, the closer together.
 */
export interface Pace {
  /**
   * Waits for a turn to ask.
   *
   * @param limitMs the longest wait.
   * @returns how long (ms) the turn is away where that is longer; undefined when it has come.
   * @throws Failure CANCELLED or DEADLINE_EXCEEDED by the signal.
   */
  turn(limitMs: number, signal: AbortSignal): Promise<number | undefined>;
  /** A request was refused for being too many. */
  throttled(retryMs: number): void;
  /** A request was not. */
  taken(): void;
}

/** The first pause (ms) between two requests of an account that has asked too fast. */
const FIRST_GAP_MS = 250;

/** How much longer the pause is after each refusal, and how much shorter after each request that was taken. */
const SLOWER = 1.5;
const FASTER = 0.99;

const LONGEST_GAP_MS = 5_000;

/** A pause (ms) that is none any more. */
const NO_GAP_MS = 20;

/**
 * An account that nobody has asked yet.
 *
 * @param sleep passes time; rejects when the signal fires.
 */
export function createPace(
  monotonic: () => number,
  sleep: (ms: number, signal: AbortSignal) => Promise<void> = (ms, signal) => setTimeout(ms, undefined, { signal }),
): Pace {
  let gapMs = 0;
  let pausedUntil = 0;
  let lastTurn = Number.NEGATIVE_INFINITY;
  /** Who waits, in the order of the turns. */
  const line: symbol[] = [];

  /** When a turn comes, as far as is known: somebody may be refused until then, or leave. */
  const turnOf = (own: symbol): number =>
    Math.max(monotonic(), pausedUntil, lastTurn + gapMs) + line.indexOf(own) * gapMs;

  return {
    async turn(limitMs, signal) {
      const limit = monotonic() + limitMs;
      const own = Symbol();
      line.push(own);
      try {
        for (;;) {
          if (signal.aborted) throw abandoned(signal);
          const awayMs = turnOf(own) - monotonic();
          if (monotonic() + awayMs > limit) return awayMs;
          if (awayMs <= 0) {
            lastTurn = monotonic();
            return undefined;
          }
          await sleep(awayMs, signal).catch(() => {
            throw abandoned(signal);
          });
        }
      } finally {
        line.splice(line.indexOf(own), 1);
      }
    },
    throttled(retryMs) {
      const now = monotonic();
      // What was under way together is refused together, and counts once.
      if (now >= pausedUntil) gapMs = gapMs === 0 ? FIRST_GAP_MS : Math.min(gapMs * SLOWER, LONGEST_GAP_MS);
      pausedUntil = Math.max(pausedUntil, now + retryMs);
    },
    taken() {
      gapMs = gapMs * FASTER < NO_GAP_MS ? 0 : gapMs * FASTER;
    },
  };
}

/** The pace of one account, by what names it. */
export const paceOf = perAccount((monotonic) => createPace(monotonic));

/**
 * How long (ms) an account that has asked too fast is left alone where its vendor does not say: Huawei's gateway says 2 to 5 s
 * (contracts: huaweicloud E.5), ArcGIS nothing.
 */
export const THROTTLED_MS = 5_000;

/**
 * Tells a pace how a request was answered.
 *
 * @param status what the answer means, where that is not its HTTP status.
 */
export function keepPace(pace: Pace, answer: Pick<Answer, "status" | "headers">, status: number = answer.status): void {
  if (status === 429) pace.throttled(retryAfterMs(answer) ?? THROTTLED_MS);
  else pace.taken();
}

/**
 * Waits for a turn to ask, at most `limitMs`.
 *
 * @param description the sentence and the metadata of the failure.
 * @throws Failure THROTTLED when the turn is further away; CANCELLED or DEADLINE_EXCEEDED by the signal.
 */
export async function takeTurn(
  pace: Pace,
  limitMs: number,
  signal: AbortSignal,
  description: { readonly sentence: string; readonly metadata: Readonly<Record<string, string>> },
): Promise<void> {
  const awayMs = await pace.turn(limitMs, signal);
  if (awayMs === undefined) return;
  throw new Failure("THROTTLED", description.sentence, {
    metadata: description.metadata,
    details: [retryInfo(awayMs)],
  });
}
