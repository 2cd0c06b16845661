import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ControlPlane } from "./attach.ts";
import { createAuthority } from "./certificates.ts";
import { sharedControlPlane } from "./shared.ts";
import { create, createNamespace, deleteNamespace, type KubernetesObject, pathOf, remove, until } from "./world.ts";

const shared = sharedControlPlane();
const restartedAt = "kubectl.kubernetes.io/restartedAt";

describe.skipIf(shared === undefined)("sharedControlPlane()", () => {
  let cluster: ControlPlane;
  let namespace: string;

  beforeAll(async () => {
    if (shared === undefined) throw new Error("skipped above");
    cluster = shared;
    namespace = await createNamespace(cluster, "harness");
  });
  afterAll(async () => {
    await deleteNamespace(cluster, namespace);
    await cluster[Symbol.asyncDispose]();
  });

  /** Creates a deployment and waits until its pods are ready; answers its path. */
  async function rolledOut(name: string, replicas = 3): Promise<string> {
    const object = deployment(namespace, name, replicas);
    await create(cluster, object);
    const path = await pathOf(cluster, object);
    await until(cluster, path, (current) => isComplete(current), { what: "the first rollout" });
    return path;
  }

  /** Writes a new restart annotation; answers the object as patched. */
  async function restart(path: string) {
    const answer = await cluster.request("PATCH", path, {
      contentType: "application/merge-patch+json",
      body: { spec: { template: { metadata: { annotations: { [restartedAt]: new Date().toISOString() } } } } },
    });
    expect(answer.status).toBe(200);
    return answer.json();
  }

  test("has every process running", async () => {
    const status = await cluster.processes.status();
    expect(Object.entries(status).map(([name, { state }]) => `${name} ${state}`)).toEqual([
      "etcd running",
      "kube-apiserver running",
      "kube-controller-manager running",
      "kube-scheduler running",
      "kwok running",
      "rollouts-controller running",
    ]);
    const version = await cluster.request("GET", "/version");
    expect(version.json().gitVersion).toBe("v1.36.3");
  });

  test("rolls a deployment to ready, and kubectl restarts it to the end", async () => {
    const path = await rolledOut("web");
    expect(await cluster.kubectl(["rollout", "restart", "deployment/web", "-n", namespace])).toEqual({
      code: 0,
      stdout: "deployment.apps/web restarted\n",
      stderr: "",
    });
    const status = await cluster.kubectl(["rollout", "status", "deployment/web", "-n", namespace]);
    expect(status.stdout).toMatch(/deployment "web" successfully rolled out\n$/);
    const done = (await cluster.request("GET", path)).json();
    expect(done.status).toMatchObject({ observedGeneration: 2, updatedReplicas: 3, readyReplicas: 3, replicas: 3 });
    expect(done.spec.template.metadata.annotations).toHaveProperty([restartedAt]);
  });

  test("rolls stateful sets and daemon sets", async () => {
    const { selector, template } = podsOf("db");
    const metadata = { name: "db", namespace };
    for (const [kind, spec, ready] of [
      ["StatefulSet", { replicas: 2, serviceName: "db", selector, template }, "readyReplicas"],
      ["DaemonSet", { selector, template }, "numberReady"],
    ] as const) {
      const object = { apiVersion: "apps/v1", kind, metadata, spec };
      await create(cluster, object);
      await until(cluster, await pathOf(cluster, object), (current) => current?.status?.[ready] === 2);
      await remove(cluster, object);
    }
  });

  test("restarts an Argo Rollout by its own controller", async () => {
    const rollout = {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Rollout",
      metadata: { name: "canary", namespace },
      spec: { replicas: 2, strategy: { canary: { steps: [] } }, ...podsOf("canary") },
    };
    await create(cluster, rollout);
    const path = await pathOf(cluster, rollout);
    await until(cluster, path, (current) => current?.status?.readyReplicas === 2);
    // Pods made in the same second as restartAt are not older than it.
    const restartAt = `${new Date(Date.now() + 1000).toISOString().slice(0, 19)}Z`;
    await cluster.request("PATCH", path, {
      contentType: "application/merge-patch+json",
      body: { spec: { restartAt } },
    });
    const done = await until(cluster, path, (current) => current?.status?.restartedAt === restartAt);
    expect(done.spec.restartAt).toBe(restartAt);
  });

  test.each([
    { user: "admin", get: 200, patch: 200, discovery: 200 },
    { user: "cert-admin", get: 200, patch: 200, discovery: 200 },
    { user: "patcher", get: 200, patch: 200, discovery: 200 },
    { user: "blind", get: 403, patch: 200, discovery: 200 },
    { user: "reader", get: 200, patch: 403, discovery: 200 },
    { user: "nobody", get: 403, patch: 403, discovery: 200 },
    { user: "intruder", get: 401, patch: 401, discovery: 401 },
  ])("gives $user its rights", async ({ user, ...expected }) => {
    const object = deployment(namespace, `rights-${user}`, 0);
    await create(cluster, object);
    const path = await pathOf(cluster, object);
    const rollouts = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/rollouts`;
    const patch = { contentType: "application/merge-patch+json", body: { metadata: { labels: { seen: "yes" } } } };
    const statuses = {
      get: (await cluster.request("GET", path, { user })).status,
      patch: (await cluster.request("PATCH", path, { user, ...patch })).status,
      discovery: (await cluster.request("GET", "/apis/apps/v1", { user })).status,
    };
    expect(statuses).toEqual(expected);
    expect((await cluster.request("GET", rollouts, { user })).status).toBe(expected.get);
    const answer = await cluster.kubectl(["get", "deployment", object.metadata.name, "-n", namespace], { user });
    expect(answer.code).toBe(expected.get === 200 ? 0 : 1);
  });

  test("does not observe while the controllers are paused", async () => {
    const path = await rolledOut("unobserved", 1);
    await cluster.controllers.pause();
    const { generation } = (await restart(path)).metadata;
    await expect(
      until(cluster, path, (current) => current.status.observedGeneration === generation, { timeout: 1500 }),
    ).rejects.toThrow(`${path}: waited 1500 ms for the condition; last seen {`);
    await cluster.controllers.resume();
    await until(cluster, path, isComplete);
  });

  test("makes no pod ready while the pods are paused", async () => {
    const path = await rolledOut("never-ready", 2);
    await cluster.pods.pause();
    const { generation } = (await restart(path)).metadata;
    await until(cluster, path, ({ status }) => status.observedGeneration === generation && status.updatedReplicas > 0);
    await expect(until(cluster, path, isComplete, { timeout: 1500 })).rejects.toThrow("waited 1500 ms");
    await cluster.pods.resume();
    await until(cluster, path, isComplete);
  });

  test("restarts the API server with its data, and the controllers find it again", async () => {
    const path = await rolledOut("survivor", 2);
    const before = await cluster.processes.status();
    const { uid } = (await cluster.request("GET", path)).json().metadata;
    await cluster.restartServer();
    const after = await cluster.processes.status();
    expect(after["kube-apiserver"]?.pid).not.toBe(before["kube-apiserver"]?.pid);
    // The scheduler is started anew as well.
    const anew = { "kube-apiserver": null, "kube-scheduler": null };
    expect({ ...after, ...anew }).toEqual({ ...before, ...anew });
    expect((await cluster.request("GET", path)).json().metadata.uid).toBe(uid);
    await restart(path);
    await until(cluster, path, isComplete, { timeout: 60_000 });
  });

  test("enforces a ValidatingAdmissionPolicy", async () => {
    const apiVersion = "admissionregistration.k8s.io/v1";
    const policy = {
      apiVersion,
      kind: "ValidatingAdmissionPolicy",
      metadata: { name: namespace },
      spec: {
        matchConstraints: {
          resourceRules: [
            { apiGroups: ["apps"], apiVersions: ["v1"], resources: ["deployments"], operations: ["CREATE"] },
          ],
          namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
        },
        validations: [{ expression: "object.metadata.name != 'forbidden'", message: "not this name" }],
      },
    };
    const binding = {
      apiVersion,
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name: namespace },
      spec: { policyName: namespace, validationActions: ["Deny"] },
    };
    await create(cluster, policy);
    await create(cluster, binding);
    // The server takes a moment to heed a new policy: a dry run says when.
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments?dryRun=All`;
    const body = deployment(namespace, "forbidden", 0);
    await expect.poll(async () => (await cluster.request("POST", path, { body })).body).toContain("not this name");
    await remove(cluster, binding);
    await remove(cluster, policy);
  });

  test("calls a webhook on loopback that has a certificate of an authority of the test", async () => {
    const authority = createAuthority("webhook-ca");
    const certified = authority.issue({ commonName: "webhook", usage: "server", hosts: ["127.0.0.1"] });
    const calls: string[] = [];
    const server = createServer(certified, async (request, response) => {
      const review = JSON.parse((await request.toArray()).join(""));
      calls.push(review.request.name);
      response.end(JSON.stringify({ ...review, response: { uid: review.request.uid, allowed: true } }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const webhook = webhookFor(namespace, `https://127.0.0.1:${port}/`, authority.cert);
    await create(cluster, webhook);
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments?dryRun=All`;
    const body = deployment(namespace, "reviewed", 0);
    await expect
      .poll(async () => {
        expect((await cluster.request("POST", path, { body })).status).toBe(201);
        return calls;
      })
      .toContain("reviewed");
    await remove(cluster, webhook);
    server.closeAllConnections();
    server.close();
  });
});

// biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
function isComplete(current: any): boolean {
  const { metadata, spec, status } = current ?? {};
  const counts = [status?.updatedReplicas, status?.readyReplicas, status?.replicas];
  return status?.observedGeneration === metadata?.generation && counts.every((count) => count === spec?.replicas);
}

function podsOf(name: string) {
  return {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "main", image: "none" }] } },
  };
}

function deployment(namespace: string, name: string, replicas: number): KubernetesObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: { replicas, ...podsOf(name) },
  };
}

function webhookFor(namespace: string, url: string, ca: string): KubernetesObject {
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingWebhookConfiguration",
    metadata: { name: namespace },
    webhooks: [
      {
        name: "review.restartd.test",
        clientConfig: { url, caBundle: Buffer.from(ca).toString("base64") },
        rules: [{ apiGroups: ["apps"], apiVersions: ["v1"], resources: ["deployments"], operations: ["CREATE"] }],
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
        sideEffects: "None",
        admissionReviewVersions: ["v1"],
      },
    ],
  };
}
