import { Failure, resourceInfo } from "../../../core/errors.ts";
import type { Caller } from "../../../core/identity.ts";
import { notSupported } from "../workload/hints.ts";
import { findKind, type Kind } from "../workload/kinds.ts";
import type { WorkloadRef } from "../workload/object.ts";
import type { ConfiguredCluster, OpenCluster } from "./cluster.ts";
import { recognize, requirePatchable } from "./discovery.ts";

/** The configured clusters by name. */
export type Clusters = ReadonlyMap<string, ConfiguredCluster>;

/** What a request names, found. */
export interface Found {
  readonly cluster: OpenCluster;
  readonly kind: Kind;
}

/** A configured cluster, as restartd's own account sees it. */
export function findCluster(clusters: Clusters, name: string): ConfiguredCluster {
  const cluster = clusters.get(name);
  if (cluster === undefined) {
    throw new Failure("CLUSTER_NOT_FOUND", `no cluster ${name} is configured; ListClusters names those that are`, {
      metadata: { cluster: name },
      details: [resourceInfo("cluster", name)],
    });
  }
  return cluster;
}

/** What a cluster serves under that name, and whether its kind can be restarted: checked in this order. */
export async function findServedKind(cluster: OpenCluster, ref: WorkloadRef): Promise<Kind> {
  const resource = await recognize(cluster.discovery, ref);
  requirePatchable(resource, ref);
  return findRestartable(ref);
}

/** The kind of something that can be restarted, without asking its cluster. */
export function findRestartable(ref: WorkloadRef): Kind {
  const kind = findKind(ref.group, ref.resource);
  if (kind === undefined) {
    throw notSupported(ref);
  }
  return kind;
}

/**
 * Finds what a caller's request names. Checks, in this order: the cluster, who the caller is there, what it serves under that name, and
 * whether its kind can be restarted.
 */
export async function find(clusters: Clusters, ref: WorkloadRef, caller: Caller): Promise<Found> {
  const cluster = findCluster(clusters, ref.cluster).forCaller(caller);
  return { cluster, kind: await findServedKind(cluster, ref) };
}
