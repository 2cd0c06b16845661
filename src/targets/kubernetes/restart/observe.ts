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
import { inARow } from "../workload/words.ts";
import { appliedEvidence, doubtOf, type RestartEvidence, readEvidence } from "./evidence.ts";
import { refusalByGuards } from "./state.ts";

/** What is looked at, and with what. */
export interface ObserveContext {
  readonly cluster: Pick<OpenCluster, "client" | "clock" | "podProblems">;
  readonly kind: Kind;
  readonly ref: WorkloadRef;
}

/** What a restart is evaluated by, beside what was seen. */
export interface Subject {
  readonly kind: Kind;
  readonly ref: WorkloadRef;
  /** What the API server's clock shows (epoch ms). */
  readonly now: number;
}

/** What a look shows of a restart. */
export type RestartObservation = Observation<typeof EmptySchema>;

/** Bounds (ms) the read of an object. */
const READ_LIMIT_MS = 10_000;

/** How soon (ms) to look again. Whoever asks becomes slower by itself the longer it takes. */
const AGAIN_MS = 1_000;

/** Looks what became of a restart that was sent: at the object, and where its rollout is under way at why it hangs. */
export async function observeRestart(
  context: ObserveContext,
  operation: OperationView,
  signal: AbortSignal,
): Promise<RestartObservation> {
  const { cluster, kind, ref } = context;
  const object = await lookFor(context, signal);
  const now = cluster.clock.latest();
  const problems = object && (await cluster.podProblems.look(kind, ref, object, now, AGAIN_MS));
  return evaluateRestart({ kind, ref, now }, operation, object, problems);
}

/**
 * What became of a restart that was sent, by what was seen.
 *
 * @param object as it is now; undefined: it does not exist.
 * @param problems what its pods say of why its rollout hangs.
 */
export function evaluateRestart(
  subject: Subject,
  operation: OperationView,
  object: WorkloadObject | undefined,
  problems: string | undefined,
): RestartObservation {
  const evidence = readEvidence(operation.evidence);
  if (evidence === undefined) {
    return { kind: "unclear", progress: "what was sent was not recorded" };
  }
  return operation.state === "SENT"
    ? evaluateApplied(subject, evidence, object, problems)
    : evaluateUnknown(subject, evidence, operation, object, problems);
}

/** The object as it is now, or undefined where there is none. */
export async function lookFor(
  { cluster, ref }: Pick<ObserveContext, "ref"> & { readonly cluster: Pick<OpenCluster, "client"> },
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
function evaluateUnknown(
  subject: Subject,
  evidence: RestartEvidence,
  operation: OperationView,
  object: WorkloadObject | undefined,
  problems: string | undefined,
): RestartObservation {
  const doubt = doubtOf(subject, evidence, object);
  if (doubt !== undefined) {
    return { kind: "unclear", againMs: AGAIN_MS, progress: doubt };
  }
  if (object === undefined || restartedAt(subject.kind, object) !== evidence.restartedAt) {
    return { kind: "absent", againMs: AGAIN_MS, progress: `${subjectOf(subject.ref)} shows no trace of it` };
  }
  return {
    ...evaluateStatus(subject, object, problems),
    vendorJob: evidence.restartedAt,
    evidence: appliedEvidence(operation.evidence, object),
  };
}

/** A restart that was applied: how far its rollout has come, as long as it is its own. */
export function evaluateApplied(
  subject: Subject,
  evidence: RestartEvidence,
  object: WorkloadObject | undefined,
  problems: string | undefined,
): RestartObservation {
  const { kind, ref } = subject;
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
  return evaluateStatus(subject, object, problems);
}

/** How far the rollout of the restart in place has come, by kubectl's rules. */
function evaluateStatus(
  { kind, ref, now }: Subject,
  object: WorkloadObject,
  problems: string | undefined,
): RestartObservation {
  const response = create(EmptySchema);
  try {
    const status = kind.status(object, now);
    const progress = inARow(status.message, status.detail, problems);
    switch (status.state) {
      case Rollout_State.COMPLETE:
        return { kind: "succeeded", response, progress };
      case Rollout_State.STALLED:
        return { kind: "failed", failure: stalled(ref, status, progress), progress };
      default:
        return { kind: "running", response, progress, againMs: AGAIN_MS };
    }
  } catch (error) {
    if (!(error instanceof NoRolloutError)) {
      throw error;
    }
    const forbidden = refusalByGuards(kind, object, ref, "applied");
    return forbidden === undefined
      ? { kind: "succeeded", response, progress: `the restart was applied; ${error.message}` }
      : { kind: "failed", failure: forbidden, progress: forbidden.message };
  }
}

function stalled(ref: WorkloadRef, { desired, updated, ready, available }: KindStatus, description: string): Failure {
  const counts = Object.entries({ desired, updated, ready, available }).map(([key, count]) => [key, String(count)]);
  const type = "PROGRESS_DEADLINE_EXCEEDED";
  return new Failure(type, description, {
    outcome: "applied",
    metadata: { cluster: ref.cluster, ...Object.fromEntries(counts) },
    details: [preconditionFailure([{ type, subject: subjectOf(ref), description }])],
  });
}
