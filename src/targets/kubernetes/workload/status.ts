import { Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { isDegraded, rolloutWords } from "./argo.ts";
import type { WorkloadObject } from "./object.ts";
import { inARow, told } from "./words.ts";

/** How far a rollout has come: what kubectl would print, and what that means. */
export interface KindStatus {
  readonly state: Rollout_State;
  /** kubectl's words, without the line end. */
  readonly message: string;
  /** What the object itself says of why it hangs, or of what kubectl's rule does not see; else empty. */
  readonly detail: string;
  readonly desired: number;
  readonly updated: number;
  readonly ready: number;
  readonly available: number;
}

/** A kind and an update strategy whose rollout kubectl does not judge either. The message is kubectl's. */
export class NoRolloutError extends Error {
  override readonly name = "NoRolloutError";
}

const { PENDING, PROGRESSING, COMPLETE, STALLED, PAUSED } = Rollout_State;

/** Whether the object's controller has seen its newest generation; until then its status is about an older one. */
export function observed(object: WorkloadObject): boolean {
  return observedGeneration(object) >= (object.metadata.generation ?? 0);
}

/** The generation that the object's controller has seen, 0 when it has seen none. */
export function observedGeneration(object: WorkloadObject): number {
  const value = Number(object.status?.observedGeneration ?? 0);
  return Number.isSafeInteger(value) ? value : 0;
}

/** kubectl's rule for Deployments (kubectl pkg/polymorphichelpers/rollout_status.go), and PAUSED where it waits for ever. */
export function deploymentStatus(object: WorkloadObject): KindStatus {
  const { name } = object.metadata;
  const status = object.status ?? {};
  const desired = object.spec?.replicas ?? 1;
  const updated = status.updatedReplicas ?? 0;
  const available = status.availableReplicas ?? 0;
  const counts = { desired, updated, ready: status.readyReplicas ?? 0, available, detail: replicaFailure(object) };
  const waiting = (text: string): KindStatus => ({
    ...counts,
    state: object.spec?.paused ? PAUSED : PROGRESSING,
    message: `Waiting for deployment "${name}" rollout to finish: ${text}...`,
  });
  if (!observed(object)) {
    return { ...counts, state: PENDING, message: "Waiting for deployment spec update to be observed...", detail: "" };
  }
  if (condition(object, "Progressing")?.reason === "ProgressDeadlineExceeded") {
    return { ...counts, state: STALLED, message: `deployment "${name}" exceeded its progress deadline` };
  }
  if (updated < desired) {
    return waiting(`${updated} out of ${desired} new replicas have been updated`);
  }
  const old = (status.replicas ?? 0) - updated;
  if (old > 0) {
    return waiting(`${old} old replicas are pending termination`);
  }
  if (available < updated) {
    return waiting(`${available} of ${updated} updated replicas are available`);
  }
  const leaving = status.terminatingReplicas ?? 0;
  const detail = leaving === 0 ? "" : `${leaving} old ${leaving === 1 ? "pod is" : "pods are"} still terminating`;
  return { ...counts, state: COMPLETE, message: `deployment "${name}" successfully rolled out`, detail };
}

/** kubectl's rule for DaemonSets. */
export function daemonSetStatus(object: WorkloadObject): KindStatus {
  requireRollingUpdate(object);
  const { name } = object.metadata;
  const status = object.status ?? {};
  const desired = status.desiredNumberScheduled ?? 0;
  const updated = status.updatedNumberScheduled ?? 0;
  const available = status.numberAvailable ?? 0;
  const counts = { desired, updated, ready: status.numberReady ?? 0, available, detail: "" };
  if (!observed(object)) {
    return { ...counts, state: PENDING, message: "Waiting for daemon set spec update to be observed..." };
  }
  if (updated < desired) {
    const message = `Waiting for daemon set "${name}" rollout to finish: ${updated} out of ${desired} new pods have been updated...`;
    return { ...counts, state: PROGRESSING, message };
  }
  if (available < desired) {
    const message = `Waiting for daemon set "${name}" rollout to finish: ${available} of ${desired} updated pods are available...`;
    return { ...counts, state: PROGRESSING, message };
  }
  return { ...counts, state: COMPLETE, message: `daemon set "${name}" successfully rolled out` };
}

/** kubectl's rule for StatefulSets. A partition that keeps pods as they are counts as complete, as there. */
export function statefulSetStatus(object: WorkloadObject): KindStatus {
  requireRollingUpdate(object);
  const status = object.status ?? {};
  const desired = object.spec?.replicas ?? 1;
  const updated = status.updatedReplicas ?? 0;
  const ready = status.readyReplicas ?? 0;
  const available = status.availableReplicas ?? 0;
  const counts = { desired, updated, ready, available, detail: "" };
  if (observedGeneration(object) === 0 || !observed(object)) {
    return { ...counts, state: PENDING, message: "Waiting for statefulset spec update to be observed..." };
  }
  if (ready < desired) {
    return { ...counts, state: PROGRESSING, message: `Waiting for ${desired - ready} pods to be ready...` };
  }
  const rollingUpdate = object.spec?.updateStrategy?.rollingUpdate;
  if (rollingUpdate !== undefined) {
    const wanted = desired - (rollingUpdate.partition ?? 0);
    if (rollingUpdate.partition !== undefined && updated < wanted) {
      const message = `Waiting for partitioned roll out to finish: ${updated} out of ${wanted} new pods have been updated...`;
      return { ...counts, state: PROGRESSING, message };
    }
    const message = `partitioned roll out complete: ${updated} new pods have been updated...`;
    return { ...counts, state: COMPLETE, message, detail: unseen(object, counts) };
  }
  if (status.updateRevision !== status.currentRevision) {
    const message = `waiting for statefulset rolling update to complete ${updated} pods at revision ${status.updateRevision ?? ""}...`;
    return { ...counts, state: PROGRESSING, message };
  }
  const message = `statefulset rolling update complete ${status.currentReplicas ?? 0} pods at revision ${status.currentRevision ?? ""}...`;
  return { ...counts, state: COMPLETE, message, detail: unseen(object, counts) };
}

/** What kubectl's rule for StatefulSets does not look at: it asks for ready pods alone, and a partition counts as done. */
function unseen(object: WorkloadObject, { desired, available }: Pick<KindStatus, "desired" | "available">): string {
  const seconds = object.spec?.minReadySeconds ?? 0;
  const rule = seconds === 0 ? "" : `: a pod is once it has been ready for ${seconds} s (minReadySeconds)`;
  const kept = Math.min(object.spec?.updateStrategy?.rollingUpdate?.partition ?? 0, desired);
  return inARow(
    available < desired ? `${available} of ${desired} pods ${available === 1 ? "is" : "are"} available${rule}` : "",
    kept > 0 ? `the partition keeps ${kept} of ${desired} pods as they are` : "",
  );
}

/** From how far ahead (ms) a restartAt is told as what it is to Argo's controller, an appointment. A restart's own is at most 2 s ahead. */
const APPOINTMENT_FROM_MS = 5_000;

/**
 * An Argo Rollout's restart: its controller writes spec.restartAt into status.restartedAt when the last old pod is evicted (argo-rollouts
 * rollout/restart.go). That pod's successor is available later, so that availability is asked for as well; the controller may still
 * count the evicted pod.
 */
export function rolloutStatus(object: WorkloadObject, now: number): KindStatus {
  const { name } = object.metadata;
  const status = object.status ?? {};
  const desired = object.spec?.replicas ?? 1;
  const available = status.availableReplicas ?? 0;
  const restartAt = object.spec?.restartAt ?? undefined;
  const restarting = restartAt !== undefined && !sameInstant(restartAt, status.restartedAt);
  const ahead = restarting && Date.parse(restartAt) - now > APPOINTMENT_FROM_MS;
  const counts = {
    desired,
    updated: status.updatedReplicas ?? 0,
    ready: status.readyReplicas ?? 0,
    available,
    detail: rolloutWords(object, restarting && !ahead),
  };
  if (!observed(object)) {
    return { ...counts, state: PENDING, message: "Waiting for rollout spec update to be observed...", detail: "" };
  }
  if (isDegraded(object)) {
    return { ...counts, state: STALLED, message: `rollout "${name}" is degraded` };
  }
  if (restarting) {
    const when = ahead ? `, which is scheduled for ${new Date(restartAt).toISOString()}` : "";
    return { ...counts, state: PROGRESSING, message: `Waiting for rollout "${name}" to restart its pods${when}...` };
  }
  if (available < desired) {
    const message = `Waiting for rollout "${name}" to finish: ${available} of ${desired} replicas are available...`;
    return { ...counts, state: PROGRESSING, message };
  }
  const message =
    restartAt === undefined ? `rollout "${name}" is available` : `rollout "${name}" successfully restarted`;
  return { ...counts, state: COMPLETE, message };
}

function sameInstant(left: string, right: string | undefined): boolean {
  return left === right || (right !== undefined && Date.parse(left) === Date.parse(right));
}

function condition(object: WorkloadObject, type: string) {
  return object.status?.conditions?.find((candidate) => candidate.type === type);
}

/** Pods that cannot be created at all (quota, a webhook, a terminating namespace): kubectl says nothing of them. */
function replicaFailure(object: WorkloadObject): string {
  const failure = condition(object, "ReplicaFailure");
  const { reason = "unknown", message = "" } = failure ?? {};
  return failure?.status === "True" ? told(`ReplicaFailure: ${reason}${message && `: ${message}`}`) : "";
}

function requireRollingUpdate(object: WorkloadObject): void {
  if (object.spec?.updateStrategy?.type !== "RollingUpdate") {
    throw new NoRolloutError("rollout status is only available for RollingUpdate strategy type");
  }
}
