import type { SimulatorUser } from "./access.ts";
import type { JsonObject } from "./json.ts";
import { readyAnnotation } from "./pod-runtime.ts";

/** What a simulator starts with. */
export interface World {
  readonly nodes: readonly string[];
  readonly namespaces: readonly string[];
  /** Namespaced objects with apiVersion, kind, name and namespace. A paused Deployment has been rolled out before it was paused. */
  readonly objects: readonly JsonObject[];
}

/** Nothing but one node and the namespaces of a fresh cluster. */
export const emptyWorld: World = {
  nodes: ["node-1"],
  namespaces: ["default", "kube-system", "kube-public"],
  objects: [],
};

/** A workload of one container. */
export function workload(
  apiVersion: string,
  kind: string,
  name: string,
  spec: JsonObject,
  annotations: Record<string, string> = {},
): JsonObject {
  const labels = { app: name };
  const container = {
    name,
    image: `registry.example.com/shop/${name}:1.0.0`,
    resources: {},
  };
  return {
    apiVersion,
    kind,
    metadata: { name, namespace: "shop", labels },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) },
        spec: { containers: [container] },
      },
      ...spec,
    },
  };
}

/** The sandbox's cluster: api.md §4. */
export const sandboxWorld: World = {
  nodes: ["node-1", "node-2", "node-3"],
  namespaces: [...emptyWorld.namespaces, "shop"],
  objects: [
    workload("apps/v1", "Deployment", "web", { replicas: 3 }),
    workload("apps/v1", "Deployment", "checkout", { replicas: 2, paused: true }),
    workload("apps/v1", "Deployment", "legacy", { replicas: 2, strategy: { type: "Recreate" } }),
    workload(
      "apps/v1",
      "Deployment",
      "stuck",
      { replicas: 2, progressDeadlineSeconds: 20 },
      { [readyAnnotation]: "first-revision" },
    ),
    workload("apps/v1", "StatefulSet", "db", { replicas: 3, serviceName: "db" }),
    workload("apps/v1", "StatefulSet", "archive", {
      replicas: 2,
      serviceName: "archive",
      updateStrategy: { type: "OnDelete" },
    }),
    workload("apps/v1", "DaemonSet", "agent", {}),
    workload("argoproj.io/v1alpha1", "Rollout", "canary", {
      replicas: 2,
      strategy: { canary: { steps: [{ setWeight: 50 }, { pause: {} }] } },
    }),
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings", namespace: "shop" },
      data: { currency: "EUR", checkout: "enabled" },
    },
  ],
};

/** The user that the sandbox's restartd is: what its work needs, and nothing more. */
export const sandboxUser: SimulatorUser = {
  name: "restartd",
  token: "token-of-restartd",
  rules: [
    {
      verbs: ["get", "list", "watch", "patch"],
      groups: ["apps"],
      resources: ["deployments", "statefulsets", "daemonsets"],
    },
    { verbs: ["get", "list", "watch", "patch"], groups: ["argoproj.io"], resources: ["rollouts"] },
    { verbs: ["list"], groups: [""], resources: ["pods"] },
    { verbs: ["list"], groups: ["policy"], resources: ["poddisruptionbudgets"] },
  ],
};
