import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { InstanceSchema } from "../../../gen/restart/dcs/v1/instance_pb.ts";
import { type InstanceService, ListInstancesResponseSchema } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import type { Projects } from "../../clouds/huawei/project.ts";
import { callKey } from "../../core/call.ts";
import { Failure } from "../../core/errors.ts";
import { readOffset, readPageToken, writePageToken } from "../../core/page-token.ts";
import type { Runtime } from "../../core/target.ts";
import type { FlushAction, RestartAction } from "./action.ts";
import { createClient } from "./client.ts";
import { askedAboutAll, targetName } from "./errors.ts";
import type { DcsInstance } from "./instance.ts";

/** What the service works with. */
export interface ServiceOptions {
  readonly projects: Pick<Projects, "find">;
  /** What RestartInstances does. */
  readonly restart: RestartAction;
  /** What FlushInstances does. */
  readonly flush: FlushAction;
  readonly runtime: Pick<Runtime, "operations">;
}

const DEFAULT_PAGE_SIZE = 100;

/** restart.dcs.v1.InstanceService. Its requests have passed the rules of their schema. */
export function createInstanceService(options: ServiceOptions): ServiceImpl<typeof InstanceService> {
  const { projects, restart, flush, runtime } = options;
  return {
    restartInstances: (request, context) => runtime.operations.runAll(restart, request, context),

    flushInstances: (request, context) => runtime.operations.runAll(flush, request, context),

    async getInstance({ projectId, instanceId }, { signal, values }) {
      values.get(callKey).target = targetName(projectId, instanceId);
      const client = createClient(projects.find(projectId));
      const instance = await client.instance(instanceId, signal);
      const appendOnly = await client.appendOnly(instanceId, signal).catch((error: unknown) => {
        if (error instanceof Failure && !signal.aborted) return undefined; // it is left unset then
        throw error;
      });
      return create(InstanceSchema, { ...shown(instance), ...(appendOnly !== undefined && { appendOnly }) });
    },

    async listInstances({ projectId, pageSize, pageToken }, { signal, values }) {
      values.get(callKey).target = askedAboutAll(projectId).target;
      const project = projects.find(projectId);
      const query = ["dcs", projectId];
      const offset = readPageToken(pageToken, query, readOffset) ?? 0;
      const limit = pageSize || DEFAULT_PAGE_SIZE;
      const { instances, total } = await createClient(project).instances({ offset, limit }, signal);
      const next = offset + instances.length;
      const more = total === undefined ? instances.length >= limit : next < total && instances.length > 0;
      return create(ListInstancesResponseSchema, {
        instances: instances.map((instance) => create(InstanceSchema, shown(instance))),
        nextPageToken: more ? writePageToken(next, query) : "",
      });
    },
  };
}

const shown = (instance: DcsInstance): MessageInitShape<typeof InstanceSchema> => ({
  instanceId: instance.instanceId,
  name: instance.name,
  status: instance.status,
  task: instance.task,
  engine: instance.engine,
  engineVersion: instance.engineVersion,
  cacheMode: instance.cacheMode,
  replicaCount: instance.replicaCount ?? 0,
});
