import { Code, ConnectError } from "@connectrpc/connect";
import { Failure } from "./errors.ts";

/** Whether a deadline has ended a call, rather than its caller. */
export const isDeadline = ({ reason }: AbortSignal): boolean =>
  reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;

/**
 * The failure of a call that was left, or ran out of time, while nothing of it had been sent.
 *
 * @param signal fires when the caller goes away or its deadline passes; it has.
 * @param what was not sent, for the sentence.
 */
export const abandoned = (signal: AbortSignal, what = "anything"): Failure =>
  isDeadline(signal)
    ? new Failure("DEADLINE_EXCEEDED", `the deadline passed before ${what} was sent`, { cause: signal.reason })
    : new Failure("CANCELLED", `the call was cancelled before ${what} was sent`, { cause: signal.reason });
