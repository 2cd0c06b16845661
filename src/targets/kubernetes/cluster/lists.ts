import { create } from "@bufbuild/protobuf";
import {
  type Cluster,
  ClusterSchema,
  type Workload,
  WorkloadSchema,
} from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import type {
  ListClustersRequest,
  ListClustersResponse,
  ListWorkloadsRequest,
  ListWorkloadsResponse,
} from "../../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import {
  ListClustersResponseSchema,
  ListWorkloadsResponseSchema,
} from "../../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { badField, readPageToken, writePageToken } from "../../../core/page-token.ts";
import { failureOfRead, type RequestSubject } from "../errors.ts";
import { KINDS, type Kind } from "../workload/kinds.ts";
import { restartedAt } from "../workload/known.ts";
import { apiPath, asWorkload, type WorkloadObject } from "../workload/object.ts";
import type { OpenCluster } from "./cluster.ts";

const DEFAULT_PAGE_SIZE = 100;

/** A cluster that does not say its version within this (ms) counts as not reachable. */
const REACH_TIMEOUT_MS = 3_000;

const LIST_TIMEOUT_MS = 30_000;

/** Lists the configured clusters by name, asking each of the page for its version. */
export async function listClusters(
  clusters: ReadonlyMap<string, OpenCluster>,
  { pageSize, pageToken }: ListClustersRequest,
  signal: AbortSignal,
): Promise<ListClustersResponse> {
  const names = [...clusters.keys()].sort();
  const after = readPageToken(pageToken, ["clusters"], readName) ?? "";
  const rest = names.filter((name) => name > after);
  const page = rest.slice(0, pageSize || DEFAULT_PAGE_SIZE);
  const last = page.length < rest.length ? page.at(-1) : undefined;
  return create(ListClustersResponseSchema, {
    clusters: await Promise.all(page.map((name) => describe(name, clusters, signal))),
    nextPageToken: last === undefined ? "" : writePageToken(last, ["clusters"]),
  });
}

async function describe(
  name: string,
  clusters: ReadonlyMap<string, OpenCluster>,
  signal: AbortSignal,
): Promise<Cluster> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(REACH_TIMEOUT_MS)]);
  try {
    const answer = await clusters
      .get(name)
      ?.client.request({ method: "GET", path: "/version", signal: limit, timeoutMs: REACH_TIMEOUT_MS });
    const version = answer?.json as { gitVersion?: string } | undefined;
    return create(ClusterSchema, { name, reachable: answer?.status === 200, serverVersion: version?.gitVersion ?? "" });
  } catch {
    signal.throwIfAborted();
    return create(ClusterSchema, { name, reachable: false }); // what it is asked for
  }
}

/** Where a list of workloads goes on: the kind by its place in {@link KINDS}, and the API server's own token within it. */
interface Position {
  readonly kind: number;
  readonly continue: string;
}

/**
 * Lists a page of workloads: kinds are gone through until it is full, or nothing is left.
 *
 * @param kinds what was asked for: one kind, or all.
 */
export async function listWorkloads(
  cluster: OpenCluster,
  kinds: readonly { readonly kind: Kind; readonly version: string }[],
  request: ListWorkloadsRequest,
  signal: AbortSignal,
): Promise<ListWorkloadsResponse> {
  const asked = [
    request.cluster,
    request.group,
    request.version,
    request.resource,
    request.namespace,
    request.labelSelector,
  ];
  const size = request.pageSize || DEFAULT_PAGE_SIZE;
  const workloads: Workload[] = [];
  let position = readPageToken(request.pageToken, asked, positionAmong(kinds.length)) ?? { kind: 0, continue: "" };
  while (workloads.length < size) {
    const entry = kinds[position.kind];
    if (entry === undefined) {
      return create(ListWorkloadsResponseSchema, { workloads });
    }
    const page = await listPage(
      cluster,
      entry.kind,
      entry.version,
      request,
      size - workloads.length,
      position.continue,
      signal,
    );
    workloads.push(...page.objects.map((object) => toWorkload(entry.kind, entry.version, object)));
    position =
      page.continue === "" ? { kind: position.kind + 1, continue: "" } : { ...position, continue: page.continue };
  }
  const more = position.kind < kinds.length;
  return create(ListWorkloadsResponseSchema, {
    workloads,
    nextPageToken: more ? writePageToken([position.kind, position.continue], asked) : "",
  });
}

/** Every kind that the cluster serves, in the version that lists ask for. */
export async function servedKinds(cluster: OpenCluster): Promise<{ kind: Kind; version: string }[]> {
  const candidates = KINDS.flatMap((kind) =>
    kind.listedVersion === undefined ? [] : [{ kind, version: kind.listedVersion }],
  );
  const served = await Promise.all(
    candidates.map(async ({ kind, version }) => {
      const resources = await cluster.discovery.resources(kind.group, version);
      return resources?.some(({ name }) => name === kind.resource) ?? false;
    }),
  );
  return candidates.filter((_, index) => served[index]);
}

async function listPage(
  { client, name: cluster }: OpenCluster,
  kind: Kind,
  version: string,
  { namespace, labelSelector }: ListWorkloadsRequest,
  limit: number,
  token: string,
  signal: AbortSignal,
): Promise<{ objects: WorkloadObject[]; continue: string }> {
  const where = namespace === "" ? "" : `namespaces/${namespace}/`;
  const asked: RequestSubject = { cluster, verb: "list", what: `${kind.resource}.${kind.group}` };
  const query = { limit: String(limit), continue: token || undefined, labelSelector: labelSelector || undefined };
  const path = `${apiPath(kind.group, version)}/${where}${kind.resource}`;
  const answer = await client
    .request({ method: "GET", path, query, signal, timeoutMs: LIST_TIMEOUT_MS })
    .catch((error: unknown) => {
      signal.throwIfAborted();
      throw failureOfRead(error, asked);
    });
  if (answer.status === 410 || (answer.status === 400 && token !== "" && answer.text.includes("continue"))) {
    throw badField("page_token", "has expired: begin again without it");
  }
  if (answer.status === 400 && labelSelector !== "") {
    throw badField("label_selector", "is not a label selector, such as app=web,tier in (front,back)");
  }
  const list = answer.json as { items?: unknown[]; metadata?: { continue?: string } } | undefined;
  if (answer.status !== 200 || !Array.isArray(list?.items)) {
    throw failureOfRead(answer, asked);
  }
  const objects = list.items.map(asWorkload).filter((object) => object !== undefined);
  return { objects, continue: list.metadata?.continue ?? "" };
}

function toWorkload(kind: Kind, version: string, object: WorkloadObject): Workload {
  const { namespace = "", name, uid } = object.metadata;
  return create(WorkloadSchema, {
    group: kind.group,
    version,
    resource: kind.resource,
    namespace,
    name,
    uid,
    paused: object.spec?.paused === true,
    restartedAt: restartedAt(kind, object) ?? "",
    ...countsOf(kind, object),
  });
}

/** DaemonSets count nodes, everything else replicas. */
function countsOf({ resource }: Kind, { spec, status }: WorkloadObject): { desired: number; ready: number } {
  return resource === "daemonsets"
    ? { desired: status?.desiredNumberScheduled ?? 0, ready: status?.numberReady ?? 0 }
    : { desired: spec?.replicas ?? 1, ready: status?.readyReplicas ?? 0 };
}

const readName = (place: unknown): string | undefined => (typeof place === "string" ? place : undefined);

/** Reads a {@link Position} among so many kinds. */
const positionAmong =
  (kinds: number) =>
  (place: unknown): Position | undefined => {
    const [kind, rest]: unknown[] = Array.isArray(place) ? place : [];
    return typeof kind === "number" && Number.isInteger(kind) && kind >= 0 && kind < kinds && typeof rest === "string"
      ? { kind, continue: rest }
      : undefined;
  };
