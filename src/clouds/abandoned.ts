import { Code, ConnectError } from "@connectrpc/connect";
import { Failure } from "../core/errors.ts";
import { NoAnswer } from "./http.ts";

/**
 * The failure of a call that was left, or ran out of time, while nothing of it had been sent; undefined when the request failed for
 * another reason, or had left.
 *
 * @param error what sending it threw.
 * @param signal fires when the caller goes away or its deadline passes.
 */
export function abandoned(error: unknown, signal: AbortSignal, changes: boolean): Failure | undefined {
  const left = changes && error instanceof NoAnswer && error.sent;
  if (!signal.aborted || left || error instanceof Failure) {
    return undefined;
  }
  const cause: unknown = signal.reason;
  return cause instanceof ConnectError && cause.code === Code.DeadlineExceeded
    ? new Failure("DEADLINE_EXCEEDED", "the deadline passed before anything was sent", { cause })
    : new Failure("CANCELLED", "the call was cancelled before anything was sent", { cause });
}
