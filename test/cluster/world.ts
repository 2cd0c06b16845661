import { randomBytes } from "node:crypto";
import type { Backend } from "../support/backend.ts";
import type { ControlPlane } from "./attach.ts";

/** A Kubernetes object to send. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

/** Options of {@link until}. */
export interface UntilOptions {
  /** What is waited for, for the error. Default `the condition`. */
  readonly what?: string;
  /** Milliseconds. Default 30,000. */
  readonly timeout?: number;
}

/**
 * Makes a namespace of its own for a test and answers its name, `PREFIX-` and 8 random hex digits.
 *
 * Its default ServiceAccount is made as well: without it pods are refused until kube-controller-manager has made it, which
 * delays the first ones by a second, and forever while it is paused.
 */
export async function createNamespace(backend: Backend, prefix = "test"): Promise<string> {
  const name = `${prefix}-${randomBytes(4).toString("hex")}`;
  await expectStatus(backend, "POST", "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name },
  });
  const account = await backend.request("POST", `/api/v1/namespaces/${name}/serviceaccounts`, {
    body: { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } },
  });
  // 409: kube-controller-manager was quicker.
  if (account.status !== 201 && account.status !== 409)
    throw new Error(`ServiceAccount: ${account.status} ${account.body}`);
  return name;
}

/** Begins the deletion of a namespace and all that is in it; does not wait for its end. */
export async function deleteNamespace(backend: Backend, name: string): Promise<void> {
  await expectStatus(backend, "DELETE", `/api/v1/namespaces/${name}`);
}

/** Creates an object and answers it as the server stored it; throws when it is there already. */
export async function create(backend: Backend, object: KubernetesObject): ReturnType<typeof expectStatus> {
  const path = await pathOf(backend, object);
  return expectStatus(backend, "POST", path.slice(0, path.lastIndexOf("/")), object);
}

/**
 * Creates or changes an object by server-side apply (field manager `test`, forced) and answers it.
 *
 * Leaves an Apply entry in managedFields, which restartd takes for a sign of GitOps: for a plain workload use {@link create}.
 */
export async function apply(backend: Backend, object: KubernetesObject): ReturnType<typeof expectStatus> {
  const path = `${await pathOf(backend, object)}?fieldManager=test&force=true`;
  return expectStatus(backend, "PATCH", path, object, "application/apply-patch+yaml");
}

/** Deletes an object and waits until it is gone, its dependents in the background. Quiet when it is not there. */
export async function remove(cluster: ControlPlane, object: KubernetesObject): Promise<void> {
  const path = await pathOf(cluster, object);
  const answer = await cluster.request("DELETE", `${path}?propagationPolicy=Background`);
  if (answer.status === 404) return;
  if (answer.status >= 300) throw new Error(`DELETE ${path}: ${answer.status} ${answer.body}`);
  await until(cluster, path, (current) => current === undefined, { what: "its deletion" });
}

/** Path of an object, by the server's own discovery. */
export async function pathOf(backend: Backend, object: KubernetesObject): Promise<string> {
  const { apiVersion, kind, metadata } = object;
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const discovery = await expectStatus(backend, "GET", base);
  const resource = discovery.resources.find(
    (candidate: { kind: string; name: string }) => candidate.kind === kind && !candidate.name.includes("/"),
  );
  if (resource === undefined) throw new Error(`${base} serves no ${kind}`);
  const scope = resource.namespaced ? `/namespaces/${metadata.namespace ?? "default"}` : "";
  return `${base}${scope}/${resource.name}/${metadata.name}`;
}

/**
 * Waits until the object at `path` meets a condition and answers it; the condition gets undefined while it does not exist.
 *
 * A list, then watches: it sees every state, also those that last only a moment. Rejects with the last state seen.
 */
export async function until(
  cluster: ControlPlane,
  path: string,
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  condition: (object: any) => boolean,
  options: UntilOptions = {},
): ReturnType<typeof expectStatus> {
  const { what = "the condition", timeout = 30_000 } = options;
  const split = path.lastIndexOf("/");
  const query = `${path.slice(0, split)}?fieldSelector=metadata.name%3D${path.slice(split + 1)}`;
  const signal = AbortSignal.timeout(timeout);
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  let last: any;
  try {
    for (;;) {
      const list = await expectStatus(cluster, "GET", query);
      [last] = list.items;
      if (condition(last)) return last;
      for await (const event of cluster.watch(
        `${query}&watch=true&resourceVersion=${list.metadata.resourceVersion}`,
        signal,
      )) {
        // The version expired: list again.
        if (event.type === "ERROR") break;
        last = event.type === "DELETED" ? undefined : event.object;
        if (condition(last)) return last;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new Error(`${path}: waited ${timeout} ms for ${what}; last seen ${JSON.stringify(last)}`, { cause: error });
  }
}

async function expectStatus(
  backend: Backend,
  method: string,
  path: string,
  body?: unknown,
  contentType?: string,
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
): Promise<any> {
  const answer = await backend.request(method, path, { body, ...(contentType && { contentType }) });
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
  return answer.json();
}
