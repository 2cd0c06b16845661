import { create, type DescMessage, fromJsonString, type MessageShape } from "@bufbuild/protobuf";
import { isDeadline } from "../../core/abandoned.ts";
import { Failure, type FailureOptions, type Outcome, resourceInfo } from "../../core/errors.ts";
import { type Action, outcomeOfState } from "../../core/operation.ts";
import { parseFailure, registry } from "../../core/status.ts";
import type { OperationRecord, Tombstone } from "../store/record.ts";

type Known = Pick<OperationRecord, "name" | "target" | "state" | "response" | "error">;

/**
 * What the unary call of an operation is answered with, as far as that is known: the rpc's answer from the moment that the vendor gave
 * it, whatever became of the rollout or job after that.
 *
 * @returns undefined while it is not known.
 * @throws Failure of an operation that ended without an answer, or whose outcome is unknown.
 */
export function answerOf<Output extends DescMessage>(
  { method }: Pick<Action<DescMessage, Output>, "method">,
  known: Known | Tombstone,
): MessageShape<Output> | undefined {
  if (known.response !== undefined) {
    return fromJsonString(method.output, known.response, { ignoreUnknownFields: true, registry });
  }
  if (known.error !== undefined) {
    throw parseFailure(known.error);
  }
  switch (known.state) {
    case "SUCCEEDED":
      return create(method.output);
    case "UNKNOWN":
      throw outcomeUnknown(known);
    default:
      return undefined;
  }
}

/** Why an operation has ended otherwise than well. */
export const endOf = ({ name, state, error }: Pick<OperationRecord, "name" | "state" | "error">): Failure =>
  error === undefined
    ? new Failure("INTERNAL", `${name} ended as ${state}, and why was not recorded`, {
        outcome: outcomeOfState[state] ?? "unknown",
      })
    : parseFailure(error);

/**
 * The failure of a call that its caller, or its deadline, ends while its operation goes on. It is OUTCOME_UNKNOWN even where the vendor
 * has taken the request and only its end is waited for: DEADLINE_EXCEEDED promises that nothing was sent, and clients send again by it.
 *
 * @param signal has fired.
 */
export const wentOn = (
  known: Pick<OperationRecord, "name" | "target">,
  signal: AbortSignal,
  outcome: Exclude<Outcome, "not_applied">,
  cause: unknown = signal.reason,
): Failure => outcomeUnknown(known, { deadlineExceeded: isDeadline(signal), taken: outcome === "applied", cause });

/**
 * The failure of a call whose request may have left, and of which nobody knows what became of it.
 *
 * @param options `taken`: the vendor has the request, and what is not known is its end.
 */
export const outcomeUnknown = (
  { name, target }: Pick<OperationRecord, "name" | "target">,
  { taken = false, ...options }: Pick<FailureOptions, "deadlineExceeded" | "cause"> & { readonly taken?: boolean } = {},
): Failure =>
  new Failure(
    "OUTCOME_UNKNOWN",
    `the request for ${target} ${taken ? "was taken, and has not ended" : "may have been applied"}; ${name} tells when ${taken ? "it has" : "that is known"}, and it is not sent again`,
    {
      ...options,
      outcome: "unknown",
      metadata: { operation: name },
      details: [resourceInfo("restartd.operation", name)],
    },
  );

/** The end of an operation whose target shows no trace of it. */
export const notObserved = ({ target }: Pick<OperationRecord, "target">, why = ""): Failure =>
  new Failure(
    "RESTART_NOT_OBSERVED",
    `${target} shows no trace of the request: it was not applied and is not sent again${why}; use a new request_id to try again`,
  );

/** The end of an operation whose target cannot show what became of it: whether it was applied, or how that ended. */
export function unresolved({ name, target, state }: Pick<OperationRecord, "name" | "target" | "state">): Failure {
  const outcome = outcomeOfState[state] ?? "unknown";
  const message =
    outcome === "applied"
      ? `the request for ${target} was applied, and nothing has shown how it ended; an operator has to find out and resolve ${name}`
      : `nothing shows whether the request for ${target} was applied; the target stays blocked until an operator resolves ${name}`;
  const details = [resourceInfo("restartd.operation", name)];
  return new Failure("OUTCOME_UNRESOLVED", message, { outcome, metadata: { operation: name }, details });
}
