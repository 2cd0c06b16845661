import type { ComponentChildren } from "preact";
import type { Polled } from "../api/poll.ts";
import { isAway, NO_ANSWER } from "../api/problem.ts";
import { HEADINGS, W } from "../words.ts";
import { ProblemBox } from "./problem.tsx";
import { timeOfDay, useClock } from "./time.tsx";

/** Said while nothing is known. */
export const Loading = () => (
  <span role="status" data-testid="loading" class="quiet">
    {W.loading}
  </span>
);

/** What {@link Known} is given. */
export interface KnownProps<Value> {
  readonly polled: Polled<Value>;
  /** Shows the newest answer; undefined while there is none. */
  show(value: Value | undefined): ComponentChildren;
}

/** What is known of something: loading, an answer, an older answer and why it is old, or what went wrong. */
export function Known<Value>({ polled, show }: KnownProps<Value>) {
  const { value, problem, refresh } = polled;
  if (problem === undefined) return <>{show(value)}</>;
  if (value === undefined) return <ProblemBox problem={problem} onRetry={refresh} />;
  // Where nobody answers at all the page says so once, above everything.
  return (
    <>
      {!isAway(problem) && (
        <Stale
          reason={problem.reason}
          sentence={`${HEADINGS[problem.reason] ?? problem.reason}: ${problem.message}.`}
          at={polled.at}
          retryAt={polled.retryAt}
          retry={refresh}
        />
      )}
      <div class="dimmed">{show(value)}</div>
    </>
  );
}

/** What {@link Stale} is given. */
export interface StaleProps {
  readonly reason?: string;
  readonly sentence: string;
  /** When what is shown was known; undefined: nothing was. */
  readonly at: number | undefined;
  readonly retryAt: number;
  readonly retry: () => void;
}

/** Says that what is shown is old, why, and when it is asked for again. */
export function Stale({ reason = NO_ANSWER, sentence, at, retryAt, retry }: StaleProps) {
  const clock = useClock();
  const seconds = Math.max(0, Math.ceil((retryAt - clock) / 1000));
  return (
    <div class="banner-note" data-testid="stale" data-reason={reason}>
      <span>
        {at === undefined ? W.noAnswerYet : W.showing(timeOfDay(at))} {sentence} {W.tryingAgain(seconds)}
      </span>
      <button type="button" class="small" onClick={retry}>
        {W.tryNow}
      </button>
    </div>
  );
}
