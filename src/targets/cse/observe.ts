import { create } from "@bufbuild/protobuf";
import { type RetryEngineResponse, RetryEngineResponseSchema } from "../../../gen/restart/cse/v1/engine_service_pb.ts";
import { isTransient } from "../../clouds/huawei/statuses.ts";
import { Failure } from "../../core/errors.ts";
import type { Observation, OperationView } from "../../core/operation.ts";
import type { CseClient } from "./client.ts";
import type { Engine, EngineJob, EngineRef } from "./engine.ts";
import { deletedMeanwhile, jobFailed } from "./errors.ts";
import { type RetryEvidence, readEvidence, writeEvidence } from "./evidence.ts";

/** What a look at a retry needs. */
export interface LookOptions {
  readonly client: CseClient;
  readonly ref: EngineRef;
  /** Epoch ms. */
  readonly now: () => number;
  /** How often (ms) a job is looked at. */
  readonly pollIntervalMs: number;
}

/** What looking at a retry shows. */
export type RetryObservation = Observation<typeof RetryEngineResponseSchema>;

/**
 * So many looks in a row, and as many intervals since the request, have to show the old failure before it counts as the new one: a job
 * that fails again without its times being moved is told from a job that has not begun to run again by nothing else.
 */
export const UNCHANGED_LOOKS = 6;

/** Jobs' statuses that are no end. */
const RUNNING: ReadonlySet<string> = new Set(["Init", "Executing"]);

/** Jobs' statuses that are a bad end. */
const FAILED: ReadonlySet<string> = new Set(["Error", "Timeout"]);

/**
 * Whether a job's status is known to be an end, and a bad one.
 */
export const hasFailed = ({ status }: Pick<EngineJob, "status">): boolean => FAILED.has(status);

/** Whether a job is under way. */
export const isRunning = ({ status }: Pick<EngineJob, "status">): boolean => RUNNING.has(status);

/**
 * Looks what became of a retry, by reads alone.
 *
 * While the request's outcome is unknown, a job as it was before is a trace that is absent: a run would have moved its times. A job that
 * had no times before proves nothing.
 */
export async function observeRetry(
  options: LookOptions,
  view: Pick<OperationView, "state" | "vendorJob" | "evidence">,
  signal: AbortSignal,
): Promise<RetryObservation> {
  const evidence = readEvidence(view.evidence);
  const again = { againMs: options.pollIntervalMs };
  if (evidence === undefined) {
    return { ...again, kind: "unclear" };
  }
  const unknown = view.state === "UNKNOWN";
  const given = view.vendorJob === "" ? undefined : Number(view.vendorJob);
  try {
    const engine = given === undefined ? await options.client.engine(options.ref, signal) : undefined;
    if (engine !== undefined && isGone(engine)) {
      return gone(options, evidence, unknown);
    }
    const job = await findJob(options, evidence, given, engine, signal);
    if (job !== undefined) {
      return evaluateJob(options, evidence, job, unknown);
    }
    return given === undefined ? { ...again, kind: "unclear" } : await evaluateEngine(options, evidence, given, signal);
  } catch (error) {
    if (error instanceof Failure && error.reason === "TARGET_NOT_FOUND") {
      return gone(options, evidence, unknown);
    }
    throw error;
  }
}

const isGone = ({ status }: Engine): boolean => status === "Deleted";

/** The job that the retry runs; undefined while nothing shows it. */
async function findJob(
  { client, ref }: LookOptions,
  { job: before }: RetryEvidence,
  given: number | undefined,
  engine: Engine | undefined,
  signal: AbortSignal,
): Promise<EngineJob | undefined> {
  const read = async (id: number): Promise<EngineJob | undefined> =>
    client.job(ref, id, signal).catch((error: unknown) => {
      if (error instanceof Failure && error.reason === "JOB_NOT_FOUND") return undefined;
      throw error;
    });
  if (given !== undefined) {
    return read(given);
  }
  const latest = engine?.latestJobId;
  if (latest !== undefined && latest !== before?.id) {
    const job = await read(latest);
    // Another kind of job is somebody else's doing.
    if (job !== undefined && (before === undefined || job.type === before.type)) return job;
  }
  return before && read(before.id);
}

function evaluateJob(
  options: LookOptions,
  evidence: RetryEvidence,
  job: EngineJob,
  unknown: boolean,
): RetryObservation {
  const { ref, pollIntervalMs } = options;
  const moved = evidence.moved || hasMoved(evidence, job);
  const unchanged = moved ? 0 : evidence.unchanged + 1;
  const details = { progress: job.status, againMs: pollIntervalMs, vendorJob: String(job.id) };
  if (!moved && unknown) {
    const { startTime, endTime } = evidence.job ?? {};
    const shows = startTime !== undefined || endTime !== undefined;
    const seen = evidence.gone && { evidence: writeEvidence({ ...evidence, gone: false }) };
    return { kind: shows ? "absent" : "unclear", againMs: pollIntervalMs, ...seen };
  }
  const recorded = { ...details, evidence: writeEvidence({ ...evidence, moved, unchanged, gone: false }) };
  const answered = unknown ? { response: responseOf(ref, evidence.engineName, job.id) } : {};
  const old = isOld(options, evidence, unchanged);
  if (!moved && !old) {
    return { ...recorded, kind: "running" };
  }
  if (job.status === "Finished") {
    return { ...recorded, ...answered, kind: "succeeded" };
  }
  if (hasFailed(job)) {
    return { ...recorded, kind: "failed", failure: jobFailed(ref, job) };
  }
  // That it has moved proves that it was applied; whether a status that nobody knows is an end, nothing tells.
  return unknown || isRunning(job) ? { ...recorded, ...answered, kind: "running" } : { ...recorded, kind: "unclear" };
}

/** A job that is not, or no longer, known: after long enough the engine's own status tells how it stands. */
async function evaluateEngine(
  options: LookOptions,
  evidence: RetryEvidence,
  jobId: number,
  signal: AbortSignal,
): Promise<RetryObservation> {
  const { client, ref, pollIntervalMs } = options;
  const engine = await client.engine(ref, signal);
  if (isGone(engine)) {
    return gone(options, evidence, false);
  }
  const { status } = engine;
  const unchanged = evidence.unchanged + 1;
  const recorded = {
    progress: status,
    againMs: pollIntervalMs,
    evidence: writeEvidence({ ...evidence, unchanged, gone: false }),
  };
  const old = isOld(options, evidence, unchanged);
  if (old && status === "Available") {
    return { ...recorded, kind: "succeeded" };
  }
  return old && status.endsWith("Failed")
    ? { ...recorded, kind: "failed", failure: jobFailed(ref, { id: jobId, type: evidence.job?.type ?? "", status }) }
    : { ...recorded, kind: isTransient(status) || !old ? "running" : "unclear" };
}

/** Whether nothing has moved for so many looks, and so long, that nothing will. */
const isOld = ({ now, pollIntervalMs }: LookOptions, { sentAt }: RetryEvidence, unchanged: number): boolean => {
  const waited = now() - sentAt;
  // A request of the future was sent by another clock: the looks have to do.
  return unchanged >= UNCHANGED_LOOKS && (waited < 0 || waited >= UNCHANGED_LOOKS * pollIntervalMs);
};

/**
 * Whether a job shows what only a run after the request can have made of it. A time that is told no more says nothing; of a job that
 * could not be read before only its running does.
 */
export function hasMoved({ job: before }: Pick<RetryEvidence, "job">, job: EngineJob): boolean {
  if (before === undefined || isRunning(job)) {
    return isRunning(job);
  }
  return (
    job.id !== before.id ||
    job.status !== before.status ||
    differs(job.startTime, before.startTime) ||
    differs(job.endTime, before.endTime)
  );
}

const differs = (now: number | undefined, before: number | undefined): boolean => now !== undefined && now !== before;

/**
 * An engine that is gone is what a retried deletion ends with; else somebody has deleted it, and nothing tells how the job ended. It is
 * believed when it is seen for the second time.
 */
function gone({ ref, pollIntervalMs }: LookOptions, evidence: RetryEvidence, unknown: boolean): RetryObservation {
  if (!evidence.gone) {
    const seen = writeEvidence({ ...evidence, gone: true });
    return { kind: "unclear", progress: "Deleted", againMs: pollIntervalMs, evidence: seen };
  }
  if (evidence.deletes) {
    const jobId = evidence.job?.id;
    return {
      kind: "succeeded",
      progress: "Deleted",
      ...(unknown && { response: responseOf(ref, evidence.engineName, jobId ?? 0) }),
    };
  }
  return unknown
    ? { kind: "unclear", againMs: pollIntervalMs }
    : {
        kind: "failed",
        failure: deletedMeanwhile(ref),
      };
}

/** The rpc's answer where the vendor's did not come, or does not say which job runs. */
export const responseOf = ({ engineId }: EngineRef, name: string, jobId: number): RetryEngineResponse =>
  create(RetryEngineResponseSchema, { id: engineId, name, jobId: BigInt(jobId) });
