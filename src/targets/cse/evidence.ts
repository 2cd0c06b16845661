import type { JsonObject } from "@bufbuild/protobuf";
import type { Engine, EngineJob } from "./engine.ts";

/**
 * What an operation keeps of a retry, so that whoever looks later, in whichever process, can tell its job's new run from the failure
 * before it: the same job is run again, under the same id.
 */
export interface RetryEvidence {
  /** The engine's name before the request. */
  readonly engineName: string;
  readonly engineStatus: string;
  /** Whether the job is one that deletes the engine. */
  readonly deletes: boolean;
  /** The latest job before the request; undefined when it could not be read. */
  readonly job: Pick<EngineJob, "id" | "type" | "status" | "startTime" | "endTime"> | undefined;
  /** When the request was about to leave, epoch ms. */
  readonly sentAt: number;
  /** Whether something was seen that only a new run shows. */
  readonly moved: boolean;
  /** How many looks in a row have shown the job as it was before. */
  readonly unchanged: number;
  /** Whether the last look has shown no engine. */
  readonly gone: boolean;
}

/** What is recorded before the request leaves. */
export const plannedEvidence = (
  engine: Engine,
  job: EngineJob | undefined,
  deletes: boolean,
  sentAt: number,
): RetryEvidence => ({
  engineName: engine.name,
  engineStatus: engine.status,
  deletes,
  job,
  sentAt,
  moved: false,
  unchanged: 0,
  gone: false,
});

/** As it is stored. */
export function writeEvidence({ engineName, engineStatus, deletes, job, ...rest }: RetryEvidence): JsonObject {
  return {
    engine_name: engineName,
    engine_status: engineStatus,
    deletes,
    ...(job !== undefined && {
      job_id: job.id,
      job_type: job.type,
      job_status: job.status,
      ...(job.startTime !== undefined && { start_time: job.startTime }),
      ...(job.endTime !== undefined && { end_time: job.endTime }),
    }),
    sent_at: rest.sentAt,
    moved: rest.moved,
    unchanged: rest.unchanged,
    gone: rest.gone,
  };
}

/** Reads what was stored. Undefined without what every request that could leave has recorded. */
export function readEvidence(json: JsonObject): RetryEvidence | undefined {
  const { engine_name: engineName, engine_status: engineStatus, job_id: id, job_type: type, job_status: status } = json;
  if (typeof engineName !== "string" || typeof json.sent_at !== "number") {
    return undefined;
  }
  return {
    engineName,
    engineStatus: typeof engineStatus === "string" ? engineStatus : "",
    deletes: json.deletes === true,
    job:
      typeof id === "number" && typeof type === "string" && typeof status === "string"
        ? { id, type, status, startTime: numberOf(json.start_time), endTime: numberOf(json.end_time) }
        : undefined,
    sentAt: json.sent_at,
    moved: json.moved === true,
    unchanged: numberOf(json.unchanged) ?? 0,
    gone: json.gone === true,
  };
}

const numberOf = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
