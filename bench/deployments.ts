import type { ControlPlane } from "../test/cluster/attach.ts";
import { createNamespace } from "../test/cluster/world.ts";
import type { Shot } from "./load.ts";

/** Deployments of 0 replicas to be restarted in turn, and the request that restarts the next one. */
export interface Deployments {
  readonly namespace: string;
  readonly names: readonly string[];
  /** By the API server's own merge PATCH, as the administrator. */
  readonly rawShot: () => Shot;
  /** By restartd. */
  readonly ourShot: () => Shot;
}

/** Makes so many in a namespace of their own. */
export async function createDeployments(cluster: ControlPlane, count: number): Promise<Deployments> {
  const admin = cluster.info.users.admin;
  if (admin === undefined || !("token" in admin)) {
    throw new Error("the administrator has no token");
  }
  const namespace = await createNamespace(cluster, "bench");
  const names = Array.from({ length: count }, (_, index) => `web-${index}`);
  for (const name of names) {
    await cluster.request("POST", `/apis/apps/v1/namespaces/${namespace}/deployments`, { body: deployment(name) });
  }
  let turn = 0;
  const nextName = (): string => names[turn++ % names.length] ?? "";
  return {
    namespace,
    names,
    rawShot: () => ({
      method: "PATCH",
      path: `/apis/apps/v1/namespaces/${namespace}/deployments/${nextName()}?fieldManager=bench`,
      headers: { authorization: `Bearer ${admin.token}`, "content-type": "application/merge-patch+json" },
      body: JSON.stringify({
        spec: {
          template: {
            metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": `${new Date().toISOString()}${turn}` } },
          },
        },
      }),
    }),
    ourShot: () => ({
      method: "POST",
      path: "/restart.kubernetes.v1.WorkloadService/Restart",
      headers: { "content-type": "application/json", "connect-protocol-version": "1" },
      body: JSON.stringify({
        cluster: "admin",
        group: "apps",
        version: "v1",
        resource: "deployments",
        namespace,
        name: nextName(),
      }),
    }),
  };
}

function deployment(name: string): unknown {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "main", image: "example.invalid/main" }] },
      },
    },
  };
}
