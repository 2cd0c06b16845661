import { create } from "@bufbuild/protobuf";
import {
  type RestartInstanceResponse,
  RestartInstanceResponseSchema,
} from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { Failure, type Reason } from "../../core/errors.ts";
import type { Observation, OperationView } from "../../core/operation.ts";
import type { DdmClient, Job, Restarted } from "./client.ts";
import { type InstanceRef, restartFailed } from "./errors.ts";
import { afterLook, type RestartEvidence, readEvidence, writeEvidence } from "./evidence.ts";

/** What a look at a restart needs. */
export interface LookOptions {
  readonly client: DdmClient;
  readonly ref: InstanceRef;
  /** Epoch ms. */
  readonly now: () => number;
  /** How often (ms) an instance is looked at. */
  readonly pollIntervalMs: number;
}

/** What looking at a restart shows. */
export type RestartObservation = Observation<typeof RestartInstanceResponseSchema>;

/**
 * So many looks in a row, and as many intervals since the request, have to show RUNNING before a restart counts as ended that was never
 * seen to run: right after the request the status is still the one before it, and a short restart falls between two looks.
 */
export const QUIET_LOOKS = 6;

/** So many looks in a row have to show a bad end, or that the instance is gone: a node that restarts can look ill for a moment. */
const BAD_LOOKS = 2;

/** Statuses that a restart does not come out of by itself (contracts: huaweicloud §C.3). */
const BAD_ENDS: ReadonlySet<string> = new Set(["ERROR", "FROZEN", "CREATEFAILED"]);

/** What is recorded as the status of an instance that is not there. */
const GONE = "gone";

/** The status of an instance that is told of and is there no more. */
const DELETED = "DELETED";

/** Why a job may be unreadable while the instance can be read: then its status tells (contracts: huaweicloud §C.3). */
const NO_JOB: ReadonlySet<Reason> = new Set<Reason>([
  "JOB_NOT_FOUND",
  "TARGET_NOT_FOUND",
  "API_VERSION_NOT_SERVED",
  "VENDOR_PERMISSION_DENIED",
  "VENDOR_REFUSED_REQUEST",
  "VENDOR_BAD_RESPONSE",
  "VENDOR_INTERNAL_ERROR",
  "OPERATION_UNSUPPORTED_BY_TARGET",
]);

/**
 * Looks what became of a restart, by reads alone: by its job where that can be read, else by the instance's status.
 *
 * While the request's outcome is unknown, only RESTARTING proves it: the instance was RUNNING before. Anything else proves nothing, since
 * a restart can begin late, and fall between two looks.
 */
export async function observeRestart(
  options: LookOptions,
  view: Pick<OperationView, "state" | "vendorJob" | "evidence">,
  signal: AbortSignal,
): Promise<RestartObservation> {
  const againMs = options.pollIntervalMs;
  const evidence = readEvidence(view.evidence);
  if (evidence === undefined) {
    return { kind: "unclear", againMs };
  }
  const job = view.vendorJob === "" ? undefined : await readJob(options, view.vendorJob, signal);
  const byJob = job && evaluateJob(options, job);
  if (byJob !== undefined) {
    return { ...byJob, againMs };
  }
  const status = await readStatus(options, signal);
  const seen = afterLook(evidence, status);
  const details = { againMs, progress: status, evidence: writeEvidence(seen) };
  if (view.state === "UNKNOWN") {
    return seen.restarting
      ? { ...details, kind: "running", response: responseOf(options.ref, {}) }
      : { ...details, kind: "unclear" };
  }
  return { ...details, ...evaluateStatus(options, seen) };
}

/** The job, where it can be read and is about this instance. */
async function readJob({ client, ref }: LookOptions, jobId: string, signal: AbortSignal): Promise<Job | undefined> {
  try {
    const job = await client.job(ref, jobId, signal);
    return job.instanceId === "" || job.instanceId === ref.instanceId ? job : undefined;
  } catch (error) {
    if (error instanceof Failure && NO_JOB.has(error.reason)) return undefined;
    throw error;
  }
}

/** By its job a restart runs, or has ended; a status that is not known says neither. */
function evaluateJob({ ref }: LookOptions, { id, status, process }: Job): RestartObservation | undefined {
  switch (status.toUpperCase()) {
    case "COMPLETED":
      return { kind: "succeeded", progress: status };
    case "FAILED":
      return { kind: "failed", progress: status, failure: restartFailed(ref, `job ${id} is ${status}`) };
    case "RUNNING":
      return { kind: "running", progress: process === "" ? status : `${status} ${process}` };
    default:
      return undefined;
  }
}

async function readStatus({ client, ref }: LookOptions, signal: AbortSignal): Promise<string> {
  try {
    const { status } = await client.instance(ref, signal);
    return status === DELETED ? GONE : status;
  } catch (error) {
    if (error instanceof Failure && error.reason === "TARGET_NOT_FOUND") return GONE;
    throw error;
  }
}

function evaluateStatus(
  { ref, now, pollIntervalMs }: LookOptions,
  { restarting, last, looks, sentAt }: RestartEvidence,
): { kind: "running" | "succeeded" | "unclear" } | { kind: "failed"; failure: Failure } {
  if (last === "RUNNING") {
    const waited = now() - sentAt;
    // A request of the future was sent by another clock: the looks have to do.
    const quiet = looks >= QUIET_LOOKS && (waited < 0 || waited >= QUIET_LOOKS * pollIntervalMs);
    return { kind: restarting || quiet ? "succeeded" : "running" };
  }
  if ((last === GONE || BAD_ENDS.has(last)) && looks >= BAD_LOOKS) {
    return { kind: "failed", failure: restartFailed(ref, last === GONE ? "it was deleted" : `its status is ${last}`) };
  }
  // Of any other, nothing tells whether it has to do with the restart.
  return { kind: last === "RESTARTING" ? "running" : "unclear" };
}

/** The rpc's answer, where the vendor's says less, or did not come. */
export const responseOf = ({ instanceId }: InstanceRef, restarted: Partial<Restarted>): RestartInstanceResponse =>
  create(RestartInstanceResponseSchema, {
    instanceId,
    instanceName: restarted.instanceName ?? "",
    jobId: restarted.jobId ?? "",
  });
