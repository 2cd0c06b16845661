import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contextsOf, restartdInMemory } from "../support/restartd.ts";
import { follow, watchRows } from "../targets/kubernetes/behaviour/watch.ts";
import { eventually, make, must, openWorld, steady, type World } from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();

describe.skipIf(shared === undefined)("a real control plane", () => {
  const cluster = shared as ControlPlane;
  let world: World;
  beforeAll(async () => {
    world = await openWorld(cluster);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  watchRows(() => world, { openWatches });

  test("a ServiceAccount that may watch in its namespace alone watches there", async () => {
    const user = await serviceAccount("local", ["get", "list", "watch"]);
    await using restartd = restartdInMemory({ clusters: contextsOf(user, ["local"]) });
    const object = await make(world, "deployments", { spec: { paused: true } });
    const before = await steady(openWatches);
    const watch = follow(restartd, { cluster: "local", ...object.ref });
    await watch.until(() => true);
    await eventually(async () => (await openWatches()) === before + 1);
    await object.merge({ spec: { replicas: 5 } });
    await watch.until(({ desired }) => desired === 5);
    watch.cancel();
    await eventually(async () => (await openWatches()) === before);
  });

  test.each([
    ["getter", ["get"], "list"],
    ["lister", ["get", "list"], "watch"],
  ])("a ServiceAccount %s is told what it may not, after the first message", async (name, verbs, verb) => {
    const user = await serviceAccount(name, verbs);
    await using restartd = restartdInMemory({ clusters: contextsOf(user, [name]) });
    const object = await make(world, "deployments", { spec: { paused: true } });
    const watch = follow(restartd, { cluster: name, ...object.ref });
    expect(await watch.end).toMatchObject({
      code: "PermissionDenied",
      reason: "RBAC_DENIED",
      message: `cluster ${name}: restartd's account may not ${verb} deployments.apps; RBAC has to grant it that`,
    });
    expect(watch.messages).toHaveLength(1);
  });

  test("a watch ends when the right to it is taken away", async () => {
    const user = await serviceAccount("fired", ["get", "list", "watch"]);
    await using restartd = restartdInMemory({ clusters: contextsOf(user, ["fired"]) });
    const object = await make(world, "deployments", { spec: { paused: true } });
    const before = await steady(openWatches);
    const watch = follow(restartd, { cluster: "fired", ...object.ref });
    await eventually(async () => (await openWatches()) === before + 1);
    await must(
      cluster,
      "DELETE",
      `/apis/rbac.authorization.k8s.io/v1/namespaces/${world.namespace}/rolebindings/fired`,
    );
    // What is open stays open: the API server asks again for the next request.
    await cluster.restartServer();
    expect(await watch.end).toMatchObject({ code: "PermissionDenied", reason: "RBAC_DENIED" });
  }, 90_000);

  /** Makes a ServiceAccount with rights on Deployments in the world's namespace, and answers the path of its kubeconfig. */
  async function serviceAccount(name: string, verbs: readonly string[]): Promise<string> {
    const { namespace } = world;
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    await must(cluster, "POST", accounts, { metadata: { name } });
    await must(cluster, "POST", `${rbac}/roles`, {
      metadata: { name },
      rules: [{ apiGroups: ["apps"], resources: ["deployments"], verbs }],
    });
    await must(cluster, "POST", `${rbac}/rolebindings`, {
      metadata: { name },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name, namespace }],
    });
    const { status } = await must(cluster, "POST", `${accounts}/${name}/token`, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {},
    });
    const path = join(cluster.info.folder, `${namespace}-${name}.kubeconfig`);
    const ca = Buffer.from(cluster.info.ca).toString("base64");
    const text = JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server: cluster.url, "certificate-authority-data": ca } }],
      users: [{ name, user: { token: status.token } }],
      contexts: [{ name, context: { cluster: "c", user: name } }],
    });
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  async function openWatches(): Promise<number> {
    const { body } = await cluster.request("GET", "/metrics");
    const watches = body.matchAll(
      /^apiserver_longrunning_requests\{.*group="apps".*resource="deployments".*verb="WATCH".*\} (\d+)$/gm,
    );
    return [...watches].reduce((sum, [, count]) => sum + Number(count), 0);
  }
});
