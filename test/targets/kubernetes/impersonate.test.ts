import { create } from "@bufbuild/protobuf";
import { Agent } from "undici";
import { describe, expect, it, onTestFinished } from "vitest";
import { ImpersonationSchema } from "../../../gen/restart/config/v1/kubernetes_pb.ts";
import { Failure } from "../../../src/core/errors.ts";
import type { Principal } from "../../../src/core/principal.ts";
import { type FieldPath, formatPath } from "../../../src/core/problem.ts";
import { type As, createClient } from "../../../src/targets/kubernetes/client.ts";
import { identify, readImpersonation } from "../../../src/targets/kubernetes/impersonate.ts";
import { asRequest, testClock } from "../../support/cluster-client.ts";
import { http1, startWireServer } from "../../support/wire-server.ts";

type Sections = Record<
  string,
  { userPrefix?: string; unprefixed?: boolean; groups?: { prefix?: string; only?: string[] } }
>;

/** Reads a section beside the authenticators okta and cert. */
function read(sections: Sections) {
  const problems: string[] = [];
  const problem = (path: FieldPath, message: string) => void problems.push(`${formatPath(path)}: ${message}`);
  const unused = () => {
    throw new Error("not asked for");
  };
  const impersonation = readImpersonation(
    Object.fromEntries(Object.entries(sections).map(([name, one]) => [name, create(ImpersonationSchema, one)])),
    ["impersonation"],
    { problem, resolve: unused, warning: unused, problemElsewhere: unused, warningElsewhere: unused, whereIs: unused },
    new Set(["okta", "cert"]),
  );
  return { impersonation, problems };
}

const principal = (username: string, groups: readonly string[] = [], authenticator = "okta"): Principal => ({
  id: `${authenticator}:${username}`,
  authenticator,
  username,
  groups: groups.map((group) => `${authenticator}:${group}`),
  claims: {},
  credential: "",
  expireTime: undefined,
});

function identityOf(sections: Sections, who: Principal): As {
  const { impersonation, problems } = read(sections);
  expect(problems).toEqual([]);
  if (impersonation === undefined) throw new Error("nobody is anybody");
  return identify("prod", impersonation, who);
}

function refusalOf(sections: Sections, who: Principal) {
  try {
    return { as: identityOf(sections, who) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { reason: error.reason, metadata: error.metadata, message: error.message };
  }
}

const OKTA: Sections = { okta: { userPrefix: "oidc:", groups: { prefix: "oidc:", only: ["okta:k8s-*", "okta:dev"] } } };

describe("the section", () => {
  it.each<[string, Sections, string[]]>([
    [
      "an authenticator that is not configured",
      { okto: { userPrefix: "o:" } },
      ['impersonation.okto: must be the name of an authenticator; configured are "okta", "cert"'],
    ],
    ["no prefix", { okta: {} }, [expect.stringMatching(/^impersonation\.okta\.user_prefix: must be set/)]],
    [
      "no prefix of groups",
      { okta: { userPrefix: "o:", groups: {} } },
      [expect.stringMatching(/^impersonation\.okta\.groups\.prefix: must be set/)],
    ],
    [
      "prefixes of the cluster's own",
      { okta: { userPrefix: "system:serviceaccount:", unprefixed: true, groups: { prefix: "system:" } } },
      [
        expect.stringMatching(/^impersonation\.okta\.user_prefix: must not begin with system:/),
        expect.stringMatching(/^impersonation\.okta\.groups\.prefix: must not begin with system:/),
      ],
    ],
    ["a prefix that no header holds", { okta: { userPrefix: "ö:" } }, [expect.stringMatching(/printable ASCII/)]],
    ["a blank before it", { okta: { userPrefix: " o:" } }, [expect.stringMatching(/printable ASCII/)]],
    ["a line end in it", { okta: { userPrefix: "o:\n" } }, [expect.stringMatching(/printable ASCII/)]],
    [
      "groups that it cannot have",
      { okta: { userPrefix: "o:", groups: { prefix: "o:", only: ["k8s", "cert:*", "okta:*"] } } },
      [
        expect.stringMatching(/^impersonation\.okta\.groups\.only\[0\]: must be AUTHENTICATOR:NAME.*"k8s"$/),
        'impersonation.okta.groups.only[1]: must be groups of okta, but is "cert:*"',
      ],
    ],
  ])("refuses %s", (_what, sections, problems) => {
    expect(read(sections).problems).toEqual(problems);
  });

  it("says every mistake at once, and none where prefixes may be empty", () => {
    expect(read({ okto: {}, okta: { groups: {} } }).problems).toHaveLength(4);
    expect(read({ okta: { unprefixed: true, groups: {} } }).problems).toEqual([]);
    expect(read({}).impersonation).toBeUndefined();
  });
});

describe("who a caller is", () => {
  it("is its name with the prefix, in those of its groups that are told", () => {
    expect(identityOf(OKTA, principal("ann", ["k8s-ops", "dev", "other", "k8s-ops", "devs"]))).toEqual({
      user: "oidc:ann",
      groups: ["oidc:k8s-ops", "oidc:dev"],
    });
    expect(identityOf({ cert: { userPrefix: "spiffe:" } }, principal("spiffe://td/a", ["x"], "cert"))).toEqual({
      user: "spiffe:spiffe://td/a",
      groups: [],
    });
    expect(identityOf({ okta: { unprefixed: true, groups: {} } }, principal("ann", ["a", "b"]))).toEqual({
      user: "ann",
      groups: ["a", "b"],
    });
    // What begins with it behind a prefix is nobody's own.
    expect(identityOf(OKTA, principal("system:admin")).user).toBe("oidc:system:admin");
  });

  it.each([
    ["nobody by another authenticator", OKTA, principal("ann", [], "cert"), { identity: "not_impersonated" }],
    ["nobody where nobody was asked", OKTA, { ...principal("x"), authenticator: "" }, { identity: "not_impersonated" }],
    [
      "no user of the cluster's own",
      { okta: { unprefixed: true } },
      principal("system:admin"),
      { identity: "reserved" },
    ],
    [
      "not made of the prefix and a name",
      { okta: { userPrefix: "sys" } },
      principal("tem:x"),
      { identity: "reserved" },
    ],
    [
      "not in a group of the cluster's own",
      { okta: { userPrefix: "o:", unprefixed: true, groups: {} } },
      principal("ann", ["fine", "system:masters"]),
      { identity: "reserved" },
    ],
  ] as const)("is %s", (_what, sections, who, metadata) => {
    expect(refusalOf(sections as Sections, who)).toMatchObject({
      reason: "PERMISSION_DENIED",
      metadata: { ...metadata, cluster: "prod", principal: who.id },
    });
  });

  it.each([
    ["a letter beyond ASCII", principal("grün"), "user"],
    ["a line end", principal("a\nImpersonate-Group: system:masters"), "user"],
    ["a blank at its end", principal("ann "), "user"],
    ["too many letters", principal("x".repeat(1_020)), "user"],
    ["a group beyond ASCII", principal("ann", ["k8s-组"]), "group"],
    ["a group with a blank at its end", principal("ann", ["k8s-a "]), "group"],
    ["a group with a NUL", principal("ann", ["k8s-\0"]), "group"],
    [
      "too many groups",
      principal(
        "ann",
        Array.from({ length: 101 }, (_, at) => `k8s-${at}`),
      ),
      "group",
    ],
  ])("is not told with %s", (_what, who, part) => {
    expect(refusalOf(OKTA, who)).toMatchObject({
      reason: "IDENTITY_NOT_ENCODABLE",
      metadata: { cluster: "prod", part },
    });
  });

  it("is told with 100 groups, and whatever other groups it has", () => {
    const groups = Array.from({ length: 200 }, (_, at) => (at < 100 ? `k8s-${at}` : `ö-${at}`));
    expect(identityOf(OKTA, principal("ann", groups)).groups).toHaveLength(100);
  });

  it.each([
    ["system:masters", { reason: "PERMISSION_DENIED" }],
    ["", { reason: "IDENTITY_NOT_ENCODABLE" }],
  ])("is refused, not left out: a group %j", (group, refusal) => {
    const sections = { okta: { userPrefix: "o:", unprefixed: true, groups: {} } };
    expect(refusalOf(sections, principal("ann", ["dev", group]))).toMatchObject(refusal);
  });
});

describe("a request in somebody's name", () => {
  const ANN: As = { user: "oidc:ann", groups: ["a", "b"] };

  /** Sends one with what a connection brings; answers the lines that arrived, or why nothing did. */
  async function send(as: As, headers: Record<string, string | string[]>, more = {}, overHttp1 = true) {
    const server = await startWireServer(({ socket }) => void socket.write(http1(200, {})));
    const dispatcher = new Agent({ allowH2: false });
    const client = createClient(
      {
        connection: async () => ({ server: server.url, dispatcher, headers, http1: overHttp1 }),
        rejected() {},
        [Symbol.asyncDispose]: () => dispatcher.destroy(),
      },
      "restartd/test",
      testClock(),
    );
    onTestFinished(async () => {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    });
    const failure = await client.request(asRequest({ as, headers: more })).then(
      () => undefined,
      (error: { sent?: boolean; cause?: unknown }) => error,
    );
    const lines = (server.requests[0]?.head ?? "").split("\r\n").filter((line) => /^impersonate/i.test(line));
    return { failure, lines, connections: server.connections };
  }

  it("says it by one line for the user and one for each group", async () => {
    const { lines, failure } = await send(ANN, { Authorization: "Bearer t" });
    expect(failure).toBeUndefined();
    expect(lines).toEqual(["Impersonate-User: oidc:ann", "Impersonate-Group: a", "Impersonate-Group: b"]);
  });

  it.each<[string, As, Record<string, string | string[]>, Record<string, string>, boolean]>([
    ["whose connection acts as somebody else", ANN, { "Impersonate-User": "root" }, {}, true],
    ["whose connection says it in other letters", ANN, { "impersonate-user": "root" }, {}, true],
    ["whose connection has groups of its own", { ...ANN, groups: [] }, { "impersonate-group": ["g"] }, {}, true],
    ["whose connection has an extra", ANN, { "Impersonate-Extra-x": "y" }, {}, true],
    ["with a header of its own", ANN, {}, { "IMPERSONATE-USER": "root" }, true],
    ["in nobody's name", { user: "", groups: [] }, {}, {}, true],
    ["in a blank name", { user: " ", groups: [] }, {}, {}, true],
    ["with a blank at the end", { user: "ann ", groups: [] }, {}, {}, true],
    ["in an empty group", { user: "ann", groups: [""] }, {}, {}, true],
    ["with letters that no header holds", { user: "grün", groups: [] }, {}, {}, true],
    ["with groups that HTTP/2 would join", ANN, {}, {}, false],
  ])("is not sent %s", async (_what, as, headers, more, overHttp1) => {
    const { failure, connections } = await send(as, headers, more, overHttp1);
    expect(failure).toMatchObject({ sent: false, cause: { reason: "INTERNAL" } });
    expect(connections).toBe(0);
  });
});
