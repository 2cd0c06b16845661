import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { Failure, preconditionFailure, resourceInfo } from "../../../core/errors.ts";
import type { Observation, OperationView } from "../../../core/operation.ts";
import type { OpenCluster } from "../cluster/cluster.ts";
import { isForbidden, peekWorkload, readWorkload } from "../cluster/read.ts";
import type { Kind } from "../workload/kinds.ts";
import { restartedAt } from "../workload/known.ts";
import { subjectOf, targetName, type WorkloadObject, type WorkloadRef } from "../workload/object.ts";
import { type KindStatus, NoRolloutError } from "../workload/status.ts";
import { appliedEvidence, doubtOf, type RestartEvidence, readEvidence } from "./evidence.ts";
import { refusalByGuards } from "./state.ts";

/** What is looked at, and with what. */
export interface ObserveContext {
  readonly cluster: Pick<OpenCluster, "client" | "clock">;
  readonly kind: Kind;
  readonly ref: WorkloadRef;
}

/** What a look shows of a restart. */
export type RestartObservation = Observation<typeof EmptySchema>;

/** Bounds (ms) the read of an object. */
const READ_LIMIT_MS = 10_000;

/** How soon (ms) to look again. Whoever asks becomes slower by itself the longer it takes. */
const AGAIN_MS = 1_000;

/** Looks, by one read, what became of a restart that was sent. */
export async function observeRestart(
  context: ObserveContext,
  operation: OperationView,
  signal: AbortSignal,
): Promise<RestartObservation> {
  const evidence = readEvidence(operation.evidence);
  if (evidence === undefined) {
    return { kind: "unclear", progress: "what was sent was not recorded" };
  }
  const object = await lookFor(context, signal);
  return operation.state === "SENT"
    ? observeApplied(context, evidence, object)
    : observeUnknown(context, evidence, operation, object);
}

/** The object as it is now, or undefined where there is none. */
export async function lookFor(
  { cluster, ref }: ObserveContext,
  signal: AbortSignal,
): Promise<WorkloadObject | undefined> {
  try {
    return await readWorkload(cluster, ref, signal, READ_LIMIT_MS).catch((error: unknown) => {
      if (isForbidden(error)) {
        return peekWorkload(cluster, ref, signal, READ_LIMIT_MS);
      }
      throw error;
    });
  } catch (error) {
    if (error instanceof Failure && error.reason === "TARGET_NOT_FOUND") {
      return undefined;
    }
    throw error;
  }
}

/** A restart of which nobody knows whether it was applied. Its value, which no other restart has, proves that it was. */
function observeUnknown(
  context: ObserveContext,
  evidence: RestartEvidence,
  operation: OperationView,
  object: WorkloadObject | undefined,
): RestartObservation {
  const doubt = doubtOf(context, evidence, object);
  if (doubt !== undefined) {
    return { kind: "unclear", againMs: AGAIN_MS, progress: doubt };
  }
  if (object === undefined || restartedAt(context.kind, object) !== evidence.restartedAt) {
    return { kind: "absent", againMs: AGAIN_MS, progress: `${subjectOf(context.ref)} shows no trace of it` };
  }
  return {
    ...judge(context, object),
    vendorJob: evidence.restartedAt,
    evidence: appliedEvidence(operation.evidence, object),
  };
}

/** A restart that was applied: how far its rollout has come, as long as it is its own. */
export function observeApplied(
  context: ObserveContext,
  evidence: RestartEvidence,
  object: WorkloadObject | undefined,
): RestartObservation {
  const { kind, ref } = context;
  const options = {
    outcome: "applied" as const,
    details: [resourceInfo("kubernetes.workload", targetName(ref))],
  };
  const metadata = { cluster: ref.cluster, restarted_at: evidence.restartedAt };
  if (object === undefined) {
    const sentence = `${subjectOf(ref)} was deleted before its restart had ended`;
    return { kind: "failed", failure: new Failure("TARGET_NOT_FOUND", sentence, { ...options, metadata }) };
  }
  const { uid } = object.metadata;
  if (evidence.uid !== undefined && evidence.uid !== uid) {
    const failure = new Failure(
      "OBJECT_REPLACED",
      `${subjectOf(ref)} was deleted and made anew before its restart had ended`,
      { ...options, metadata: { ...metadata, old_uid: evidence.uid, new_uid: uid } },
    );
    return { kind: "failed", failure };
  }
  const value = restartedAt(kind, object) ?? "";
  if (value !== evidence.restartedAt) {
    const what = value === "" ? "was taken back" : "was superseded by another one";
    const failure = new Failure("ROLLOUT_SUPERSEDED", `the restart of ${subjectOf(ref)} ${what} before it had ended`, {
      ...options,
      metadata: { ...metadata, superseded_by: value },
    });
    return { kind: "failed", failure };
  }
  return judge(context, object);
}

/** How far the rollout of the restart in place has come, by kubectl's rules. */
function judge(context: ObserveContext, object: WorkloadObject): RestartObservation {
  const response = create(EmptySchema);
  try {
    const status = context.kind.status(object, context.cluster.clock.latest());
    switch (status.state) {
      case Rollout_State.COMPLETE:
        return { kind: "succeeded", response, progress: status.message };
      case Rollout_State.STALLED:
        return { kind: "failed", failure: stalled(context.ref, status), progress: status.message };
      default:
        return { kind: "running", response, progress: status.message, againMs: AGAIN_MS };
    }
  } catch (error) {
    if (!(error instanceof NoRolloutError)) {
      throw error;
    }
    const forbidden = refusalByGuards(context.kind, object, context.ref, "applied");
    return forbidden === undefined
      ? { kind: "succeeded", response, progress: `the restart was applied; ${error.message}` }
      : { kind: "failed", failure: forbidden, progress: forbidden.message };
  }
}

function stalled(ref: WorkloadRef, { message, desired, updated, ready, available }: KindStatus): Failure {
  const counts = Object.entries({ desired, updated, ready, available }).map(([key, count]) => [key, String(count)]);
  const type = "PROGRESS_DEADLINE_EXCEEDED";
  return new Failure(type, message, {
    outcome: "applied",
    metadata: { cluster: ref.cluster, ...Object.fromEntries(counts) },
    details: [preconditionFailure([{ type, subject: subjectOf(ref), description: message }])],
  });
}
