import { now } from "../browser.ts";
import { createStore } from "../store.ts";

/** Whether the server answers: one place for the whole page, so that it is said once. */
export interface Away {
  /** When it last answered anything, epoch ms; undefined when it never did. */
  readonly knownAt: number | undefined;
  /** When it is asked again. */
  readonly retryAt: number;
  readonly retry: () => void;
}

/** Set while the server does not answer. */
export const away = createStore<Away | undefined>(undefined);

let knownAt: number | undefined;
const missing = new Map<unknown, { retryAt: number; retry: () => void }>();

/** Tells that a call was answered, whatever it said. */
export function answered(who: unknown): void {
  knownAt = now();
  missing.delete(who);
  update();
}

/** Tells that a call was not answered, and when the next is made. */
export function unanswered(who: unknown, retryAt: number, retry: () => void): void {
  missing.set(who, { retryAt, retry });
  update();
}

/** Whoever asked has gone. */
export function forget(who: unknown): void {
  if (missing.delete(who)) update();
}

function update(): void {
  const all = [...missing.values()];
  const retryAt = Math.min(...all.map((one) => one.retryAt));
  away.set(
    all.length === 0
      ? undefined
      : {
          knownAt,
          retryAt,
          retry: () => {
            for (const { retry } of [...missing.values()]) retry();
          },
        },
  );
}
