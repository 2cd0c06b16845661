import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { EngineJobSchema, type Engine as EngineMessage, EngineSchema } from "../../../gen/restart/cse/v1/engine_pb.ts";
import { type EngineService, ListEnginesResponseSchema } from "../../../gen/restart/cse/v1/engine_service_pb.ts";
import { callKey } from "../../core/call.ts";
import { readOffset, readPageToken, writePageToken } from "../../core/page-token.ts";
import type { Runtime } from "../../core/target.ts";
import { type RetryAction, toRef } from "./action.ts";
import type { CseClient } from "./client.ts";
import type { Engine } from "./engine.ts";
import { targetName } from "./errors.ts";

/** What the service works with. */
export interface ServiceOptions {
  /** @throws Failure PROJECT_NOT_FOUND */
  readonly clientOf: (projectId: string) => CseClient;
  /** What RetryEngine does. */
  readonly retry: RetryAction;
  readonly runtime: Pick<Runtime, "operations">;
}

const DEFAULT_PAGE_SIZE = 100;

/** restart.cse.v1.EngineService. Its requests have passed the rules of their schema. */
export function createEngineService({ clientOf, retry, runtime }: ServiceOptions): ServiceImpl<typeof EngineService> {
  return {
    retryEngine: (request, context) => runtime.operations.run(retry, request, context),

    async getEngine(request, { signal, values }) {
      values.get(callKey).target = targetName(request);
      return toMessage(await clientOf(request.projectId).engine(toRef(request), signal));
    },

    async getEngineJob(request, { signal, values }) {
      values.get(callKey).target = targetName(request);
      const job = await clientOf(request.projectId).job(toRef(request), request.jobId, signal);
      const [startTime, endTime] = [timestampOf(job.startTime), timestampOf(job.endTime)];
      return create(EngineJobSchema, {
        id: BigInt(job.id),
        engineId: job.engineId || request.engineId,
        type: job.type,
        status: job.status,
        ...(startTime && { startTime }),
        ...(endTime && { endTime }),
      });
    },

    async listEngines({ projectId, enterpriseProjectId, pageSize, pageToken }, { signal }) {
      const client = clientOf(projectId);
      const query = ["cse", projectId, enterpriseProjectId];
      const begin = readPageToken(pageToken, query, readOffset) ?? 0;
      const end = begin + (pageSize || DEFAULT_PAGE_SIZE);
      const { engines, total } = await client.engines(enterpriseProjectId, end, signal);
      return create(ListEnginesResponseSchema, {
        engines: engines.slice(begin, end).map(toMessage),
        nextPageToken: end < total ? writePageToken(end, query) : "",
      });
    },
  };
}

const toMessage = ({ latestJobId = 0, ...engine }: Engine): EngineMessage =>
  create(EngineSchema, { ...engine, latestJobId: BigInt(latestJobId) });

const timestampOf = (milliseconds: number | undefined): Timestamp | undefined =>
  milliseconds === undefined ? undefined : timestampFromMs(milliseconds);
