import type { Answer } from "../../../clouds/http.ts";
import { badRequest, Failure, preconditionFailure, resourceInfo } from "../../../core/errors.ts";
import { nearName } from "../../../core/near-name.ts";
import type { Client } from "../client.ts";
import { failureOfRead } from "../errors.ts";
import { apiPath, subjectOf, type WorkloadRef } from "../workload/object.ts";
import { createMemory } from "./memory.ts";
import { isNotServed } from "./who-answered.ts";

/** One resource that an API server serves. */
export interface Resource {
  /** Plural. */
  readonly name: string;
  readonly singularName: string;
  readonly kind: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** What a cluster serves, remembered. */
export interface Discovery {
  /**
   * Resources of a group's version, without subresources; undefined when the cluster does not serve it. Callers at the same time
   * share one request; failures are not remembered.
   *
   * @param maxAgeMs how old (ms) a remembered answer may be. Default {@link DISCOVERY_TTL_MS}.
   */
  resources(group: string, version: string, maxAgeMs?: number): Promise<readonly Resource[] | undefined>;
  /** Forgets a group's version, after the server said that something of it is not there. */
  forget(group: string, version: string): void;
}

/** How long (ms) an answer holds. */
export const DISCOVERY_TTL_MS = 10 * 60 * 1000;

/** How old (ms) an answer may be that lacks what is looked for: a new resource is seen this much later at most. */
const MISSING_TTL_MS = 1_000;

const TIMEOUT_MS = 10_000;

/** Groups and versions, served or not, that are remembered: callers choose the names. */
const REMEMBERED = 1_000;

/** Opens a cluster's discovery cache. `monotonic` is a clock in milliseconds that never goes back. */
export function createDiscovery(cluster: string, client: Client, monotonic: () => number): Discovery {
  const cache = createMemory<{ at: number; resources: Promise<readonly Resource[] | undefined> }>(REMEMBERED);
  const fetchResources = async (group: string, version: string): Promise<readonly Resource[] | undefined> => {
    const path = apiPath(group, version);
    // It serves every caller that waits for it, so that none of them may end it.
    const answer = await readOrFail(cluster, client, path);
    if (isNotServed(answer)) {
      return undefined;
    }
    const list = answer.json as { resources?: Partial<Resource>[] } | undefined;
    if (answer.status !== 200 || !Array.isArray(list?.resources)) {
      throw failureOfRead(answer, { cluster, verb: "discover", what: path });
    }
    return list.resources.filter(({ name }) => !name?.includes("/")).map(toResource);
  };
  return {
    resources(group, version, maxAgeMs = DISCOVERY_TTL_MS) {
      const key = `${group}/${version}`;
      const hit = cache.get(key);
      if (hit !== undefined && monotonic() - hit.at < maxAgeMs) {
        return hit.resources;
      }
      const resources = fetchResources(group, version);
      cache.set(key, { at: monotonic(), resources });
      resources.catch(() => {
        if (cache.get(key)?.resources === resources) {
          cache.delete(key);
        }
      });
      return resources;
    },
    forget: (group, version) => void cache.delete(`${group}/${version}`),
  };
}

async function readOrFail(cluster: string, client: Client, path: string): Promise<Answer> {
  try {
    return await client.request({
      method: "GET",
      operation: "discover",
      path,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      timeoutMs: TIMEOUT_MS,
    });
  } catch (error) {
    throw failureOfRead(error, { cluster, verb: "discover", what: path });
  }
}

const toResource = (entry: Partial<Resource>): Resource => ({
  name: entry.name ?? "",
  singularName: entry.singularName ?? "",
  kind: entry.kind ?? "",
  shortNames: entry.shortNames ?? [],
  namespaced: entry.namespaced ?? false,
  verbs: entry.verbs ?? [],
});

/** Finds the resource that a request names, and refuses it with the near name when the cluster has none of that plural. */
export async function recognize(discovery: Discovery, ref: WorkloadRef): Promise<Resource> {
  const { group, version } = ref;
  const find = (resources: readonly Resource[] | undefined) => resources?.find(({ name }) => name === ref.resource);
  const known = find(await discovery.resources(group, version));
  if (known !== undefined) {
    return known;
  }
  const served = await discovery.resources(group, version, MISSING_TTL_MS);
  if (served === undefined) {
    const name = `${group || "core"}/${version}`;
    throw new Failure("API_VERSION_NOT_SERVED", `cluster ${ref.cluster} does not serve ${name}`, {
      metadata: { cluster: ref.cluster, group, version },
      details: [resourceInfo("kubernetes.api_version", name)],
    });
  }
  const found = find(served);
  if (found === undefined) {
    throw notRecognized(ref, served);
  }
  return found;
}

/** Refuses what cannot be restarted because of where it lives or because nobody can patch it. */
export function requirePatchable(resource: Resource, ref: WorkloadRef): void {
  if (!resource.namespaced) {
    const description = `${resource.name} are cluster-scoped: they have no namespace`;
    throw new Failure("SCOPE_MISMATCH", description, {
      details: [badRequest([{ field: "namespace", description, reason: "SCOPE_MISMATCH" }])],
    });
  }
  if (!resource.verbs.includes("patch")) {
    const description = `the API server does not let anybody patch ${resource.name}`;
    throw new Failure("RESTART_NOT_SUPPORTED", description, {
      metadata: { group: ref.group, resource: ref.resource },
      details: [preconditionFailure([{ type: "RESTART_NOT_SUPPORTED", subject: subjectOf(ref), description }])],
    });
  }
}

function notRecognized(ref: WorkloadRef, served: readonly Resource[]): Failure {
  const wanted = ref.resource.toLowerCase();
  const synonym = served.find(({ kind, singularName, shortNames }) =>
    [kind.toLowerCase(), singularName, ...shortNames].includes(wanted),
  );
  const near =
    synonym?.name ??
    nearName(
      ref.resource,
      served.map(({ name }) => name),
    );
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  // The first half is what kubectl's RESTMapper says, so that people recognise it.
  const message = `unable to recognize resource ${ref.group}/${ref.version}, Resource=${ref.resource}${hint}`;
  return new Failure("RESOURCE_NOT_RECOGNIZED", message, {
    metadata: { group: ref.group, version: ref.version, resource: ref.resource, ...(near && { near }) },
    details: [
      badRequest([
        {
          field: "resource",
          reason: "RESOURCE_NOT_RECOGNIZED",
          description: near ? `did you mean ${near}?` : `${ref.group || "core"}/${ref.version} serves no such resource`,
        },
      ]),
    ],
  });
}
