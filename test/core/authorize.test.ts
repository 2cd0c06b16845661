import { createContextValues } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ResourceInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { authorizerKey, EVERYTHING_ALLOWED } from "../../src/core/access.ts";
import { requirePermission } from "../../src/core/authorize.ts";
import { callKey, newCall } from "../../src/core/call.ts";
import { Failure } from "../../src/core/errors.ts";
import { ANONYMOUS, principalKey } from "../../src/core/principal.ts";

/** Asks for a permission on some targets, of which those are denied that begin with `no`; answers the failure and what the log says. */
function ask(targets: readonly string[]) {
  const call = newCall("1");
  const values = createContextValues()
    .set(callKey, call)
    .set(principalKey, { ...ANONYMOUS, id: "okta:ann", authenticator: "okta" })
    .set(authorizerKey, {
      ...EVERYTHING_ALLOWED,
      authorize: ({ target }) =>
        target.startsWith("no")
          ? { allowed: false, kind: "deny", rule: "secret-rule", groups: [] }
          : { allowed: true, kind: "allow", rule: "all", groups: ["okta:ops"] },
    });
  try {
    requirePermission({ values }, "dcs.instances.restart", targets);
    return { judged: call.authorization };
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    return { failure, judged: call.authorization };
  }
}

const named = (failure: Failure | undefined) =>
  failure?.details.flatMap(({ desc, value }) => (desc === ResourceInfoSchema ? [value] : []));

describe("requirePermission()", () => {
  it("takes all of the targets or none, and names those that are denied, never the rule", () => {
    const { failure, judged } = ask(["yes-1", "no-1", "yes-2", "no-2", "no-3"]);
    expect(failure).toMatchObject({
      reason: "PERMISSION_DENIED",
      message: "okta:ann may not dcs.instances.restart no-1 and 2 more",
      metadata: { permission: "dcs.instances.restart", principal: "okta:ann", targets_denied: "3" },
    });
    expect(named(failure)).toMatchObject(
      ["no-1", "no-2", "no-3"].map((resourceName) => ({ resourceType: "restartd.target", resourceName })),
    );
    expect(JSON.stringify([failure?.message, failure?.metadata, named(failure)])).not.toContain("secret-rule");
    expect(judged).toMatchObject({ decision: "deny", rule: "secret-rule" });
  });

  it("names fifty at most, and counts all", () => {
    const { failure } = ask(Array.from({ length: 60 }, (_, at) => `no-${at}`));
    expect(failure?.metadata.targets_denied).toBe("60");
    expect(named(failure)).toHaveLength(50);
  });

  it("tells the log which rule allowed it, for which of the caller's groups", () => {
    const targets = ["yes-1", "yes-2"];
    expect(ask(targets)).toEqual({
      judged: { permission: "dcs.instances.restart", decision: "allow", rule: "all", groups: ["okta:ops"], targets },
    });
  });
});
