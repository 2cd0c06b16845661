import { randomInt } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  ListWorkloadsRequest,
  RestartRequest,
  WorkloadService,
} from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { callKey, type Warning, warn } from "../../core/call.ts";
import { remainingMs } from "../../core/deadline.ts";
import { badRequest, Failure, resourceInfo } from "../../core/errors.ts";
import type { Runtime } from "../../core/target.ts";
import type { OpenCluster } from "./cluster.ts";
import { recognize, requirePatchable } from "./discovery.ts";
import { notSupported } from "./hints.ts";
import { findKind, type Kind } from "./kinds.ts";
import { listClusters, listWorkloads, servedKinds } from "./lists.ts";
import { targetName, type WorkloadRef } from "./object.ts";
import { restart, whileWanted } from "./restart.ts";
import { getRollout, watchRollout } from "./watch-rollout.ts";

/** What the service works with. */
export interface ServiceOptions {
  readonly clusters: ReadonlyMap<string, OpenCluster>;
  /** `fieldManager` of every write. */
  readonly fieldManager: string;
  readonly runtime: Runtime;
}

/** restart.kubernetes.v1.WorkloadService. Its requests have passed the rules of their schema. */
export function createWorkloadService(options: ServiceOptions): ServiceImpl<typeof WorkloadService> {
  const { clusters, fieldManager, runtime } = options;

  const clusterOf = (name: string): OpenCluster => {
    const cluster = clusters.get(name);
    if (cluster === undefined) {
      throw new Failure("CLUSTER_NOT_FOUND", `no cluster ${name} is configured; ListClusters names those that are`, {
        metadata: { cluster: name },
        details: [resourceInfo("cluster", name)],
      });
    }
    return cluster;
  };
  /** Checks, in this order: the cluster, what it serves under that name, and whether its kind can be restarted. */
  const find = async (ref: WorkloadRef, context: HandlerContext) => {
    const call = context.values.get(callKey);
    call.target = targetName(ref);
    const cluster = clusterOf(ref.cluster);
    return { call, cluster, kind: await kindOf(cluster, ref) };
  };

  return {
    async restart(request, context) {
      refuseRequestId(request);
      const ref = toRef(request);
      const { call, cluster, kind } = await find(ref, context);
      const restarting = {
        cluster,
        kind,
        ref,
        call,
        signal: context.signal,
        remainingMs: () => remainingMs(context.values),
        validateOnly: request.validateOnly,
        fieldManager,
        now: runtime.now,
        digits: () => String(randomInt(1_000_000)).padStart(6, "0"),
        background: runtime.background,
        warn: (warnings: readonly Warning[]) => warn(context, warnings),
        sent: {},
      };
      await whileWanted(restarting, restart(restarting));
      return create(EmptySchema);
    },

    async getRollout(request, context) {
      const ref = toRef(request);
      const { cluster, kind } = await find(ref, context);
      return getRollout(cluster, kind, ref, context.signal);
    },

    async *watchRollout(request, context) {
      const ref = toRef(request);
      const { cluster, kind } = await find(ref, context);
      yield* watchRollout(cluster, kind, ref, request.restartedAt || undefined, context.signal);
    },

    listClusters: (request, context) => listClusters(clusters, request, context.signal),

    async listWorkloads(request, context) {
      const cluster = clusterOf(request.cluster);
      const kinds = await kindsAskedFor(cluster, request);
      return listWorkloads(cluster, kinds, request, context.signal);
    },
  };
}

/** Fields 1 to 6, which every request about one workload has. */
const toRef = ({ cluster, group, version, resource, namespace, name }: WorkloadRef): WorkloadRef => ({
  cluster,
  group,
  version,
  resource,
  namespace,
  name,
});

async function kindOf(cluster: OpenCluster, ref: WorkloadRef): Promise<Kind> {
  const resource = await recognize(cluster.discovery, ref);
  requirePatchable(resource, ref);
  const kind = findKind(ref.group, ref.resource);
  if (kind === undefined) {
    throw notSupported(ref);
  }
  return kind;
}

async function kindsAskedFor(cluster: OpenCluster, request: ListWorkloadsRequest) {
  if (request.resource === "") {
    return servedKinds(cluster);
  }
  const { group, version, resource, namespace } = request;
  const ref = { cluster: cluster.name, group, version, resource, namespace: namespace || "*", name: "*" };
  return [{ kind: await kindOf(cluster, ref), version }];
}

/** Until calls can be repeated, one that relies on it must not run: it would restart again. */
function refuseRequestId({ requestId }: RestartRequest): void {
  if (requestId !== "") {
    const description =
      "is not supported by this version, which cannot tell a repeated call from a new one; leave it out";
    throw new Failure("UNSUPPORTED_PROTOCOL", `request_id ${description}`, {
      details: [badRequest([{ field: "request_id", description, reason: "UNSUPPORTED" }])],
    });
  }
}
