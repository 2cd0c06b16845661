import { create } from "@bufbuild/protobuf";
import {
  EngineService,
  type RetryEngineRequest,
  type RetryEngineRequestSchema,
  RetryEngineResponseSchema,
} from "../../../gen/restart/cse/v1/engine_service_pb.ts";
import { isTransient } from "../../clouds/huawei/statuses.ts";
import { readBack } from "../../clouds/read-back.ts";
import { ENDS_WITHIN_MS } from "../../clouds/tracking.ts";
import { Failure } from "../../core/errors.ts";
import type { Action, SendContext, SendResult } from "../../core/operation.ts";
import type { CseClient } from "./client.ts";
import type { Engine, EngineJob, EngineRef } from "./engine.ts";
import { inProgress, refuse, targetName } from "./errors.ts";
import { plannedEvidence, type RetryEvidence, writeEvidence } from "./evidence.ts";
import { hasFailed, isRunning, type LookOptions, observeRetry, responseOf } from "./observe.ts";

/** What the action works with. */
export interface RetryActionOptions {
  /** @throws Failure PROJECT_NOT_FOUND */
  readonly clientOf: (projectId: string) => CseClient;
  /** The same, of one that waits for its turn to read. */
  readonly lookingClientOf: (projectId: string) => CseClient;
  /** How often (ms) a job is looked at. */
  readonly pollIntervalMs: number;
  /** The wall clock. */
  readonly now: () => Date;
}

/** What is there to retry. */
export interface RetryPlan {
  readonly engine: Engine;
  /** Its latest job; undefined when the engine does not say which that is, or it cannot be found. */
  readonly job: EngineJob | undefined;
  /** Whether a retry may delete the engine. */
  readonly deletes: boolean;
}

/** What RetryEngine does. */
export type RetryAction = Action<typeof RetryEngineRequestSchema, typeof RetryEngineResponseSchema, RetryPlan>;

/** How long (ms) a retry may take to show after its outcome became unknown: clouds are given ten minutes (store.md §3.3). */
const SETTLE_MS = 600_000;

/** Which engine a request names. */
export const toRef = (request: EngineRef): EngineRef => ({
  projectId: request.projectId,
  engineId: request.engineId,
  enterpriseProjectId: request.enterpriseProjectId,
});

/** The retry of an engine's failed job, as operations know it. */
export function createRetryAction({ clientOf, lookingClientOf, pollIntervalMs, now }: RetryActionOptions): RetryAction {
  const clock = (): number => now().getTime();
  return {
    method: EngineService.method.retryEngine,
    blocksUntil: "ended",
    settleMs: SETTLE_MS,
    endsWithinMs: ENDS_WITHIN_MS,
    lookMs: pollIntervalMs,
    targetOf: targetName,
    verbs: ["retry"],
    actionOf: () => "retry",

    prepare: (request, { signal }) => check(clientOf(request.projectId), request, signal),

    async send(request, _plan, sending) {
      const ref = toRef(request);
      const client = clientOf(ref.projectId);
      // Again, now that nobody else may begin: a retry that ended since the first check would pass for this one.
      const { engine, job, deletes } = await check(client, request, sending.signal);
      const evidence = plannedEvidence(engine, job, deletes, clock());
      const onSend = await sending.permit(writeEvidence(evidence));
      try {
        const { id, name, jobId } = await client.retry(ref, { signal: sending.signal, onSend });
        sending.call.outcome = "applied";
        return {
          response: create(RetryEngineResponseSchema, { id, name, jobId: BigInt(jobId) }),
          vendorJob: String(jobId),
        };
      } catch (error) {
        return settle(error, evidence, { client, ref, now: clock, pollIntervalMs }, sending);
      }
    },

    async observe(operation, request, signal) {
      const ref = toRef(request);
      const client = lookingClientOf(ref.projectId);
      return observeRetry({ client, ref, now: clock, pollIntervalMs }, operation, signal);
    },
  };
}

/** Reads what there is to retry, and judges whether that may be done. */
async function check(client: CseClient, request: RetryEngineRequest, signal: AbortSignal): Promise<RetryPlan> {
  const ref = toRef(request);
  const engine = await client.engine(ref, signal);
  const plan = planOf(ref, engine, await latestJob(client, ref, engine, signal));
  if (plan.deletes && !request.acknowledgeDeletion) {
    throw refuse(
      "DELETION_NOT_ACKNOWLEDGED",
      ref,
      "failed to be deleted, and a retry finishes the deletion; say acknowledge_deletion if that is meant",
    );
  }
  return plan;
}

/** The latest job; a job that is said to be there and is not found counts as none. */
async function latestJob(
  client: CseClient,
  ref: EngineRef,
  { latestJobId }: Engine,
  signal: AbortSignal,
): Promise<EngineJob | undefined> {
  if (latestJobId === undefined) {
    return undefined;
  }
  return client.job(ref, latestJobId, signal).catch((error: unknown) => {
    if (error instanceof Failure && error.reason === "JOB_NOT_FOUND") return undefined;
    throw error;
  });
}

/** Whether there is something to retry: a failed job, or an engine that says so of itself (contracts: huaweicloud §D.2). */
function planOf(ref: EngineRef, engine: Engine, job: EngineJob | undefined): RetryPlan {
  if (job !== undefined && isRunning(job)) {
    throw inProgress(ref, job.status, `job ${job.id} (${job.type}) of engine ${ref.engineId}`);
  }
  if (job === undefined && isTransient(engine.status)) {
    throw inProgress(ref, engine.status, `engine ${ref.engineId}`);
  }
  if (!(job !== undefined && hasFailed(job)) && !engine.status.endsWith("Failed")) {
    const last =
      job === undefined ? "no job of it is known" : `its latest job, ${job.id} (${job.type}), is ${job.status}`;
    throw refuse("NOTHING_TO_RETRY", ref, `is ${engine.status}, and ${last}: there is nothing to retry`);
  }
  return { engine, job, deletes: isDeletion(job?.type ?? "") || isDeletion(engine.status) };
}

/** Whether a job's type, or an engine's status, is about a deletion: Delete, DeleteFailed, and ForceDelete, which engines have as well. */
const isDeletion = (word: string): boolean => /delete/i.test(word);

/** One bounded look decides what became of a request that may have been applied; it is never sent again. */
async function settle(
  error: unknown,
  evidence: RetryEvidence,
  options: LookOptions,
  { call }: SendContext,
): Promise<SendResult<typeof RetryEngineResponseSchema>> {
  if (error instanceof Failure) {
    call.outcome = error.outcome;
  }
  const view = { state: "UNKNOWN", vendorJob: "", evidence: writeEvidence(evidence) } as const;
  const seen = await readBack(error, (signal) => observeRetry(options, view, signal));
  if (seen.kind === "absent" || seen.kind === "unclear") {
    throw error;
  }
  call.outcome = "applied";
  const { vendorJob = "" } = seen;
  const response = seen.kind === "failed" ? undefined : seen.response;
  return {
    response: response ?? responseOf(options.ref, evidence.engineName, Number(vendorJob)),
    vendorJob,
    evidence: seen.evidence ?? view.evidence,
    done: seen.kind === "succeeded",
  };
}
