import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { FreezeService } from "../../gen/restart/access/v1/freeze_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { RestartMetadata_Outcome } from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import type { Store } from "../../src/operations/store/store.ts";
import { sandboxWorld } from "../../src/targets/kubernetes/simulator.ts";
import { openAt } from "../operations/store/open-postgres.ts";
import { insert, UNRESOLVED } from "../operations/support.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { postgresMissing, startPostgres } from "../support/postgres.ts";
import { startProgram } from "../support/program.ts";
import { failureOf } from "../support/served-target.ts";
import { startSimulatorBackend } from "../support/simulator-backend.ts";

const WEB = { group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "web" };
const TOKEN = `rsd_${"A".repeat(43)}`;

/** Of a cluster that is not asked. */
const KUBECONFIG = stringify({
  "current-context": "a",
  contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
  clusters: [{ name: "a", cluster: { server: "http://127.0.0.1:1" } }],
  users: [{ name: "a", user: { token: "unused" } }],
});

const TRAIL = "select event, actor, detail, identity from audit order by sequence";

/** One line of what is kept: what happened, who did it, and what is known of who that is. */
function trailOf(file: string) {
  const database = new DatabaseSync(file, { readOnly: true });
  const rows = database.prepare(TRAIL).all();
  database.close();
  return rows.map(shown).map(({ detail: _, ...row }) => row);
}

const shown = ({ event, actor, detail, identity }: Record<string, unknown>) => ({
  event,
  actor,
  detail,
  identity: identity === null ? undefined : JSON.parse(String(identity)),
});

it("keeps who did what, by which rule and credential, from where, and as whom in the cluster: never a secret", async () => {
  await using folder = await temporaryFolder();
  const users = [
    { name: "restartd", token: "token-of-restartd", impersonates: true },
    { name: "t:ann", token: "unused", rules: [{ verbs: ["*"], groups: ["apps"], resources: ["*"] }] },
  ];
  await using backend = await startSimulatorBackend({ world: sandboxWorld, users });
  backend.simulator.pods.pause(); // so that there is something to cancel
  const tokens = [{ name: "ann", sha256: hashOf(TOKEN), groups: ["ops", "dev", "other"] }];
  const cluster = { kubeconfig: backend.kubeconfig, context: "restartd" };
  const file = join(folder.path, "operations.db");
  const config = {
    listen: "127.0.0.1:0",
    store: { sqlite: { path: file } },
    authentication: { tokens: { file: await folder.write("tokens.yaml", stringify(tokens)) } },
    authorization: {
      rules: [{ name: "team", groups: ["token:ops", "token:d*"], permissions: ["*"], targets: ["**"] }],
    },
    kubernetes: {
      clusters: [
        { name: "told", ...cluster, impersonation: { token: { user_prefix: "t:" } } },
        { name: "plain", kubeconfig: backend.kubeconfig, context: "patcher" },
      ],
    },
  };
  const program = await startProgram(["--config", await folder.write("restartd.yaml", stringify(config))]);
  const transport: Transport = createConnectTransport({ baseUrl: program.url, httpVersion: "1.1" });
  const workloads = createClient(WorkloadService, transport);
  const freezes = createClient(FreezeService, transport);
  const agent = "someone/1.0 ".padEnd(300, "x");
  const ann = { headers: { authorization: `Bearer ${TOKEN}`, "user-agent": agent } };

  await freezes.createFreeze({ name: "f", targets: ["clusters/told/**"], reason: "incident" }, ann);
  let name = "";
  const onHeader = (headers: Headers) => {
    name = headers.get("operation-name") ?? "";
  };
  await workloads.restart({ ...WEB, cluster: "told", overrideFreeze: true }, { ...ann, onHeader });
  await createClient(Operations, transport).cancelOperation({ name }, ann);
  await workloads.restart({ ...WEB, resource: "statefulsets", name: "db", cluster: "plain" }, ann);
  await freezes.liftFreeze({ name: "f", reason: "over" }, ann);
  expect(await program.stop("SIGTERM")).toBe(0);

  const identity = {
    authenticator: "token",
    credential: `token ann ${hashOf(TOKEN).slice(0, 8)}`,
    groups: ["token:ops", "token:dev"],
    rule: "team",
    peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    user_agent: agent.slice(0, 200),
  };
  const told = ["freeze created", "accepted over a freeze", "cancel requested", "accepted", "freeze lifted"];
  const trail = trailOf(file).filter(({ event }) => told.includes(String(event)));
  const { groups: _, rule: __, ...own } = identity; // one's own operation needs no rule
  expect(trail).toEqual([
    { event: "freeze created", actor: "token:ann", identity },
    {
      event: "accepted over a freeze",
      actor: "token:ann",
      identity: { ...identity, impersonated_user: "t:ann", override: true },
    },
    { event: "cancel requested", actor: "token:ann", identity: own },
    { event: "accepted", actor: "token:ann", identity },
    { event: "freeze lifted", actor: "token:ann", identity },
  ]);
  // What nobody asked for is nobody's.
  expect(
    trailOf(file).filter(({ event, identity: kept }) => !told.includes(String(event)) && kept !== undefined),
  ).toEqual([]);
  for (const kept of globSync(`${file}*`)) {
    const text = readFileSync(kept).toString("latin1");
    for (const secret of [TOKEN, hashOf(TOKEN), "token-of-restartd"]) expect(text).not.toContain(secret);
  }
});

/** A place for operations: what the configuration says of it, how it is opened, and what its audit trail says. */
interface Place {
  readonly store: object;
  open(): Promise<Store>;
  trail(): Promise<ReturnType<typeof shown>[]>;
}

/** Has somebody end the doubt about an operation of another caller, and looks at what is kept of that. */
async function resolves(folder: Folder, { store: section, open, trail }: Place): Promise<void> {
  const [ann, bob] = [TOKEN, `rsd_${"B".repeat(43)}`];
  const tokens = [
    { name: "ann", sha256: hashOf(ann), groups: ["ops", "dev"] },
    { name: "bob", sha256: hashOf(bob) },
  ];
  const config = {
    listen: "127.0.0.1:0",
    store: section,
    authentication: { tokens: { file: await folder.write("tokens.yaml", stringify(tokens)) } },
    authorization: {
      rules: [
        { name: "on-call", groups: ["token:ops"], permissions: ["operations.*"], targets: ["clusters/told/**"] },
        { name: "look", permissions: ["operations.get"], targets: ["**"] },
      ],
    },
    kubernetes: { clusters: [{ name: "told", kubeconfig: await folder.write("kubeconfig", KUBECONFIG) }] },
  };
  const store = await open();
  const now = Date.now();
  const target = "clusters/told/apps/v1/namespaces/shop/deployments/web";
  const doubt = { ...UNRESOLVED, principal: "token:bob", target, createTime: now, updateTime: now, endTime: now };
  const { name } = await insert(store, doubt);
  await store[Symbol.asyncDispose]();

  const program = await startProgram(["--config", await folder.write("restartd.yaml", stringify(config))]);
  const transport = createConnectTransport({ baseUrl: program.url, httpVersion: "2" });
  const operations = createClient(OperationService, transport);
  const verdict = { name, outcome: RestartMetadata_Outcome.APPLIED, note: "seen in the cluster" };
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}`, "user-agent": "someone/1.0" } });
  // One's own takes a rule too.
  expect(await failureOf(operations.resolveOperation(verdict, as(bob)))).toMatchObject({
    reason: "PERMISSION_DENIED",
    metadata: { permission: "operations.resolve", principal: "token:bob" },
  });
  for (let time = 0; time < 2; time++) {
    expect(await operations.resolveOperation(verdict, as(ann))).toMatchObject({ name, done: true });
  }
  expect(await program.stop("SIGTERM")).toBe(0);
  // Once, by whom, why, and never for who was refused.
  expect((await trail()).slice(1)).toEqual([
    {
      event: "resolved",
      actor: "token:ann",
      detail: "seen in the cluster",
      identity: {
        authenticator: "token",
        credential: `token ann ${hashOf(ann).slice(0, 8)}`,
        groups: ["token:ops"],
        rule: "on-call",
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        user_agent: expect.stringMatching(/^someone\/1\.0/),
      },
    },
  ]);
}

describe("who ended a doubt is kept", () => {
  it("in SQLite", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "operations.db");
    const options = { path, replica: "seed", now: () => new Date(), warn: () => {} };
    await resolves(folder, {
      store: { sqlite: { path } },
      open: () => openSqliteStore(options),
      async trail() {
        using database = new DatabaseSync(path, { readOnly: true });
        return database.prepare(TRAIL).all().map(shown);
      },
    });
  });

  it.skipIf(postgresMissing())("in PostgreSQL", async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres();
    const url = await server.database();
    await resolves(folder, {
      store: { postgres: { url: { file: await folder.write("url", url) } } },
      open: () => openAt(url),
      trail: async () => (await server.sql(TRAIL, url)).map(shown),
    });
  });
});
