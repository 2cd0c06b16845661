import { type ConnectError, type ContextKey, createContextKey, type HandlerContext } from "@connectrpc/connect";
import { type Failure, type Outcome, toConnectError, toFailure } from "./errors.ts";
import type { Principal } from "./principal.ts";

/** What is known of one call while it runs: the log line at its end is made of this, and a failure says what it says. */
export interface Call {
  /** UUID of this call: in the log, in `google.rpc.RequestInfo`, and as Audit-ID in the audit log of a cluster. */
  readonly id: string;
  /** Where it comes from; undefined for one that no server took. */
  readonly origin: Origin | undefined;
  /** Resource name of what the call is about, once it is known. */
  target: string | undefined;
  /** operations/{id} that the call is, or was made of, once there is one. */
  operation: string | undefined;
  /** `not_applied` until a byte that may change something can have left; `unknown` from then on, until an answer settles it. */
  outcome: Outcome;
  /** Whether its request has been understood: what connect fails with before that is the caller's doing, after it ours. */
  received: boolean;
  /** The span that it is, by the header of W3C Trace Context; undefined where nobody keeps track. */
  traceparent: string | undefined;
  /** Warnings of the vendor's own server, in its words: for the log. */
  serverWarning: string | undefined;
  /** Who made it; undefined while that is not known, and where nobody is asked. */
  principal: Principal | undefined;
  /** What was decided of whether it may be made; undefined while nothing was, and where nobody judges. */
  authorization: Authorization | undefined;
  /** In whose name a cluster is asked for it; undefined where it is restartd's own account. */
  impersonatedUser: string | undefined;
  /** Why it failed; undefined while it has not. */
  failure: Failure | undefined;
}

/** Where a call comes from. */
export interface Origin {
  /** Address and port of whoever connected. */
  readonly peer: string;
  /** What the program calls itself, as far as it is kept; undefined: nothing. */
  readonly userAgent: string | undefined;
}

/** What was decided of whether a call may be made, for the log. */
export interface Authorization {
  /** Empty where none is asked for. */
  readonly permission: string;
  readonly decision: "allow" | "deny" | "default-deny" | "public";
  /** The rule that decided. */
  readonly rule: string | undefined;
  /** The caller's groups that it names. */
  readonly groups: readonly string[];
  /** What it was decided about; none where the call was judged as a whole. */
  readonly targets: readonly string[];
}

/** A call of which nothing is known but its id. */
export const newCall = (id: string, origin?: Origin): Call => ({
  id,
  origin,
  target: undefined,
  operation: undefined,
  outcome: "not_applied",
  received: false,
  traceparent: undefined,
  serverWarning: undefined,
  principal: undefined,
  authorization: undefined,
  impersonatedUser: undefined,
  failure: undefined,
});

/** Where handlers and interceptors find the {@link Call}. Its default, a call without an id, serves calls that no server made. */
export const callKey: ContextKey<Call> = createContextKey<Call>(newCall(""), { description: "call" });

/**
 * What a successful restart should have people know: the closed list of the response header `restart-warning`.
 *
 * - NO_REPLICAS: there is no pod to restart; the next ones will be new.
 * - RECREATE_DOWNTIME: all pods go before the new ones come.
 * - PARTITIONED: a partition keeps some of the pods as they are.
 * - PREFLIGHT_SKIPPED: the object could not be read before; the guards inside the request held all the same.
 * - MANAGED_BY_CONTROLLER: something else owns the object and may take the restart back.
 * - SERVER_WARNING: the vendor's server sent a warning of its own; it is in the log.
 */
export const WARNINGS = [
  "NO_REPLICAS",
  "RECREATE_DOWNTIME",
  "PARTITIONED",
  "PREFLIGHT_SKIPPED",
  "MANAGED_BY_CONTROLLER",
  "SERVER_WARNING",
] as const;

/** One of {@link WARNINGS}. */
export type Warning = (typeof WARNINGS)[number];

/** A warning as it is kept: its token, alone or with a sentence that is more precise than what the token means. */
export type Warned = Warning | `${Warning}: ${string}`;

/** The token of a warning that was kept. */
export const tokenOf = (warned: string): Warning => (warned.split(":")[0] ?? warned) as Warning;

/** Response header of mutating rpcs, on success and on errors: the {@link Warning}s, separated by commas. */
export const WARNING_HEADER = "restart-warning";

/** Response header of mutating rpcs that names the operation, once there is one. */
export const OPERATION_HEADER = "operation-name";

/** Puts warnings into the answer, whichever way the call ends. */
export function warn(context: Pick<HandlerContext, "responseHeader">, warnings: Iterable<string>): void {
  const tokens = [...new Set([...warnings].map(tokenOf))];
  if (tokens.length > 0) {
    context.responseHeader.set(WARNING_HEADER, tokens.join(", "));
  }
}

/** Ends a call with what was thrown: puts it into the record, and makes of it what the caller gets. */
export function fail(call: Call, error: unknown): ConnectError {
  const failure = toFailure(error, call);
  call.failure = failure;
  call.outcome = failure.outcome;
  return toConnectError(failure, call);
}
