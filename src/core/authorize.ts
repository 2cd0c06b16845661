import type { HandlerContext } from "@connectrpc/connect";
import { authorizerKey, type Question } from "./access.ts";
import { callKey } from "./call.ts";
import { badRequest, Failure, resourceInfo } from "./errors.ts";
import { type Principal, principalKey } from "./principal.ts";

/** Type of a target in `google.rpc.ResourceInfo`, when it was denied. */
const TARGET_TYPE = "restartd.target";

/** At most so many denied targets are named. */
const MAX_NAMED = 50;

/** A caller's call: what is known of it and of the caller. */
export type Context = Pick<HandlerContext, "values">;

/**
 * Requires that the caller may do something to all of some targets.
 *
 * @throws Failure PERMISSION_DENIED, naming those that it may not.
 */
export function requirePermission(
  { values }: Context,
  permission: string,
  targets: readonly string[],
  request?: Question["request"],
): void {
  const principal = values.get(principalKey);
  const authorizer = values.get(authorizerKey);
  const decisions = targets.map((target) => ({
    target,
    ...authorizer.authorize({ principal, permission, target, request }),
  }));
  const denied = decisions.filter(({ allowed }) => !allowed);
  const decisive = denied[0] ?? decisions[0];
  if (decisive !== undefined) {
    const { kind: decision, rule, groups } = decisive;
    values.get(callKey).authorization = { permission, decision, rule, groups, targets };
  }
  if (denied.length > 0) {
    throw permissionDenied(
      principal,
      permission,
      denied.map(({ target }) => target),
    );
  }
}

/** Whether the caller may do something to a target. Nothing is said of it in the log. */
export const isPermitted = ({ values }: Context, permission: string, target: string): boolean =>
  values.get(authorizerKey).authorize({ principal: values.get(principalKey), permission, target }).allowed;

/**
 * The caller may not do this. Why is in the log: which rules there are is nobody's to find out.
 *
 * @param targets those that were denied; none when nothing at all is allowed.
 */
export function permissionDenied({ id }: Principal, permission: string, targets: readonly string[]): Failure {
  const [first = "anything", ...others] = targets;
  const more = others.length === 0 ? "" : ` and ${others.length} more`;
  return new Failure(
    "PERMISSION_DENIED",
    `${id} may not ${permission} ${first}${more}`,
    deniedInfo(id, permission, targets),
  );
}

/** What every PERMISSION_DENIED says beside its sentence. */
export const deniedInfo = (principal: string, permission: string | undefined, targets: readonly string[]) => ({
  metadata: {
    ...(permission !== undefined && { permission }),
    principal,
    ...(targets.length > 0 && { targets_denied: String(targets.length) }),
  },
  details: targets.slice(0, MAX_NAMED).map((target) => resourceInfo(TARGET_TYPE, target)),
});

/**
 * Requires that the reason of a call is as it has to be.
 *
 * @throws Failure REASON_REQUIRED
 */
export function requireReason(
  { values }: Context,
  permission: string,
  targets: readonly string[],
  reason: string,
): void {
  const wrong = values.get(authorizerKey).wrongReasons(permission, targets, reason);
  if (wrong.length === 0) return;
  const description = `the reason ${wrong.join(", and ")}`;
  throw new Failure("REASON_REQUIRED", `reason: ${description}`, {
    details: [badRequest([{ field: "reason", description, reason: "REASON_REQUIRED" }])],
  });
}
