import { abandoned } from "../core/abandoned.ts";
import { Failure } from "../core/errors.ts";
import { NoAnswer } from "./http.ts";

/**
 * The failure of a call that was left, or ran out of time, while nothing of it had been sent; undefined when the request failed for
 * another reason, or had left.
 *
 * @param error what sending it threw.
 * @param signal fires when the caller goes away or its deadline passes.
 */
export function abandonedUnsent(error: unknown, signal: AbortSignal, changes: boolean): Failure | undefined {
  const left = changes && error instanceof NoAnswer && error.sent;
  return !signal.aborted || left || error instanceof Failure ? undefined : abandoned(signal);
}
