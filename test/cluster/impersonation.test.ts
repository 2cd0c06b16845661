import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { AccessService } from "../../gen/restart/access/v1/access_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { temporaryFolder } from "../support/folder.ts";
import { startProgram } from "../support/program.ts";
import { failureOf } from "../support/served-target.ts";
import { make, openWorld, type World } from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";
import { AUDITED } from "./users.ts";
import { create } from "./world.ts";

const shared = sharedControlPlane();

/** Who calls, and in what groups. What they may is given to the group oidc:k8s-ops alone; ben is in none that is told. */
const CALLERS = {
  ann: ["k8s-all", "k8s-ops", "hidden"],
  ben: ["hidden"],
  eve: ["k8s-all"],
  // restartd's account may act as nobody of this name, and in no such group.
  mallory: ["k8s-all"],
  trent: ["k8s-all", "k8s-root"],
} as const;

type Caller = keyof typeof CALLERS;

/** restartd's accounts: one by the verb of old, one that may act as somebody for some requests alone (KEP-5284). */
const ACCOUNTS = ["legacy", "constrained"] as const;

const USERS = ["oidc:ann", "oidc:ben", "oidc:eve", "oidc:trent"];
const GROUPS = ["oidc:k8s-all", "oidc:k8s-ops"];
const DEPLOYMENTS = { apiGroups: ["apps"], resources: ["deployments"] };

const RIGHTS = {
  legacy: [
    { apiGroups: [""], resources: ["users"], resourceNames: USERS, verbs: ["impersonate"] },
    { apiGroups: [""], resources: ["groups"], resourceNames: GROUPS, verbs: ["impersonate"] },
  ],
  constrained: [
    {
      apiGroups: ["authentication.k8s.io"],
      resources: ["users"],
      resourceNames: USERS,
      verbs: ["impersonate:user-info"],
    },
    {
      apiGroups: ["authentication.k8s.io"],
      resources: ["groups"],
      resourceNames: GROUPS,
      verbs: ["impersonate:user-info"],
    },
    { ...DEPLOYMENTS, verbs: ["get", "list", "patch"].map((verb) => `impersonate-on:user-info:${verb}`) },
  ],
};

/** A line of the audit log. */
interface Audited {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly impersonatedUser?: { readonly username: string; readonly groups: readonly string[] };
  readonly responseStatus: { readonly code: number };
}

describe.skipIf(shared === undefined)("callers in a real cluster", () => {
  const cluster = shared as ControlPlane;
  let world: World;
  const cleanup = new AsyncDisposableStack();
  const rbac = "rbac.authorization.k8s.io";

  const grant = async (name: string, rules: readonly object[], subject: object) => {
    const metadata = { name: `test-impersonation-${name}` };
    await create(cluster, { apiVersion: `${rbac}/v1`, kind: "ClusterRole", metadata, rules });
    const roleRef = { apiGroup: rbac, kind: "ClusterRole", name: metadata.name };
    await create(cluster, {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata,
      roleRef,
      subjects: [subject],
    });
  };

  beforeAll(async () => {
    world = cleanup.use(await openWorld(cluster));
    await create(cluster, { apiVersion: "v1", kind: "Namespace", metadata: { name: AUDITED } });
    for (const name of ACCOUNTS) {
      await create(cluster, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: AUDITED } });
      const looks = { ...DEPLOYMENTS, verbs: ["get", "list", "watch"] };
      await grant(name, [...RIGHTS[name], looks], { kind: "ServiceAccount", name, namespace: AUDITED });
    }
    const group = { apiGroup: rbac, kind: "Group", name: "oidc:k8s-ops" };
    await grant("ops", [{ ...DEPLOYMENTS, verbs: ["get", "list", "patch"] }], group);
  });
  afterAll(async () => {
    await cleanup[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  /** The whole program, with a cluster for each of its accounts. */
  async function start() {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await temporaryFolder());
    const impersonation = { token: { user_prefix: "oidc:", groups: { prefix: "oidc:", only: ["token:k8s-*"] } } };
    const ca = Buffer.from(cluster.info.ca).toString("base64");
    const clusters = await Promise.all(
      ACCOUNTS.map(async (name) => {
        const path = `/api/v1/namespaces/${AUDITED}/serviceaccounts/${name}/token`;
        const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
        const { token } = (await cluster.request("POST", path, { body })).json().status;
        const server = { server: cluster.url, "certificate-authority-data": ca };
        return { name, kubeconfig: await folder.kubeconfig(server, { token }, `${name}.kubeconfig`), impersonation };
      }),
    );
    const tokens = Object.entries(CALLERS).map(([name, groups]) => ({
      name,
      sha256: hashOf(`rsd_${name}`),
      groups: [...groups],
    }));
    const config = {
      listen: "127.0.0.1:0",
      authentication: { tokens: { file: await folder.write("tokens.yaml", stringify(tokens)) } },
      authorization: { rules: [{ name: "all", permissions: ["*"], targets: ["**"] }] },
      kubernetes: { clusters },
    };
    const program = stack.use(await startProgram(["--config", await folder.write("restartd.yaml", stringify(config))]));
    const transport = createConnectTransport({ baseUrl: program.url, httpVersion: "1.1" });
    const parts = stack.move();
    return {
      workloads: createClient(WorkloadService, transport),
      access: createClient(AccessService, transport),
      as: (caller: Caller) => ({ headers: { authorization: `Bearer rsd_${caller}` } }),
      [Symbol.asyncDispose]: () => parts.disposeAsync(),
    };
  }

  const audited = async (account: string): Promise<Audited[]> =>
    (await readFile(join(cluster.info.folder, "audit.log"), "utf8"))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Audited)
      .filter(({ user }) => user.username === `system:serviceaccount:${AUDITED}:${account}`);

  /** What was asked about a namespace: discovery, and the watch that all share, are about none. */
  const about = (namespace: string) => (event: Audited) => event.requestURI.includes(`/namespaces/${namespace}/`);

  test.each(ACCOUNTS)("are who asks for everything, by the verbs %s", async (account) => {
    await using started = await start();
    const { workloads, access, as } = started;
    const object = await make(world, "deployments");
    const { namespace, group, version, resource } = object.ref;
    const ref = { ...object.ref, cluster: account };
    const ann = as("ann");
    expect((await access.whoAmI({}, ann)).impersonates).toMatchObject([
      { cluster: "legacy", user: "oidc:ann", groups: GROUPS },
      { cluster: "constrained", user: "oidc:ann", groups: GROUPS },
    ]);

    const before = await object.generation();
    await workloads.getRollout(ref, ann);
    for await (const _ of workloads.watchRollout(ref, ann)) break;
    const listed = await workloads.listWorkloads({ cluster: account, namespace, group, version, resource }, ann);
    expect(listed.workloads.map(({ name }) => name)).toContain(object.ref.name);
    await workloads.restart({ ...ref, validateOnly: true }, ann);
    expect(await object.generation()).toBe(before);
    const asAnn = { username: "oidc:ann", groups: [...GROUPS, "system:authenticated"] };
    const events = async () => (await audited(account)).filter(about(namespace));
    const deployments = async () => (await events()).filter(({ requestURI }) => requestURI.includes("/deployments"));
    await expect
      .poll(async () => (await deployments()).map(({ verb }) => verb))
      .toEqual(["get", "get", "list", "get", "patch"]);
    // Pods, budgets and Rollouts too, though she may not see those; nor may the constrained account ask for them as anybody.
    for (const { impersonatedUser, responseStatus } of await events()) {
      if (impersonatedUser === undefined) expect([account, responseStatus.code]).toEqual(["constrained", 403]);
      else expect(impersonatedUser).toEqual(asAnn);
    }

    await workloads.restart(ref, ann);
    expect(await object.generation()).toBe(before + 1);
    await expect.poll(async () => (await deployments()).filter(({ verb }) => verb === "patch").length).toBe(2);
    const patches = (await deployments()).filter(({ verb }) => verb === "patch");
    expect(patches.map(({ impersonatedUser, responseStatus }) => [impersonatedUser, responseStatus.code])).toEqual([
      [asAnn, 200],
      [asAnn, 200],
    ]);

    // Her rights are a group's: nobody else has them, not restartd's own account either.
    for (const caller of ["ben", "eve"] as const) {
      expect(await failureOf(workloads.restart(ref, as(caller)))).toMatchObject({
        reason: "RBAC_DENIED",
        message: `cluster ${account}: oidc:${caller} may not patch deployments.apps/${namespace}/${ref.name}; RBAC has to grant it that`,
        metadata: { outcome: "not_applied" },
      });
      expect((await failureOf(workloads.getRollout(ref, as(caller)))).message).toContain(`oidc:${caller} may not get`);
    }
    for (const caller of ["mallory", "trent"] as const) {
      expect(await failureOf(workloads.restart(ref, as(caller)))).toMatchObject({
        reason: "IMPERSONATION_DENIED",
        message: `cluster ${account}: restartd's own account may not impersonate; its operator has to grant it that`,
      });
    }
    expect(await object.generation()).toBe(before + 1);
    const names = new Set((await deployments()).map(({ impersonatedUser }) => impersonatedUser?.username));
    // What became of the restart is restartd's own to look at.
    expect([...names].filter((name) => name !== undefined && !Object.keys(CALLERS).includes(name.slice(5)))).toEqual(
      [],
    );
    const own = (await deployments()).filter(({ impersonatedUser }) => impersonatedUser === undefined);
    expect(own.filter(({ verb }) => !["get", "list", "watch"].includes(verb))).toEqual([]);
  });
});
