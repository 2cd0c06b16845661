import type { HandlerContext } from "@connectrpc/connect";
import { type Call, callKey } from "./call.ts";
import { type Principal, principalKey } from "./principal.ts";

/** Who makes a call, and what is known of it. */
export interface Caller {
  readonly call: Call;
  readonly principal: Principal;
}

/**
 * Who did something, as the audit trail keeps it, in JSON: how the caller was known and by which credential (which tells it from the
 * caller's others, and is none itself), the rule that allowed it and the caller's groups that it names, where the call came from, by
 * which program, whom a cluster was told that it is, and whether it was to pass freezes. What there is not is left out.
 *
 * @returns undefined where nobody is asked who they are.
 */
export function identityOf({ call, principal }: Caller, override = false): string | undefined {
  const { authenticator, credential } = principal;
  if (authenticator === "") return undefined;
  const { authorization, origin, impersonatedUser } = call;
  return JSON.stringify({
    authenticator,
    credential,
    ...(authorization?.groups.length && { groups: authorization.groups }),
    rule: authorization?.rule,
    peer: origin?.peer,
    user_agent: origin?.userAgent,
    impersonated_user: impersonatedUser,
    ...(override && { override }),
  });
}

/** Whose call a handler serves. */
export const callerIn = ({ values }: Pick<HandlerContext, "values">): Caller => ({
  call: values.get(callKey),
  principal: values.get(principalKey),
});

/** {@link identityOf} the caller whose call a handler serves. */
export const identityIn = (context: Pick<HandlerContext, "values">, override = false): string | undefined =>
  identityOf(callerIn(context), override);
