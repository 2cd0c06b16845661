import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { ListWorkloadsRequest, WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { callKey } from "../../core/call.ts";
import { callerIn } from "../../core/identity.ts";
import { opened } from "../../core/opened.ts";
import type { Runtime } from "../../core/target.ts";
import type { RestartAction } from "./action.ts";
import type { OpenCluster } from "./cluster/cluster.ts";
import { type Clusters, find, findCluster, findServedKind } from "./cluster/find.ts";
import { LISTED_KINDS, type ListedKind, listClusters, listWorkloads } from "./cluster/lists.ts";
import { getRollout, watchRollout } from "./rollout/watch-rollout.ts";
import { targetName, toRef, type WorkloadRef } from "./workload/object.ts";

/** What the service works with. */
export interface ServiceOptions {
  readonly clusters: Clusters;
  /** What Restart does. */
  readonly restart: RestartAction;
  readonly runtime: Pick<Runtime, "operations">;
}

/** restart.kubernetes.v1.WorkloadService. Its requests have passed the rules of their schema. */
export function createWorkloadService(options: ServiceOptions): ServiceImpl<typeof WorkloadService> {
  const { clusters, restart, runtime } = options;

  const found = (ref: WorkloadRef, context: HandlerContext) => {
    context.values.get(callKey).target = targetName(ref);
    return find(clusters, ref, callerIn(context));
  };

  return {
    restart(request, context) {
      context.values.get(callKey).target = restart.targetOf(request);
      return runtime.operations.run(restart, request, context);
    },

    async getRollout(request, context) {
      const ref = toRef(request);
      const { cluster, kind } = await found(ref, context);
      return getRollout(cluster, kind, ref, context.signal);
    },

    watchRollout(request, context) {
      const ref = toRef(request);
      return opened(async () => {
        const { cluster, kind } = await found(ref, context);
        return watchRollout(cluster, kind, ref, request.restartedAt || undefined, context.signal);
      });
    },

    listClusters: (request, context) => listClusters(clusters, request, context.signal),

    async listWorkloads(request, context) {
      const cluster = findCluster(clusters, request.cluster).forCaller(callerIn(context));
      const kinds = await kindsAskedFor(cluster, request);
      return listWorkloads(cluster, kinds, request, context.signal);
    },
  };
}

async function kindsAskedFor(cluster: OpenCluster, request: ListWorkloadsRequest): Promise<readonly ListedKind[]> {
  if (request.resource === "") {
    return LISTED_KINDS;
  }
  const { group, version, resource, namespace } = request;
  const ref = { cluster: cluster.name, group, version, resource, namespace: namespace || "*", name: "*" };
  return [{ kind: await findServedKind(cluster, ref), version }];
}
