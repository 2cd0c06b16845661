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
import { Failure } from "../../../core/errors.ts";
import { badField, readPageToken, writePageToken } from "../../../core/page-token.ts";
import { statusOf } from "../../../core/status.ts";
import { failureOfRead, type RequestSubject } from "../errors.ts";
import { KINDS, type Kind } from "../workload/kinds.ts";
import { restartedAt } from "../workload/known.ts";
import { apiPath, asWorkload, type WorkloadObject } from "../workload/object.ts";
import type { OpenCluster } from "./cluster.ts";
import { isExpired, statusIn } from "./who-answered.ts";

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
    const answer = await clusters.get(name)?.client.request({
      method: "GET",
      operation: "version",
      path: "/version",
      signal: limit,
      timeoutMs: REACH_TIMEOUT_MS,
    });
    const version = answer?.json as { gitVersion?: unknown } | null | undefined;
    // A login page answers 200 as well.
    const serverVersion = answer?.status === 200 && typeof version?.gitVersion === "string" ? version.gitVersion : "";
    return create(ClusterSchema, { name, reachable: serverVersion !== "", serverVersion });
  } catch {
    signal.throwIfAborted();
    return create(ClusterSchema, { name, reachable: false }); // what it is asked for
  }
}

/** Where a list of workloads goes on: the kind by its place among those asked for, and the API server's own token within it. */
interface Position {
  readonly kind: number;
  readonly continue: string;
}

/** A kind to list, in one version. */
export interface ListedKind {
  readonly kind: Kind;
  readonly version: string;
}

/** Every kind that can be listed, in the version that lists ask for, whether a cluster serves it or not. */
export const LISTED_KINDS: readonly ListedKind[] = KINDS.flatMap((kind) =>
  kind.listedVersion === undefined ? [] : [{ kind, version: kind.listedVersion }],
);

/**
 * Lists a page of workloads: kinds are gone through until it is full, or nothing is left. Of several kinds, one that cannot be listed is
 * named on the page and left out; it is an error when none can.
 *
 * @param kinds what was asked for: one kind, which the cluster serves, or {@link LISTED_KINDS}.
 */
export async function listWorkloads(
  cluster: OpenCluster,
  kinds: readonly ListedKind[],
  request: ListWorkloadsRequest,
  signal: AbortSignal,
): Promise<ListWorkloadsResponse> {
  const query = [
    request.cluster,
    request.group,
    request.version,
    request.resource,
    request.namespace,
    request.labelSelector,
  ];
  const size = request.pageSize || DEFAULT_PAGE_SIZE;
  const workloads: Workload[] = [];
  const failures: Failure[] = [];
  let listed = request.pageToken !== "";
  let position = readPageToken(request.pageToken, query, positionAmong(kinds.length)) ?? { kind: 0, continue: "" };
  for (let entry = kinds[position.kind]; entry !== undefined && workloads.length < size; entry = kinds[position.kind]) {
    const limit = size - workloads.length;
    try {
      const page = await listPage(
        cluster,
        entry,
        request,
        { limit, token: position.continue, several: kinds.length > 1 },
        signal,
      );
      listed ||= page !== undefined;
      workloads.push(...(page?.workloads ?? []));
      position = page?.continue ? { ...position, continue: page.continue } : { kind: position.kind + 1, continue: "" };
    } catch (error) {
      // A wrong field, or a caller who has left, is the whole list's.
      if (kinds.length === 1 || !(error instanceof Failure) || error.reason === "INVALID_ARGUMENT") {
        throw error;
      }
      if (error.reason === "API_VERSION_NOT_SERVED") {
        cluster.discovery.forget(entry.kind.group, entry.version);
      }
      failures.push(ofKind(entry, error));
      position = { kind: position.kind + 1, continue: "" };
    }
  }
  const more = position.kind < kinds.length;
  const [first] = failures;
  if (first !== undefined && !listed && !more) {
    throw first;
  }
  return create(ListWorkloadsResponseSchema, {
    workloads,
    nextPageToken: more ? writePageToken([position.kind, position.continue], query) : "",
    unavailable: failures.map(statusOf),
  });
}

/** A page of one kind, or undefined where it is one of several and the cluster does not serve it. */
async function listPage(
  { client, discovery, name: cluster }: OpenCluster,
  { kind, version }: ListedKind,
  { namespace, labelSelector }: ListWorkloadsRequest,
  { limit, token, several }: { readonly limit: number; readonly token: string; readonly several: boolean },
  signal: AbortSignal,
): Promise<{ workloads: Workload[]; continue: string } | undefined> {
  const { group, resource } = kind;
  if (several && !(await discovery.resources(group, version))?.some(({ name }) => name === resource)) {
    return undefined;
  }
  const where = namespace === "" ? "" : `namespaces/${namespace}/`;
  const subject: RequestSubject = { cluster, verb: "list", what: `${resource}.${group}`, as: client.as };
  const query = { limit: String(limit), continue: token || undefined, labelSelector: labelSelector || undefined };
  const path = `${apiPath(group, version)}/${where}${resource}`;
  const answer = await client
    .request({ method: "GET", operation: "list", path, query, signal, timeoutMs: LIST_TIMEOUT_MS })
    .catch((error: unknown) => {
      signal.throwIfAborted();
      throw failureOfRead(error, subject);
    });
  const refusedAsWrong = answer.status === 400 && statusIn(answer) !== undefined;
  if (isExpired(answer) || (refusedAsWrong && token !== "" && answer.text.includes("continue"))) {
    throw badField("page_token", "has expired: begin again without it");
  }
  if (refusedAsWrong && labelSelector !== "") {
    throw badField("label_selector", "is not a label selector, such as app=web,tier in (front,back)");
  }
  const list = answer.json as { items?: unknown[]; metadata?: { continue?: string } } | undefined;
  if (answer.status !== 200 || !Array.isArray(list?.items)) {
    throw failureOfRead(answer, subject);
  }
  const objects = list.items.map(asWorkload).filter((object) => object !== undefined);
  return {
    workloads: objects.map((object) => toWorkload(kind, version, object)),
    continue: list.metadata?.continue ?? "",
  };
}

/** A failure that names the kind it is about. */
const ofKind = ({ kind: { group, resource }, version }: ListedKind, failure: Failure): Failure =>
  new Failure(failure.reason, failure.message, {
    metadata: { ...failure.metadata, group, version, resource },
    details: failure.details,
    cause: failure.cause,
  });

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
