import { create, createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { AuthorizationSchema } from "../../gen/restart/config/v1/authorization_pb.ts";
import { ConfigSchema, file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { RestartRequestSchema } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { readAuthorization } from "../../src/access/authorization.ts";
import type { Authorizer } from "../../src/core/access.ts";
import type { Principal } from "../../src/core/principal.ts";
import { formatPath, formatProblem, type Problem } from "../../src/core/problem.ts";
import { withDependencies } from "../../src/core/schema.ts";
import type { SectionReader } from "../../src/core/section-reader.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import { permissionsOf } from "../../src/serve.ts";
import { TARGETS } from "../../src/targets/index.ts";
import { temporaryFolder } from "../support/folder.ts";

const validator = newValidator(createRegistry(...withDependencies([file_restart_config_v1_config])));
const permissions = permissionsOf(TARGETS.flatMap(({ services }) => services));
const NOON = new Date("2026-01-31T12:00:00Z");
const WEB = "clusters/prod/apps/v1/namespaces/shop/deployments/web";
const RESTART = "kubernetes.workloads.restart";

const SECTIONS: MessageInitShape<typeof ConfigSchema> = {
  authentication: { tokens: { file: "tokens.yaml" } },
  kubernetes: { clusters: [{ name: "prod", source: { case: "inCluster", value: true } }] },
};

const person = (name: string, groups: readonly string[] = [], claims: Principal["claims"] = {}): Principal => ({
  id: `token:${name}`,
  authenticator: "token",
  username: name,
  groups: groups.map((group) => `token:${group}`),
  claims,
  credential: "",
  expireTime: undefined,
});

/** A policy as a file has it. */
async function read(policy: unknown) {
  await using folder = await temporaryFolder();
  const text = typeof policy === "string" ? policy : stringify(policy);
  const file = await folder.write("policy.yaml", text);
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const at = (path: readonly (string | number)[], message: string): Problem => ({
    file: "restartd.yaml",
    line: undefined,
    column: undefined,
    field: formatPath(path),
    message,
  });
  const reader: SectionReader = {
    resolve: (path) => path,
    problem: (path, message) => problems.push(at(path, message)),
    warning: (path, message) => warnings.push(at(path, message)),
    problemElsewhere: (problem) => problems.push(problem),
    warningElsewhere: (problem) => warnings.push(problem),
    whereIs: () => "",
  };
  const sections = create(ConfigSchema, { ...SECTIONS, authorization: create(AuthorizationSchema, { file }) });
  const context = { validator, now: () => NOON, ...permissions };
  const loaded = readAuthorization(sections.authorization, sections, reader, context);
  const erred: string[] = [];
  const shown = (all: readonly Problem[]) => all.map((one) => formatProblem(one).replace(file, "policy.yaml"));
  return {
    judge: loaded.current().authorizer(
      () => NOON,
      (rule, error) => erred.push(`${rule}: ${error.message}`),
    ),
    erred,
    problems: shown(problems),
    warnings: shown(warnings),
  };
}

async function judgeOf(rules: readonly object[], reasons: readonly object[] = []): Promise<Authorizer> {
  const { judge, problems } = await read({ rules, reasons });
  expect(problems).toEqual([]);
  return judge;
}

const ask = (judge: Authorizer, principal: Principal, permission = RESTART, target = WEB, fields: object = {}) => {
  const { kind, rule } = judge.authorize({
    principal,
    permission,
    target,
    request: { message: create(RestartRequestSchema, fields), desc: RestartRequestSchema },
  });
  return rule === undefined ? kind : `${kind} ${rule}`;
};

const ALLOW = { name: "all", permissions: ["*"], targets: ["**"] };

describe("rules", () => {
  it("deny what none of them allows", async () => {
    const judge = await judgeOf([{ ...ALLOW, permissions: ["kubernetes.workloads.get"] }]);
    expect(ask(judge, person("ann"))).toBe("default-deny");
    expect(ask(judge, person("ann"), "kubernetes.workloads.get")).toBe("allow all");
    expect(ask(await judgeOf([]), person("ann"))).toBe("default-deny");
  });

  it("deny what any of them denies, in whatever order they stand", async () => {
    const rules = [
      ALLOW,
      { name: "ann", principals: ["token:ann"], permissions: ["*"], targets: ["**"] },
      { name: "no", effect: "deny", groups: ["token:guests"], permissions: [RESTART], targets: ["clusters/prod/**"] },
      { name: "shop", groups: ["token:guests"], permissions: [RESTART], targets: ["clusters/prod/**"] },
    ];
    for (const order of [rules, rules.toReversed(), [...rules.slice(2), ...rules.slice(0, 2)]]) {
      const judge = await judgeOf(order);
      expect(ask(judge, person("ann", ["guests", "staff"]))).toBe("deny no");
      expect(ask(judge, person("ann", ["staff", "guests"]))).toBe("deny no");
      expect(ask(judge, person("bob", ["staff"]))).toMatch(/^allow/);
      expect(ask(judge, person("ann", ["guests"]), RESTART, WEB.replace("prod", "dev"))).toMatch(/^allow/);
    }
  });

  it("want principal and group where both stand", async () => {
    const judge = await judgeOf([{ ...ALLOW, principals: ["token:ann", "token:bob"], groups: ["token:a", "token:b"] }]);
    expect(ask(judge, person("ann", ["b"]))).toBe("allow all");
    expect(ask(judge, person("ann"))).toBe("default-deny");
    expect(ask(judge, person("eve", ["a", "b"]))).toBe("default-deny");
  });

  it("are about targets and permissions as patterns say", async () => {
    const judge = await judgeOf([
      { ...ALLOW, permissions: ["*.restart"], targets: ["clusters/prod/*/*/namespaces/shop/**"] },
    ]);
    expect(ask(judge, person("ann"))).toBe("allow all");
    expect(ask(judge, person("ann"), RESTART, WEB.replace("shop", "shop-2"))).toBe("default-deny");
    expect(ask(judge, person("ann"), "kubernetes.workloads.get")).toBe("default-deny");
  });

  it("name the groups that decided", async () => {
    const judge = await judgeOf([{ ...ALLOW, groups: ["token:a*", "token:x"] }]);
    const { groups } = judge.authorize({
      principal: person("ann", ["b", "a1", "x"]),
      permission: RESTART,
      target: WEB,
    });
    expect(groups).toEqual(["token:a1", "token:x"]);
  });

  it("tell early what can never be, and what always is", async () => {
    const judge = await judgeOf([
      { ...ALLOW, name: "a", principals: ["token:ann"], permissions: ["operations.get"] },
      { ...ALLOW, name: "b", permissions: [RESTART], targets: ["clusters/prod/**"], when: "false" },
      {
        ...ALLOW,
        name: "c",
        effect: "deny",
        groups: ["token:guests"],
        permissions: ["operations.*"],
        targets: ["store"],
      },
    ]);
    expect(judge.mayEver(person("ann"), RESTART)).toBe(true);
    expect(judge.mayEver(person("ann"), "store.backup")).toBe(false);
    expect(judge.mayEver(person("bob"), "operations.get")).toBe(false);
    expect(judge.mayAlways(person("ann"), "operations.get")).toBe(true);
    expect(judge.mayAlways(person("ann", ["guests"]), "operations.get")).toBe(false);
    expect(judge.mayAlways(person("ann"), RESTART)).toBe(false);
  });
});

describe("conditions", () => {
  it.each([
    ["principal.username == 'ann'", true],
    ["principal.id.startsWith('token:')", true],
    ["'token:a' in principal.groups", true],
    ["principal.groups.exists(g, g == 'token:b')", false],
    ["permission == 'kubernetes.workloads.restart'", true],
    ["target.endsWith('/web')", true],
    ["now < timestamp('2027-01-01T00:00:00Z')", true],
    ["now.getHours('Europe/Madrid') == 13", true],
    ["request.reason.matches('^INC-[0-9]+$')", true],
    ["request.namespace == 'shop' && !request.validate_only", true],
    ["request.validate_only", false],
    ["size(request.reason) > 3 ? true : false", true],
    ["has(request.reason)", true],
  ])("%s: %s", async (when, allowed) => {
    const judge = await judgeOf([{ ...ALLOW, permissions: [RESTART], when }]);
    const fields = { namespace: "shop", reason: "INC-42" };
    expect(ask(judge, person("ann", ["a"]), RESTART, WEB, fields)).toBe(allowed ? "allow all" : "default-deny");
  });

  it("that err deny what they would deny, and allow nothing", async () => {
    const when = "int(request.reason) > 0"; // no number: an error
    const allow = await read({ rules: [{ ...ALLOW, permissions: [RESTART], when }] });
    expect(ask(allow.judge, person("ann"), RESTART, WEB, { reason: "x" })).toBe("default-deny");
    expect(allow.erred).toEqual(["all: it cannot be computed with what a call or its credential says"]);
    const deny = await read({ rules: [ALLOW, { ...ALLOW, name: "no", effect: "deny", permissions: [RESTART], when }] });
    expect(ask(deny.judge, person("ann"), RESTART, WEB, { reason: "x" })).toBe("deny no");
    expect(ask(deny.judge, person("ann"), RESTART, WEB, { reason: "0" })).toBe("allow all");
    // The control: where the rule that errs is as if it were not there, the call passes.
    const without = await read({ rules: [ALLOW] });
    expect(ask(without.judge, person("ann"), RESTART, WEB, { reason: "x" })).toBe("allow all");
    expect(deny.erred).toHaveLength(1);
  });

  it.each([
    ["request.reason ==", /is not CEL/],
    ["principle.id == 'a'", /principle is not a variable: did you mean principal\?/],
    ["principal.name == 'a'", /principal has no name: /],
    ["principal.group == 'a'", /principal has no group: did you mean groups\?/],
    ["principal.claims.environment == 'prod'", /principal\.claims .* has no environment/],
    ["principal.claims['environment'] == 'prod'", /has no environment/],
    ["principal.claims[target] == 'prod'", /asked for by their names/],
    ["principal['name'] == 'a'", /principal has no name/],
    ["request.nope == 'x' || true", /RestartRequest has no nope/],
    ["true || request.reasom == 'x'", /RestartRequest has no reasom: did you mean reason\?/],
    ["has(request.nope)", /RestartRequest has no nope/],
    ["request['reason'] == 'x'", /with a dot/],
    ["target.length > 3", /what length is asked of has no fields/],
    ["target.upperAscii() == 'A'", /upperAscii is not a function/],
    ["target.replace('a', 'b') == 'b'", /replace is not a function/],
    ["target.startsWith('a', 'b')", /startsWith is not a function that is known with 2 arguments/],
    ["startsWith(target, 'a')", /startsWith is not a function/],
    ["target.size", /has no fields/],
    ["target", /must be true or false/],
    ["'true'", /must be true or false/],
    ["1", /must be true or false/],
    ["request.reason", /must be true or false/],
    ["size(target)", /must be true or false/],
    ["target + 'a'", /must be true or false/],
    ["request.validate_only ? target : 'a'", /must be true or false/],
    ["[true]", /must be true or false/],
    ["principal.groups.filter(g, true)", /must be true or false/],
    ["target && true", /must combine what is true or false/],
    ["!target", /must combine what is true or false/],
    ["target.matches('(')", /has a pattern that RE2 does not understand/],
    ["principal.groups.exists(a, principal.groups.exists(b, a == b))", /comprehension .* inside another/],
    ["principal.groups.all(a, [1].map(b, b).size() == 1)", /comprehension .* inside another/],
    ["google.protobuf.Duration{seconds: 1} == duration('1s')", /cannot make a message/],
    ["optional.none() == 1", /optional is not a variable/],
    [`target == '${"a".repeat(2000)}'`, /at most 2000 characters/],
    ["(".repeat(990) + ")".repeat(990), /is not CEL/],
  ])("%s is refused at the start", async (when, wrong) => {
    const { problems } = await read({ rules: [{ ...ALLOW, permissions: [RESTART], when }] });
    expect(problems.join("\n")).toMatch(wrong);
    expect(problems.join("\n")).toMatch(/rules\[0\]\.when: /);
  });

  it("may ask for what every request in their scope has, and for nothing else", async () => {
    const when = "request.reason != ''";
    const wide = await read({ rules: [{ ...ALLOW, permissions: ["kubernetes.workloads.*"], when }] });
    expect(wide.problems.join("\n")).toMatch(
      /GetRolloutRequest, WatchRolloutRequest, ListWorkloadsRequest has no reason/,
    );
    expect((await read({ rules: [{ ...ALLOW, permissions: ["*.restart"], when }] })).problems).toEqual([]);
    expect(
      (await read({ rules: [{ ...ALLOW, permissions: ["kubernetes.workloads.*"], when: "request.cluster == 'a'" }] }))
        .problems,
    ).toEqual([]);
    const blind = await read({ rules: [{ ...ALLOW, permissions: ["operations.get"], when: "request.name == 'a'" }] });
    expect(blind.problems.join("\n")).toMatch(/request is not a variable: operations\.get is judged without a request/);
    expect(
      (await read({ rules: [{ ...ALLOW, permissions: ["operations.get"], when: "principal.username == 'a'" }] }))
        .problems,
    ).toEqual([]);
  });
});

describe("a policy file", () => {
  it.each([
    ["a rule without a name", { rules: [{ permissions: ["*"], targets: ["**"] }] }, /rules\[0\]\.name: must be set/],
    ["a name twice", { rules: [ALLOW, ALLOW] }, /rules\[1\]\.name: must be unique, but is that of rules\[0\] too/],
    ["no permissions", { rules: [{ name: "a", targets: ["**"] }] }, /rules\[0\]\.permissions: must have at least one/],
    [
      "no targets",
      { rules: [{ name: "a", permissions: ["*"] }] },
      /rules\[0\]\.targets: must have at least one target/,
    ],
    [
      "an effect that is none",
      { rules: [{ ...ALLOW, effect: "allowx" }] },
      /effect: must be allow or deny, but is "allowx"/,
    ],
    [
      "a mistyped permission",
      { rules: [{ ...ALLOW, permissions: ["kubernetes.workload.restart"] }] },
      /permissions\[0\]: "kubernetes.workload.restart" is no permission; did you mean kubernetes.workloads.restart\?/,
    ],
    ["a pattern of none", { rules: [{ ...ALLOW, permissions: ["dcs.*.retry"] }] }, /"dcs.\*.retry" is no permission/],
    [
      "a target of nothing",
      { rules: [{ ...ALLOW, targets: ["cluster/prod/**"] }] },
      /targets\[0\]: must be able to match the name of something, but is "cluster\/prod\/\*\*"/,
    ],
    ["a target too short", { rules: [{ ...ALLOW, targets: ["clusters/prod/apps"] }] }, /must be able to match/],
    [
      "a wildcard in a segment",
      { rules: [{ ...ALLOW, targets: ["clusters/prod-*/**"] }] },
      /targets\[0\]: .*no other wildcard/,
    ],
    [
      "a principal without authenticator",
      { rules: [{ ...ALLOW, principals: ["ann"] }] },
      /principals\[0\]: must be AUTHENTICATOR:NAME/,
    ],
    [
      "a mistyped key",
      { rules: [{ ...ALLOW, group: ["token:a"] }] },
      /group: is not a known key; did you mean groups\?/,
    ],
    [
      "more than 500 rules",
      { rules: Array.from({ length: 501 }, (_, at) => ({ ...ALLOW, name: `r${at}` })) },
      /must have at most 500 rules/,
    ],
    [
      "a reason that demands nothing",
      { rules: [], reasons: [{ permissions: ["*"], targets: ["**"] }] },
      /reasons\[0\]: must have min_length or pattern/,
    ],
    [
      "a reason's bad pattern",
      { rules: [], reasons: [{ permissions: ["*"], targets: ["**"], pattern: "(" }] },
      /reasons\[0\]\.pattern: has a pattern that RE2/,
    ],
    ["a missing comma", "rules: [{ name: a, permissions: [a b }]", /is not YAML/],
  ])("with %s is refused", async (_, policy, wrong) => {
    expect((await read(policy)).problems.join("\n")).toMatch(wrong);
  });

  it("may be about what is not configured here, and says so", async () => {
    const { problems, warnings } = await read({
      rules: [{ ...ALLOW, principals: ["okta:ann"], targets: ["clusters/other/**", "clusters/prod/**", "sites/*/**"] }],
    });
    expect(problems).toEqual([]);
    expect(warnings.map((warning) => warning.replace(/^.*?\]: /, ""))).toEqual([
      '"okta" is no authenticator here, so that nobody is "okta:ann"',
      '"clusters/other" is not configured here',
    ]);
  });

  it("has every mistake reported at once, with its line", async () => {
    const text = [
      "rules:",
      "  - name: a",
      "    permissions: [nope.nope]",
      "    targets: ['x*']",
      "    when: nope",
      "  - { name: b, effect: maybe, permissions: ['*'], targets: ['**'] }",
    ].join("\n");
    const lines = (await read(text)).problems.map((problem) => problem.split(":")[1]).sort();
    expect(lines).toEqual(["3", "4", "5", "6"]);
  });
});

describe("reasons", () => {
  const demand = {
    permissions: ["*.restart", "dcs.instances.flush"],
    targets: ["clusters/prod/**"],
    min_length: 8,
    pattern: "^(INC|CHG)-[0-9]+",
  };

  it("are demanded of what is listed", async () => {
    const judge = await judgeOf([ALLOW], [demand]);
    expect(judge.wrongReasons(RESTART, [WEB], "")).toEqual(["must have at least 8 characters"]);
    expect(judge.wrongReasons(RESTART, [WEB], "because I can")).toEqual([
      "must have a part that matches ^(INC|CHG)-[0-9]+",
    ]);
    expect(judge.wrongReasons(RESTART, [WEB], "INC-4711")).toEqual([]);
    expect(judge.wrongReasons(RESTART, [WEB.replace("prod", "dev")], "")).toEqual([]);
    expect(judge.wrongReasons("kubernetes.workloads.get", [WEB], "")).toEqual([]);
  });

  it("are not demanded of requests that have none", async () => {
    const judge = await judgeOf([ALLOW], [{ ...demand, permissions: ["*"] }]);
    expect(judge.wrongReasons("kubernetes.workloads.get", [WEB], "")).toEqual([]);
    expect(judge.wrongReasons(RESTART, [WEB], "")).toHaveLength(1);
  });
});

it("judges by 500 rules a caller of 200 groups without going through each", async () => {
  const rules = Array.from({ length: 499 }, (_, at) => ({
    name: `r${at}`,
    groups: [`token:g${at + 1000}`],
    permissions: [RESTART],
    targets: ["clusters/prod/**"],
  }));
  const judge = await judgeOf([...rules, { ...ALLOW, name: "last", groups: ["token:g199"] }]);
  const ann = person(
    "ann",
    Array.from({ length: 200 }, (_, at) => `g${at}`),
  );
  expect(ask(judge, ann)).toBe("allow last");
  // A comparison of ratios, so that a busy machine does not matter: as long as it takes to look at each group of each rule once.
  const time = (work: () => void): number => {
    const started = performance.now();
    for (let at = 0; at < 50; at++) work();
    return performance.now() - started;
  };
  const scan = (): number =>
    rules.filter((rule) => ann.groups.some((has) => rule.groups.some((one) => one === has))).length;
  const least = (work: () => void): number => Math.min(...Array.from({ length: 10 }, () => time(work)));
  expect(least(() => void ask(judge, ann))).toBeLessThan(least(() => void scan()));
});
