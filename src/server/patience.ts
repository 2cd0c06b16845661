import { onAbort } from "../core/on-abort.ts";

/** How long a client may take nothing of what is sent to it. */
export interface PatienceLimits {
  /** Milliseconds. */
  readonly stallMs: number;
  /** Milliseconds while the server drains. */
  readonly drainingStallMs: number;
}

/** Bounds how long something waits for a client. */
export interface Patience {
  /** What `step` becomes. When it takes too long the client is given up: whoever gave the patience has to see to it that `step` ends. */
  during<Result>(step: Promise<Result>): Promise<Result>;
}

/**
 * Patience with one client, for one step at a time: each step has the whole limit again.
 *
 * @param draining fires when the server begins to drain: from then on the shorter limit holds, for the step under way too.
 * @param giveUp ends whatever waits for the client.
 */
export function createPatience(
  { stallMs, drainingStallMs }: PatienceLimits,
  draining: AbortSignal,
  giveUp: () => void,
): Patience {
  return {
    async during(step) {
      let timer = setTimeout(giveUp, draining.aborted ? drainingStallMs : stallMs);
      const hurry = (): void => {
        clearTimeout(timer);
        timer = setTimeout(giveUp, drainingStallMs);
      };
      const off = onAbort(draining, hurry);
      try {
        return await step;
      } finally {
        clearTimeout(timer);
        off();
      }
    },
  };
}
