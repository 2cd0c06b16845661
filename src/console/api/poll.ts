import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { jittered, now, sleep, visible, wakeUp } from "../browser.ts";
import { answered, forget, unanswered } from "./away.ts";
import { isAway, type Problem, problemOf } from "./problem.ts";

/** What is known of something that is asked for again and again. */
export interface Polled<Value> {
  /** The newest answer; undefined before the first. */
  readonly value: Value | undefined;
  /** When that was, epoch ms. */
  readonly at: number;
  /** What went wrong with the last question; undefined when nothing did. */
  readonly problem: Problem | undefined;
  /** When it is asked again after a problem. */
  readonly retryAt: number;
  /** Asks at once. */
  readonly refresh: () => void;
}

/** Whether it was answered, be that by a refusal. */
export const isAnswered = ({ value, problem }: Polled<unknown>): boolean => (value ?? problem) !== undefined;

/** Answers of the pages before, so that going back shows them at once. */
const remembered = new Map<string, { value: unknown; at: number }>();
const MAX_REMEMBERED = 50;

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;

/** How to ask. */
export interface Asking<Value> {
  ask(signal: AbortSignal): Promise<Value>;
  /** Asks again so many ms after the last answer; undefined: never by itself. */
  readonly everyMs: number | undefined;
}

/**
 * Asks for something while somebody looks: again some time after each answer, sooner and then later after a failure, at once when the
 * tab is shown or the network is back.
 *
 * @param key tells what is asked for; another key begins anew. Undefined asks for nothing.
 */
export function usePoll<Value>(key: string | undefined, { ask, everyMs }: Asking<Value>): Polled<Value> {
  const [state, setState] = useState<{ key: string | undefined } & Omit<Polled<Value>, "refresh">>(() => first(key));
  const asking = useRef(ask);
  asking.current = ask;
  const nudge = useRef<() => void>(() => {});
  useEffect(() => {
    setState(first(key));
    if (key === undefined) return;
    const page = new AbortController();
    const who = {};
    const run = async (): Promise<void> => {
      for (let failures = 0; ; ) {
        await visible(page.signal);
        let wait = everyMs;
        try {
          const value = await asking.current(AbortSignal.any([page.signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]));
          page.signal.throwIfAborted();
          failures = 0;
          remember(key, value);
          answered(who);
          setState({ key, value, at: now(), problem: undefined, retryAt: 0 });
        } catch (error) {
          page.signal.throwIfAborted();
          const problem = problemOf(error);
          wait = jittered(Math.min(FIRST_RETRY_MS * 2 ** failures++, LAST_RETRY_MS));
          const retryAt = now() + wait;
          if (isAway(problem)) unanswered(who, retryAt, () => nudge.current());
          else answered(who);
          setState((old) => ({ ...old, problem, retryAt }));
        }
        const over = new AbortController();
        const either = AbortSignal.any([page.signal, over.signal]);
        const nudged = new Promise<void>((resolve) => {
          nudge.current = resolve;
        });
        const waits = [nudged, wakeUp(either)];
        if (wait !== undefined) waits.push(sleep(wait, either));
        await Promise.race(waits).finally(() => {
          over.abort();
          for (const one of waits) one.catch(() => {}); // ended by the line before
        });
      }
    };
    run().catch((error: unknown) => {
      if (!page.signal.aborted) reportError(error);
    });
    return () => {
      forget(who);
      page.abort();
    };
  }, [key, everyMs]);
  const refresh = useCallback(() => nudge.current(), []);
  return { ...(state.key === key ? state : first<Value>(key)), refresh };
}

/** Longer (ms) no read is waited for: a proxy that swallows answers says nothing at all. */
const ANSWER_LIMIT_MS = 30_000;

function first<Value>(key: string | undefined): { key: string | undefined } & Omit<Polled<Value>, "refresh"> {
  const old = key === undefined ? undefined : remembered.get(key);
  return { key, value: old?.value as Value | undefined, at: old?.at ?? 0, problem: undefined, retryAt: 0 };
}

function remember(key: string, value: unknown): void {
  remembered.delete(key);
  remembered.set(key, { value, at: now() });
  const [oldest] = remembered.keys();
  if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
}
