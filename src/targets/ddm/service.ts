import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Instance as InstanceMessage, InstanceSchema } from "../../../gen/restart/ddm/v1/instance_pb.ts";
import { type InstanceService, ListInstancesResponseSchema } from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { callKey } from "../../core/call.ts";
import { readOffset, readPageToken, writePageToken } from "../../core/page-token.ts";
import type { Runtime } from "../../core/target.ts";
import { type RestartAction, toRef } from "./action.ts";
import type { DdmClient, Instance } from "./client.ts";
import { targetName } from "./errors.ts";

/** What the service works with. */
export interface ServiceOptions {
  /** @throws Failure PROJECT_NOT_FOUND */
  readonly clientOf: (projectId: string) => DdmClient;
  /** What RestartInstance does. */
  readonly restart: RestartAction;
  readonly runtime: Pick<Runtime, "operations">;
}

const DEFAULT_PAGE_SIZE = 100;

/** restart.ddm.v1.InstanceService. Its requests have passed the rules of their schema. */
export function createInstanceService(options: ServiceOptions): ServiceImpl<typeof InstanceService> {
  const { clientOf, restart, runtime } = options;
  return {
    restartInstance: (request, context) => runtime.operations.run(restart, request, context),

    async getInstance(request, { signal, values }) {
      values.get(callKey).target = targetName(request);
      return toMessage(await clientOf(request.projectId).instance(toRef(request), signal));
    },

    async listInstances({ projectId, pageSize, pageToken }, { signal }) {
      const client = clientOf(projectId);
      const query = ["ddm", projectId];
      const limit = pageSize || DEFAULT_PAGE_SIZE;
      const begin = readPageToken(pageToken, query, readOffset) ?? 0;
      const { instances, total } = await client.instances(begin, limit, signal);
      const end = begin + instances.length;
      const more = instances.length > 0 && (total === undefined ? instances.length >= limit : end < total);
      return create(ListInstancesResponseSchema, {
        instances: instances.map(toMessage),
        nextPageToken: more ? writePageToken(end, query) : "",
      });
    },
  };
}

const toMessage = ({ id, ...instance }: Instance): InstanceMessage =>
  create(InstanceSchema, { instanceId: id, ...instance });
