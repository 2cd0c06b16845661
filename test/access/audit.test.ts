import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { stringify } from "yaml";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { FreezeService } from "../../gen/restart/access/v1/freeze_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { sandboxWorld } from "../../src/targets/kubernetes/simulator.ts";
import { temporaryFolder } from "../support/folder.ts";
import { startProgram } from "../support/program.ts";
import { startSimulatorBackend } from "../support/simulator-backend.ts";

const WEB = { group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "web" };
const TOKEN = `rsd_${"A".repeat(43)}`;

/** One line of what is kept: what happened, who did it, and what is known of who that is. */
function trailOf(file: string) {
  const database = new DatabaseSync(file, { readOnly: true });
  const rows = database.prepare("select event, actor, identity from audit order by sequence").all();
  database.close();
  return rows.map(({ event, actor, identity }) => ({
    event,
    actor,
    identity: identity === null ? undefined : JSON.parse(String(identity)),
  }));
}

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
