import { onAbort } from "../core/on-abort.ts";
import type { EndsStream } from "./deadline.ts";

/**
 * Ends streams when the server is shutting down, for the reason of `shutdown`. Unary calls finish.
 *
 * @param shutdown aborted with a {@link Failure} when draining begins.
 */
export const drain =
  (shutdown: AbortSignal): EndsStream =>
  (_req, end) => {
    const stop = (): void => end(shutdown.reason);
    if (shutdown.aborted) stop();
    return onAbort(shutdown, stop);
  };
