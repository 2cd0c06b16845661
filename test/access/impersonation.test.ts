import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { AccessService } from "../../gen/restart/access/v1/access_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { type As, createClient as createRawClient } from "../../src/targets/kubernetes/client.ts";
import { type Credentials, openCredentials } from "../../src/targets/kubernetes/cluster/credentials.ts";
import { type Rule, type SimulatorUser, sandboxWorld } from "../../src/targets/kubernetes/simulator.ts";
import { asRequest, loopbackCertificates, testClock } from "../support/cluster-client.ts";
import { temporaryFolder } from "../support/folder.ts";
import { runProgram, startProgram } from "../support/program.ts";
import { failureOf } from "../support/served-target.ts";
import { startSimulatorBackend } from "../support/simulator-backend.ts";

const WEB = {
  cluster: "prod",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

const TARGET = "clusters/others/apps/v1/namespaces/shop/deployments/web";
const LISTED = "clusters/others/-/-/namespaces/shop/-/-";

const WORKLOADS = ["deployments", "statefulsets", "daemonsets"];

const may = (...verbs: string[]): Rule[] => [{ verbs, groups: ["apps"], resources: WORKLOADS, namespaces: ["shop"] }];

const GROUPS = ["t:dev", "t:ops"];

/** restartd's account looks, and acts as some; what those may is theirs. It may patch nothing itself. */
const USERS: readonly SimulatorUser[] = [
  {
    name: "restartd",
    token: "token-of-restartd",
    rules: [{ verbs: ["get", "list", "watch"], groups: ["apps"], resources: WORKLOADS }],
    impersonates: { users: ["t:ann", "t:eve", "t:blind"], groups: GROUPS },
  },
  { name: "t:ann", token: "unused-1", rules: may("get", "list", "patch") },
  { name: "t:blind", token: "unused-2", rules: may("patch") },
  { name: "t:eve", token: "unused-3" },
  { name: "t:stranger", token: "unused-4", rules: may("get", "list", "patch") },
];

/** Who calls, by a token of its name, and in what groups. */
const CALLERS = {
  ann: ["dev", "ops", "hidden"],
  blind: [],
  eve: ["dev"],
  stranger: [],
  grün: [],
  lost: ["dev\u00e9"],
} as const;

type Caller = keyof typeof CALLERS;

const tokenOf = (caller: Caller): string => `rsd_${Buffer.from(caller).toString("hex")}`;

/** Three clusters of one API server, which speaks HTTP/2: one that is told of callers, one of others alone, one of nobody. */
async function start() {
  await using stack = new AsyncDisposableStack();
  const { authority, certified } = loopbackCertificates();
  const tls = { key: certified.key, cert: `${certified.cert}${authority.cert}` };
  const backend = stack.use(await startSimulatorBackend({ world: sandboxWorld, users: USERS, tls }));
  const folder = stack.use(await temporaryFolder());
  const tokens = Object.entries(CALLERS).map(([name, groups]) => ({
    name,
    sha256: hashOf(tokenOf(name as Caller)),
    groups: [...groups],
  }));
  const cluster = { kubeconfig: backend.kubeconfig, context: "restartd" };
  const file = await folder.write("tokens.yaml", stringify(tokens));
  const told = { user_prefix: "t:", groups: { prefix: "t:", only: ["token:dev*", "token:ops"] } };
  const config = {
    listen: "127.0.0.1:0",
    authentication: {
      tokens: { file },
      issuers: [{ name: "okta", issuer: "http://127.0.0.1:1", audiences: ["restartd"] }],
    },
    authorization: { rules: [{ name: "all", permissions: ["*"], targets: ["**"] }] },
    kubernetes: {
      clusters: [
        { name: "prod", ...cluster, impersonation: { token: told } },
        { name: "others", ...cluster, impersonation: { okta: { user_prefix: "t:" } } },
        { name: "plain", kubeconfig: backend.kubeconfig, context: "patcher" },
      ],
    },
  };
  const program = stack.use(await startProgram(["--config", await folder.write("restartd.yaml", stringify(config))]));
  const transport = createConnectTransport({ baseUrl: program.url, httpVersion: "1.1" });
  const { simulator } = backend;
  const parts = stack.move();
  return {
    simulator,
    url: program.url,
    workloads: createClient(WorkloadService, transport),
    operations: createClient(Operations, transport),
    access: createClient(AccessService, transport),
    as: (caller: Caller) => ({ headers: { authorization: `Bearer ${tokenOf(caller)}` } }),
    /** What a call asked of the cluster: discovery and the watches that all share are restartd's own. */
    asked: () => simulator.requests.filter(({ path }) => path.includes("/namespaces/")),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

async function first<T>(messages: AsyncIterable<T>): Promise<T | undefined> {
  for await (const message of messages) return message;
  return undefined;
}

describe("a cluster that is told who calls", () => {
  it("is asked everything in the caller's name, and its RBAC decides", async () => {
    await using started = await start();
    const { simulator, workloads, as, asked } = started;
    const ann = as("ann");
    const calls: Record<string, () => Promise<unknown>> = {
      GetRollout: () => workloads.getRollout(WEB, ann),
      WatchRollout: () => first(workloads.watchRollout(WEB, ann)),
      ListWorkloads: () => workloads.listWorkloads({ cluster: "prod", namespace: "shop" }, ann),
      validate_only: () => workloads.restart({ ...WEB, validateOnly: true }, ann),
    };
    for (const [name, call] of Object.entries(calls)) {
      simulator.clearRequests();
      await call();
      expect(asked().length, name).toBeGreaterThan(0);
      for (const { headers, user, httpVersion } of asked()) {
        expect([name, user, headers["impersonate-user"], headers["impersonate-group"]]).toEqual([
          name,
          "restartd",
          "t:ann",
          GROUPS,
        ]);
        expect(httpVersion).toBe("1.1");
      }
    }
    simulator.clearRequests();
    await workloads.restart(WEB, ann);
    const patches = asked().filter(({ method }) => method === "PATCH");
    expect(patches.map(({ headers }) => [headers["impersonate-user"], headers["impersonate-group"]])).toEqual([
      ["t:ann", GROUPS],
    ]);

    // Who may not is told who may not, and that it is the cluster that says so.
    expect(await failureOf(workloads.restart(WEB, as("eve")))).toMatchObject({
      reason: "RBAC_DENIED",
      message: "cluster prod: t:eve may not patch deployments.apps/shop/web; RBAC has to grant it that",
      metadata: { outcome: "not_applied" },
    });
    expect(await failureOf(workloads.getRollout(WEB, as("eve")))).toMatchObject({
      reason: "RBAC_DENIED",
      message: "cluster prod: t:eve may not get deployments.apps/shop/web; RBAC has to grant it that",
    });
    expect(await failureOf(workloads.listWorkloads({ ...WEB }, as("eve")))).toMatchObject({
      reason: "RBAC_DENIED",
      message: "cluster prod: t:eve may not list deployments.apps; RBAC has to grant it that",
    });
    expect((await failureOf(first(workloads.watchRollout(WEB, as("eve"))))).reason).toBe("RBAC_DENIED");
    await workloads.restart(WEB, as("blind"));
    expect((await failureOf(workloads.getRollout(WEB, as("blind")))).reason).toBe("RBAC_DENIED");

    // A cluster that is told of nobody is asked by restartd's own account, over HTTP/2.
    simulator.clearRequests();
    await workloads.restart({ ...WEB, cluster: "plain" }, as("eve"));
    const [patch] = asked().filter(({ method }) => method === "PATCH");
    expect(patch).toMatchObject({ user: "patcher", httpVersion: "2.0" });
    expect(Object.keys(patch?.headers ?? {}).filter((name) => name.startsWith("impersonate"))).toEqual([]);
  });

  it("is asked nothing for whoever is nobody there, and nothing is stored", async () => {
    await using started = await start();
    const { simulator, workloads, operations, as } = started;
    await workloads.getRollout(WEB, as("ann")); // discovery is known
    simulator.clearRequests();
    const refused: [Caller, string, object][] = [
      ["ann", "others", { reason: "PERMISSION_DENIED", metadata: { identity: "not_impersonated", cluster: "others" } }],
      ["grün", "prod", { reason: "IDENTITY_NOT_ENCODABLE", metadata: { part: "user" }, resources: ["prod"] }],
      ["lost", "prod", { reason: "IDENTITY_NOT_ENCODABLE", metadata: { part: "group" }, resources: ["prod"] }],
    ];
    for (const [caller, cluster, why] of refused) {
      const web = { ...WEB, cluster };
      for (const call of [
        () => workloads.restart(web, as(caller)),
        () => workloads.restart({ ...web, validateOnly: true }, as(caller)),
        () => workloads.getRollout(web, as(caller)),
        () => workloads.listWorkloads({ cluster }, as(caller)),
        () => first(workloads.watchRollout(web, as(caller))),
      ]) {
        expect(await failureOf(call())).toMatchObject({ code: Code.PermissionDenied, ...why });
      }
    }
    expect(simulator.requests).toEqual([]);
    for (const caller of ["ann", "lost"] as const) {
      expect((await operations.listOperations({}, as(caller))).operations).toEqual([]);
    }
    // Where restartd itself may not act as somebody, its operator has to mend that.
    expect(await failureOf(workloads.restart(WEB, as("stranger")))).toMatchObject({ reason: "IMPERSONATION_DENIED" });
    expect(simulator.requests.filter(({ status }) => status === 200)).toEqual([]);
  });

  it("says what was asked for of whoever is nobody there, in every protocol", async () => {
    await using started = await start();
    const { url, simulator, as } = started;
    const web = { ...WEB, cluster: "others" };
    const options = { baseUrl: url, httpVersion: "2" } as const;
    for (const transport of [
      createConnectTransport(options),
      createGrpcTransport(options),
      createGrpcWebTransport(options),
    ]) {
      const workloads = createClient(WorkloadService, transport);
      const asked: [string, string, () => Promise<unknown>][] = [
        ["restart", TARGET, () => workloads.restart(web, as("ann"))],
        ["get", TARGET, () => workloads.getRollout(web, as("ann"))],
        ["get", TARGET, () => first(workloads.watchRollout(web, as("ann")))],
        ["list", LISTED, () => workloads.listWorkloads({ cluster: "others", namespace: "shop" }, as("ann"))],
      ];
      for (const [verb, target, call] of asked) {
        const { reason, metadata, resources } = await failureOf(call());
        const said = { principal: "token:ann", targets_denied: "1", cluster: "others", identity: "not_impersonated" };
        expect({ reason, metadata, resources }).toEqual({
          reason: "PERMISSION_DENIED",
          metadata: { ...said, permission: `kubernetes.workloads.${verb}`, outcome: "not_applied" },
          resources: [target],
        });
      }
    }
    expect(simulator.requests).toEqual([]);
  });

  it("answers nobody with what another one may read", async () => {
    await using started = await start();
    const { simulator, workloads, as } = started;
    const isRead = ({ method, path }: { method: string; path: string }) =>
      method === "GET" && path.endsWith("/deployments/web");
    await workloads.restart(WEB, as("ann")); // it is remembered
    simulator.settle();
    const held = Promise.withResolvers<void>();
    const { promise: reading, resolve: isReading } = Promise.withResolvers<void>();
    simulator.inject({
      when: (request) => isRead(request) && request.headers["impersonate-user"] === "t:ann",
      async before() {
        isReading();
        await held.promise;
      },
    });
    simulator.clearRequests();
    const anns = first(workloads.watchRollout(WEB, as("ann")));
    await reading;
    // While ann's read is under way, so that eve could join it.
    expect((await failureOf(first(workloads.watchRollout(WEB, as("eve"))))).reason).toBe("RBAC_DENIED");
    held.resolve();
    expect(await anns).toMatchObject({ name: "web" });
    expect(simulator.requests.filter(isRead).map(({ headers }) => headers["impersonate-user"])).toEqual([
      "t:ann",
      "t:eve",
    ]);
    expect((await failureOf(workloads.restart(WEB, as("eve")))).reason).toBe("RBAC_DENIED");
  });

  it("has controls: without what holds all that, restartd's account reads for all, and groups become one", async () => {
    await using stack = new AsyncDisposableStack();
    const { authority, certified } = loopbackCertificates();
    const tls = { key: certified.key, cert: `${certified.cert}${authority.cert}` };
    const backend = stack.use(await startSimulatorBackend({ world: sandboxWorld, users: USERS, tls }));
    const credentials = openCredentials(
      { kubeconfig: backend.kubeconfig, context: "restartd" },
      { monotonic: () => performance.now(), now: () => new Date(), tell: () => {} },
    );
    const blind: Credentials = {
      connection: async () => ({ ...(await credentials.connection()), http1: true }),
      rejected() {},
      [Symbol.asyncDispose]: () => credentials[Symbol.asyncDispose](),
    };
    const client = stack.use(createRawClient(blind, "restartd/test", testClock()));
    const path = "/apis/apps/v1/namespaces/shop/deployments/web";
    const statusOf = async (as?: As) => (await client.request(asRequest({ path, ...(as && { as }) }))).status;
    expect(await statusOf({ user: "t:eve", groups: [] })).toBe(403);
    expect(await statusOf()).toBe(200);
    expect(await statusOf({ user: "t:ann", groups: ["t:dev"] })).toBe(200);
    expect(await statusOf({ user: "t:ann", groups: GROUPS })).toBe(403);
    const last = backend.simulator.requests.at(-1);
    expect([last?.httpVersion, last?.headers["impersonate-group"]]).toEqual(["2.0", ["t:dev, t:ops"]]);
  });

  it("lets callers know who they are there", async () => {
    await using started = await start();
    const { access, as } = started;
    const impersonates = async (caller: Caller) =>
      (await access.whoAmI({}, as(caller))).impersonates.map(({ cluster, user, groups }) => ({
        cluster,
        user,
        groups,
      }));
    expect(await impersonates("ann")).toEqual([{ cluster: "prod", user: "t:ann", groups: GROUPS }]);
    expect(await impersonates("eve")).toEqual([{ cluster: "prod", user: "t:eve", groups: ["t:dev"] }]);
    expect(await impersonates("grün")).toEqual([]);
  });
});

it("refuses to start with every mistake at once, each with its line and field", async () => {
  await using folder = await temporaryFolder();
  await folder.kubeconfig({ server: "https://10.0.0.1" }, { token: "T", as: "somebody" });
  const file = await folder.write(
    "restartd.yaml",
    `authentication: { tokens: { file: tokens.yaml } }
authorization: { rules: [{ name: all, permissions: ["*"], targets: ["**"] }] }
kubernetes:
  clusters:
    - name: a
      kubeconfig: kubeconfig
      impersonation:
        token: {}
        okta: { user_prefix: "o:" }
    - name: b
      kubeconfig: kubeconfig
      impersonation: {}
    - name: c
      in_cluster: true
      impersonation:
        token: { user_prefix: "system:node:", groups: { prefix: "g:", only: ["x"], nly: [] } }
        token: { user_prefix: "t:" }
    - { name: d, kubeconfig: kubeconfig, impersonation: [token] }
`,
  );
  await folder.write("tokens.yaml", "[]");
  const { code, stderr } = await runProgram(["--config", file]);
  expect(code).toBe(2);
  const lines = stderr
    .split("\n")
    .map((line) => /restartd\.yaml:(\d+):\d+: kubernetes\.clusters(.*)/.exec(line)?.slice(1))
    .filter((found) => found !== undefined);
  expect(lines).toEqual([
    ["8", expect.stringMatching(/^\[0\]\.impersonation: cannot stand beside context "only" of .*whose user acts as/)],
    ["8", expect.stringMatching(/^\[0\]\.impersonation\.token\.user_prefix: must be set/)],
    ["9", '[0].impersonation.okta: must be the name of an authenticator; configured are "token"'],
    ["12", "[1].impersonation: must have a section for each of some names, or be left out, but is empty"],
    ["14", expect.stringMatching(/^\[2\]\.in_cluster: /)],
    ["16", expect.stringMatching(/^\[2\]\.impersonation\.token\.user_prefix: must not begin with system:/)],
    ["16", expect.stringMatching(/^\[2\]\.impersonation\.token\.groups\.only\[0\]: must be AUTHENTICATOR:NAME/)],
    ["16", expect.stringMatching(/^\[2\]\.impersonation\.token\.groups\.nly: is not a known key/)],
    ["17", "[2].impersonation.token: stands twice, first on line 16"],
    ["18", "[3].impersonation: must have a section for each of some names, or be left out, but is a list"],
  ]);
});
