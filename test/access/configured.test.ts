import { writeFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema, ResourceInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { AccessService } from "../../gen/restart/access/v1/access_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { Auth_Kind, ServerSchema, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { VERSION } from "../../src/core/version.ts";
import { startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";
import { runProgram } from "../support/program.ts";

const WEB = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );

it("serves holders of tokens, whose operations are theirs, and reads the file again when it changes", async () => {
  await using folder = await temporaryFolder();
  const line = (token: string) => `- { name: nightly, sha256: ${hashOf(token)} }\n`;
  const file = await folder.write("tokens.yaml", line("rsd_first"));
  await using configured = await startConfigured({
    authentication: { tokens: { file } },
    authorization: { rules: [{ name: "all", permissions: ["*"], targets: ["**"] }] },
  });
  const transport = createConnectTransport({ baseUrl: configured.program.url, httpVersion: "1.1" });
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const workloads = createClient(WorkloadService, transport);
  const operations = createClient(Operations, transport);

  const about = createClient(ServerService, transport);
  expect(await about.getServer({})).toEqual(create(ServerSchema, { auth: { kind: Auth_Kind.BEARER } }));
  expect(await about.getServer({}, as("rsd_first"))).toMatchObject({
    version: VERSION,
    principal: "token:nightly",
    auth: { kind: Auth_Kind.BEARER },
  });
  expect(await codeOf(about.getServer({}, as("rsd_none")))).toBe(Code.Unauthenticated);
  expect(await codeOf(workloads.restart(WEB))).toBe(Code.Unauthenticated);
  expect(configured.patches()).toBe(0);
  const requestId = "6f0a4c1e-9f0b-4a55-8a0e-0d7b5c1f2e11";
  await workloads.restart({ ...WEB, requestId }, as("rsd_first"));
  const mine = { filter: 'principal = "token:nightly"' };
  expect((await operations.listOperations(mine, as("rsd_first"))).operations).toHaveLength(1);

  // A file that is wrong leaves the tokens of before, and says so.
  await writeFile(file, `${line("rsd_second")}- { name: "" }\n`);
  await configured.program.line(({ detail }) =>
    /tokens.yaml is wrong, and what it said before holds: .*\[1\]\.name: must be set/.test(String(detail)),
  );
  expect(await codeOf(workloads.listClusters({}, as("rsd_second")))).toBe(Code.Unauthenticated);

  await writeFile(file, line("rsd_second"));
  await expect.poll(() => codeOf(workloads.listClusters({}, as("rsd_second"))), { interval: 100 }).toBeUndefined();
  expect(await codeOf(workloads.listClusters({}, as("rsd_first")))).toBe(Code.Unauthenticated);

  // The same name is the same caller: its request ids outlive the rotation.
  await workloads.restart({ ...WEB, requestId }, as("rsd_second"));
  expect(configured.patches()).toBe(1);
});

/** Who there is, and what they are in. */
const PEOPLE = {
  shop: ["shop"],
  other: ["shop"],
  admin: ["admins"],
  guest: [],
  auditor: ["auditors"],
} as const satisfies Record<string, readonly string[]>;

type Person = keyof typeof PEOPLE;

const POLICY = {
  rules: [
    {
      name: "shop-team",
      groups: ["token:shop"],
      permissions: ["kubernetes.workloads.*"],
      targets: ["clusters/sandbox/*/*/namespaces/shop/**"],
    },
    {
      name: "no-daemons",
      effect: "deny",
      permissions: ["*.restart"],
      targets: ["clusters/*/*/*/namespaces/*/daemonsets/*"],
    },
    { name: "admins", groups: ["token:admins"], permissions: ["*"], targets: ["**"] },
    { name: "auditors", groups: ["token:auditors"], permissions: ["operations.get"], targets: ["clusters/**"] },
  ],
  reasons: [
    {
      permissions: ["*.restart"],
      targets: ["clusters/sandbox/apps/v1/namespaces/shop/statefulsets/**"],
      min_length: 8,
    },
  ],
};

/** What a call is refused with. */
async function refusal(call: Promise<unknown>) {
  const error = ConnectError.from(
    await call.then(
      () => new ConnectError("it was not refused", Code.DataLoss),
      (reason: unknown) => reason,
    ),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: Code[error.code],
    reason: info?.reason,
    message: error.rawMessage,
    metadata: info?.metadata ?? {},
    resources: error.findDetails(ResourceInfoSchema).map(({ resourceName }) => resourceName),
  };
}

async function startWithPeople() {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const tokens = Object.entries(PEOPLE).map(([name, groups]) => ({ name, sha256: hashOf(`rsd_${name}`), groups }));
  const file = await folder.write("tokens.yaml", stringify(tokens));
  const policy = await folder.write("policy.yaml", stringify(POLICY));
  const configured = stack.use(
    await startConfigured({ authentication: { tokens: { file } }, authorization: { file: policy } }),
  );
  const transport: Transport = createConnectTransport({ baseUrl: configured.program.url, httpVersion: "1.1" });
  const parts = stack.move();
  return {
    configured,
    policy,
    transport,
    as: (name: Person) => ({ headers: { authorization: `Bearer rsd_${name}` } }),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

describe("rules", () => {
  it("decide who may do what, before anything is read or sent", async () => {
    await using people = await startWithPeople();
    const { configured, as, transport } = people;
    const workloads = createClient(WorkloadService, transport);
    const asked = () => configured.backend.simulator.requests.length;
    const target = "clusters/sandbox/apps/v1/namespaces/shop/deployments/web";

    let name = "";
    const onHeader = (headers: Headers): void => {
      name = headers.get("operation-name") ?? "";
    };
    await workloads.restart(WEB, { ...as("shop"), onHeader });
    expect(configured.patches()).toBe(1);
    expect(await configured.program.line(({ rule }) => rule === "shop-team")).toMatchObject({
      principal: "token:shop",
      permission: "kubernetes.workloads.restart",
      decision: "allow",
    });
    // What every caller may ask, and what nobody is asked about, the log says of too.
    const calls: [string, () => Promise<unknown>, object][] = [
      ["WhoAmI", () => createClient(AccessService, transport).whoAmI({}, as("guest")), { decision: "allow" }],
      [
        "ListClusters",
        () => workloads.listClusters({}, as("guest")),
        { decision: "allow", permission: "kubernetes.clusters.get" },
      ],
      [
        "ListOperations",
        () => createClient(Operations, transport).listOperations({}, as("guest")),
        { decision: "allow", permission: "operations.get" },
      ],
      ["Health/Check", () => createClient(Health, transport).check({}), { decision: "public" }],
    ];
    for (const [method, call, decided] of calls) {
      await call();
      const { permission, decision } = await configured.program.line((line) => String(line.method).endsWith(method));
      expect({ permission, decision }).toEqual({ permission: undefined, ...decided });
    }
    // What follows it asks by itself.
    const timeout = { seconds: 60n };
    expect(await createClient(Operations, transport).waitOperation({ name, timeout }, as("admin"))).toMatchObject({
      done: true,
    });
    await expect.poll(() => configured.backend.simulator.watches).toBe(0);
    const before = asked();
    // Nothing at all is allowed to a guest: it is told so without its body having been read.
    expect(await refusal(workloads.restart({ ...WEB, name: "no such" }, as("guest")))).toMatchObject({
      code: "PermissionDenied",
      reason: "PERMISSION_DENIED",
      metadata: { permission: "kubernetes.workloads.restart", principal: "token:guest", outcome: "not_applied" },
    });
    for (const elsewhere of [
      { ...WEB, namespace: "shop2" },
      { ...WEB, namespace: "kube-system" },
      { ...WEB, cluster: "nowhere" },
    ]) {
      const denied = await refusal(workloads.restart(elsewhere, as("shop")));
      const name = target.replace("sandbox", elsewhere.cluster).replace("shop", elsewhere.namespace);
      expect(denied).toMatchObject({
        code: "PermissionDenied",
        message: `token:shop may not kubernetes.workloads.restart ${name}`,
        metadata: { targets_denied: "1" },
        resources: [name],
      });
      expect(JSON.stringify(denied)).not.toContain("shop-team");
    }
    // A dry run shows as much as a restart.
    expect(
      (await refusal(workloads.restart({ ...WEB, namespace: "shop2", validateOnly: true }, as("shop")))).code,
    ).toBe("PermissionDenied");
    const daemon = { ...WEB, resource: "daemonsets", name: "agent" };
    expect((await refusal(workloads.restart(daemon, as("admin")))).code).toBe("PermissionDenied");
    expect(await configured.program.line(({ rule }) => rule === "no-daemons")).toMatchObject({
      decision: "deny",
      principal: "token:admin",
    });
    expect((await refusal(workloads.getRollout({ ...WEB, namespace: "shop2" }, as("shop")))).code).toBe(
      "PermissionDenied",
    );
    expect((await refusal(workloads.listWorkloads({ cluster: "sandbox" }, as("shop")))).resources).toEqual([
      "clusters/sandbox/-/-/namespaces/-/-/-",
    ]);
    const watch = async () => {
      for await (const _ of workloads.watchRollout({ ...WEB, namespace: "shop2" }, as("shop"))) return;
    };
    expect((await refusal(watch())).code).toBe("PermissionDenied");
    // What is wrong with a request is said before what is not allowed: rules see sound fields alone.
    expect((await refusal(workloads.restart({ ...WEB, namespace: "Not/A/Name" }, as("shop")))).reason).toBe(
      "INVALID_ARGUMENT",
    );
    expect(asked()).toBe(before);

    expect(
      (await workloads.listWorkloads({ cluster: "sandbox", namespace: "shop" }, as("shop"))).workloads.length,
    ).toBeGreaterThan(0);
    expect((await workloads.listClusters({}, as("shop"))).clusters).toEqual([]);
    expect((await workloads.listClusters({}, as("admin"))).clusters.map(({ name }) => name)).toEqual(["sandbox"]);

    const db = { ...WEB, resource: "statefulsets", name: "db" };
    expect(await refusal(workloads.restart(db, as("shop")))).toMatchObject({
      code: "InvalidArgument",
      reason: "REASON_REQUIRED",
      message: "reason: the reason must have at least 8 characters",
    });
    await workloads.restart({ ...db, reason: "certificate" }, as("shop"));
    expect(configured.patches()).toBe(2);
  });

  it("hide operations from whoever may not see them, and tell nobody that there is one", async () => {
    await using people = await startWithPeople();
    const { as, transport, configured } = people;
    const workloads = createClient(WorkloadService, transport);
    const operations = createClient(Operations, transport);
    const ours = createClient(OperationService, transport);
    const requestId = "6f0a4c1e-9f0b-4a55-8a0e-0d7b5c1f2e11";
    let name = "";
    await workloads.restart(
      { ...WEB, requestId },
      { ...as("shop"), onHeader: (header) => (name = header.get("operation-name") ?? "") },
    );
    const absent = "operations/00000000-0000-5000-8000-000000000000";
    const calls: ((name: string, person: Person) => Promise<unknown>)[] = [
      (one, person) => operations.getOperation({ name: one }, as(person)),
      (one, person) => operations.waitOperation({ name: one }, as(person)),
      (one, person) => operations.cancelOperation({ name: one }, as(person)),
      (one, person) => operations.deleteOperation({ name: one }, as(person)),
      (one, person) => ours.resolveOperation({ name: one, outcome: 1, note: "x" }, as(person)),
      async (one, person) => {
        for await (const _ of ours.watchOperation({ name: one }, as(person))) return;
      },
    ];
    for (const call of calls) {
      for (const person of ["guest", "other"] as const) {
        const hidden = await refusal(call(name, person));
        const missing = await refusal(call(absent, person));
        expect(hidden).toMatchObject({ code: "NotFound", reason: "OPERATION_NOT_FOUND" });
        // Word for word what one is told that never was.
        expect(JSON.parse(JSON.stringify(hidden).replaceAll(name, absent))).toEqual(missing);
      }
    }
    const list = async (person: Person) =>
      (await operations.listOperations({}, as(person))).operations.map((one) => one.name);
    expect(await list("guest")).toEqual([]);
    expect(await list("other")).toEqual([]);
    expect(await list("shop")).toEqual([name]);
    expect(await list("auditor")).toEqual([name]);
    expect(await list("admin")).toEqual([name]);
    // One's own needs no rule to be seen or stopped; to forget it takes a right. Who sees it may not therefore touch it.
    expect((await operations.getOperation({ name }, as("shop"))).name).toBe(name);
    await operations.cancelOperation({ name }, as("shop"));
    await operations.waitOperation({ name }, as("shop"));
    for (const person of ["shop", "auditor"] as const) {
      expect(await refusal(operations.deleteOperation({ name }, as(person)))).toMatchObject({
        code: "PermissionDenied",
        metadata: { permission: "operations.delete" },
      });
    }
    expect((await refusal(operations.cancelOperation({ name }, as("auditor")))).code).toBe("PermissionDenied");
    // The same request_id of somebody else is another call.
    await workloads.restart({ ...WEB, requestId }, as("admin"));
    expect(configured.patches()).toBe(2);
    expect((await list("admin")).length).toBe(2);
    expect(await list("shop")).toEqual([name]);
    await operations.deleteOperation({ name }, as("admin"));
    expect(await list("shop")).toEqual([]);
  });

  it("are told to callers about themselves, and to operators by a command", async () => {
    await using people = await startWithPeople();
    const { as, transport, configured } = people;
    const access = createClient(AccessService, transport);
    expect(await access.whoAmI({}, as("shop"))).toMatchObject({
      principal: "token:shop",
      authenticator: "token",
      username: "shop",
      groups: ["token:shop"],
      impersonates: [],
    });
    const permission = "kubernetes.workloads.restart";
    const shop = "clusters/sandbox/apps/v1/namespaces/shop";
    const checks = [
      `${shop}/deployments/web`,
      `${shop}/statefulsets/db`,
      `${shop}/daemonsets/agent`,
      "clusters/x/apps/v1/namespaces/shop/deployments/web",
    ].map((target) => ({ permission, target }));
    const { results } = await access.testPermissions({ checks }, as("shop"));
    expect(results.map(({ allowed, reasonRequired }) => [allowed, reasonRequired])).toEqual([
      [true, false],
      [true, true],
      [false, false],
      [false, false],
    ]);
    expect(
      await refusal(
        access.testPermissions({ checks: [{ permission: "kubernetes.workload.restart", target: "x" }] }, as("shop")),
      ),
    ).toMatchObject({
      code: "InvalidArgument",
      message:
        'checks[0].permission "kubernetes.workload.restart" is no permission; did you mean kubernetes.workloads.restart?',
    });

    const test = (...args: string[]) => runProgram(["policy", "test", "--config", configured.file, ...args]);
    const web = `${shop}/deployments/web`;
    expect(await test("--as", "token:x", "--group", "token:shop", permission, web)).toMatchObject({
      code: 0,
      stdout: `allow: token:x may ${permission} ${web} (rule shop-team, for token:shop)\n`,
    });
    expect(await test("--as", "token:x", permission, web)).toMatchObject({
      code: 1,
      stdout: `default-deny: token:x may not ${permission} ${web} (no rule allows it)\n`,
    });
    expect(
      await test("--as", "token:x", "--group", "token:admins", permission, `${shop}/daemonsets/agent`),
    ).toMatchObject({
      code: 1,
      stdout: `deny: token:x may not ${permission} ${shop}/daemonsets/agent (rule no-daemons)\n`,
    });
    expect(await test("--as", "token:x", "kubernetes.workloads.restat", web)).toMatchObject({ code: 2 });
  });

  it("change while the server runs; what is wrong leaves those of before, and is said", async () => {
    await using people = await startWithPeople();
    const { as, transport, configured, policy } = people;
    const workloads = createClient(WorkloadService, transport);
    await workloads.restart(WEB, as("shop"));
    await writeFile(policy, "rules: [{ name: a, effect: allowx }]");
    await configured.program.line(({ detail }) =>
      /policy.yaml is wrong, and what it said before holds: .*allowx/.test(String(detail)),
    );
    await workloads.restart(WEB, as("shop"));
    await writeFile(policy, stringify({ rules: POLICY.rules.filter(({ name }) => name !== "shop-team") }));
    await expect.poll(() => codeOf(workloads.restart(WEB, as("shop"))), { interval: 100 }).toBe(Code.PermissionDenied);
  });
});

describe("restartd token new", () => {
  it("prints a token and the line that makes it good", async () => {
    const { code, stdout } = await runProgram(["token", "new", "--name", "nightly", "--group", "ci"]);
    expect(code).toBe(0);
    const [, token = "", line = ""] = /^(rsd_[A-Za-z0-9_-]{43})\n(- .*)\n$/.exec(stdout) ?? [];
    expect(parse(line)).toEqual([{ name: "nightly", sha256: hashOf(token), groups: ["ci"] }]);
  });

  it.each([[[]], [["new"]], [["old", "--name", "a"]], [["new", "--name", "a", "--expires", "soon"]]])(
    "does not take %j",
    async (args) => {
      expect((await runProgram(["token", ...args])).code).toBe(2);
    },
  );
});

describe("authentication and authorization", () => {
  it.each([
    [
      "one without the other",
      { authentication: { tokens: { file: "t.yaml" } } },
      /authentication: must have authorization beside it/,
    ],
    [
      "the other without the one",
      { authorization: { rules: [{ name: "a", permissions: ["*"], targets: ["**"] }] } },
      /authorization: must have authentication beside it/,
    ],
    [
      "no authenticator",
      { authentication: {}, authorization: { rules: [] } },
      /authentication: must have at least one authenticator/,
    ],
    [
      "neither rules nor a file",
      { authentication: { tokens: { file: "t.yaml" } }, authorization: {} },
      /authorization: must have its rules and reasons either here or in a file/,
    ],
    [
      "files that are not there",
      { authentication: { tokens: { file: "t.yaml" } }, authorization: { file: "p.yaml" } },
      /authentication.tokens.file: "t.yaml" cannot be read[\s\S]*authorization.file: "p.yaml" cannot be read/,
    ],
  ])("do not start with %s", async (_, sections, wrong) => {
    await using folder = await temporaryFolder();
    const file = await folder.write(
      "restartd.yaml",
      stringify({ kubernetes: { clusters: [{ name: "a", in_cluster: true }] }, ...sections }),
    );
    const { code, stderr } = await runProgram(["--config", file], {
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: "1",
    });
    expect(stderr).toMatch(wrong);
    expect(code).toBe(2);
  });
});
