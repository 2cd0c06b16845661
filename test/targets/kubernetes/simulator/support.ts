import { setTimeout as delay } from "node:timers/promises";
import { emptyWorld, type SimulatorOptions, workload } from "../../../../src/targets/kubernetes/simulator.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";

/** Path of the Deployments in the test's namespace. */
export const deployments = "/apis/apps/v1/namespaces/shop/deployments";
/** Path of the Deployment `web`. */
export const web = `${deployments}/web`;
/** Media types of patches. */
export const types = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
};

/** The literal refusal of a JSON Patch whose test failed. */
export const refusedPatch = {
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message: "the server rejected our request due to an error in our request",
  reason: "Invalid",
  details: {},
  code: 422,
};

/** A simulator with the Deployment `web` (3 replicas), the StatefulSet `db`, the DaemonSet `agent`, the Rollout `canary` and a ConfigMap in `shop`. */
export function startShop(options: SimulatorOptions = {}): Promise<SimulatorBackend> {
  return startSimulatorBackend({
    world: {
      ...emptyWorld,
      nodes: ["node-1", "node-2"],
      namespaces: ["default", "shop"],
      objects: [
        workload("apps/v1", "Deployment", "web", { replicas: 3 }),
        workload("apps/v1", "StatefulSet", "db", { replicas: 3, serviceName: "db" }),
        workload("apps/v1", "DaemonSet", "agent", {}),
        workload("argoproj.io/v1alpha1", "Rollout", "canary", { replicas: 2, strategy: { canary: {} } }),
        { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings", namespace: "shop" }, data: { a: "b" } },
      ],
    },
    ...options,
  });
}

/** One operation of a JSON Patch. */
export interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
  readonly from?: string;
}

/** Sends a JSON Patch to `web`, or to another path. */
export function jsonPatch(backend: SimulatorBackend, operations: readonly Operation[], path = web) {
  return backend.request("PATCH", path, { contentType: types.json, body: operations });
}

/** Sends a merge patch. */
export function mergePatch(backend: SimulatorBackend, path: string, body: object, user = "admin") {
  return backend.request("PATCH", path, { contentType: types.merge, body, user });
}

/** Waits until `check` answers something true; fails after a minute. */
export async function until<T>(check: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error("it did not happen within a minute");
    await delay(2);
  }
}
