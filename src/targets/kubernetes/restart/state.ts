import type { Warned } from "../../../core/call.ts";
import { Failure, type Outcome, preconditionFailure, type Reason } from "../../../core/errors.ts";
import { invalidSpec } from "../workload/argo.ts";
import { desiredReplicas, type Kind, partitionOf } from "../workload/kinds.ts";
import { restartedAt } from "../workload/known.ts";
import { subjectOf, type WorkloadObject, type WorkloadRef } from "../workload/object.ts";
import { observed } from "../workload/status.ts";
import { managerOf } from "./managed.ts";

/** How far (ms) ahead a spec.restartAt may lie and still be the trace of a restart just made: by another clock, or one of many at once. */
const SCHEDULED_AFTER_MS = 60_000;

/**
 * Why an object as read must not be restarted, or undefined when nothing forbids it.
 *
 * @param now what the API server's clock shows (epoch ms).
 */
export function refusalByState(kind: Kind, object: WorkloadObject, ref: WorkloadRef, now: number): Failure | undefined {
  if (object.metadata.deletionTimestamp !== undefined) {
    return refusal(ref, "DELETING", `${subjectOf(ref)} is being deleted`);
  }
  const guarded = refusalByGuards(kind, object, ref);
  if (guarded !== undefined) {
    return guarded;
  }
  const invalid = kind.mechanism === "spec.restartAt" && observed(object) ? invalidSpec(object) : undefined;
  if (invalid !== undefined) {
    const sentence = `Argo Rollouts does nothing for ${subjectOf(ref)} until its spec is mended (${invalid})`;
    return refusal(ref, "TARGET_STATE_FORBIDS", sentence);
  }
  const last = kind.mechanism === "spec.restartAt" ? Date.parse(restartedAt(kind, object) ?? "") : Number.NaN;
  if (last - now > SCHEDULED_AFTER_MS) {
    // The next value has to be later than the one in place: it would only move the appointment.
    const when = new Date(last).toISOString();
    return refusal(
      ref,
      "TARGET_STATE_FORBIDS",
      `a restart of ${subjectOf(ref)} is scheduled for ${when}; clear spec.restartAt first`,
    );
  }
  return undefined;
}

/** A Deployment that gives its pod template to an Argo Rollout (spec.workloadRef). */
export function refusalOfTemplate(ref: WorkloadRef, rollout: string): Failure {
  const other = subjectOf({ ...ref, group: "argoproj.io", resource: "rollouts", name: rollout });
  const sentence = `${subjectOf(ref)} gives its pod template to the Argo Rollout ${rollout} (spec.workloadRef), where a restart of it would begin an update; restart ${other} instead`;
  return refusal(ref, "TARGET_STATE_FORBIDS", sentence, "not_applied", { rollout });
}

/**
 * Why a kind's guards forbid the restart of an object, or undefined when they do not.
 *
 * @param outcome `applied` for an object that the restart itself was answered with: a mutating webhook can have changed it on the way.
 */
export function refusalByGuards(
  kind: Kind,
  object: WorkloadObject,
  ref: WorkloadRef,
  outcome: Outcome = "not_applied",
): Failure | undefined {
  const guard = kind.guards.find(({ forbids }) => forbids(object));
  if (guard === undefined) {
    return undefined;
  }
  const sentence = SENTENCES[guard.reason]?.(object, ref) ?? guard.reason;
  const counts = { partition: String(partitionOf(object)), replicas: String(desiredReplicas(object)) };
  return refusal(ref, guard.reason, sentence, outcome, guard.reason === "NOTHING_TO_RESTART" ? counts : {});
}

/** The sentence of each guard. PAUSED has kubectl's own. */
const SENTENCES: Partial<Record<Reason, (object: WorkloadObject, ref: WorkloadRef) => string>> = {
  PAUSED: () => "can't restart paused deployment (run rollout resume first)",
  UPDATE_STRATEGY_ON_DELETE: (_object, ref) =>
    `${subjectOf(ref)} has the update strategy OnDelete: its pods change only when somebody deletes them`,
  NOTHING_TO_RESTART: (object, ref) =>
    `nothing of ${subjectOf(ref)} would restart: its partition ${partitionOf(object)} keeps all ${desiredReplicas(object)} replicas as they are`,
};

function refusal(
  ref: WorkloadRef,
  reason: Reason,
  description: string,
  outcome: Outcome = "not_applied",
  metadata: Record<string, string> = {},
): Failure {
  return new Failure(reason, description, {
    outcome,
    metadata: { cluster: ref.cluster, ...metadata },
    details: [preconditionFailure([{ type: reason, subject: subjectOf(ref), description }])],
  });
}

/** The API server took the request and the value is not there: something between them took it out, so that nothing restarts. */
export function stripped(ref: WorkloadRef, serverWarning: string | undefined): Failure {
  return serverWarning?.includes("unknown field")
    ? refusal(ref, "RESTART_NOT_SUPPORTED", `${subjectOf(ref)} has no field for a restart`)
    : refusal(
        ref,
        "ANNOTATION_STRIPPED",
        `the restart of ${subjectOf(ref)} was taken out again on its way (a mutating webhook), so that nothing restarts`,
      );
}

/** What there is to warn of after a restart, in the order of the closed list. */
export function warningsOf(
  kind: Kind,
  object: WorkloadObject,
  { blind, warned }: { blind: boolean; warned: boolean },
): Warned[] {
  const { spec } = object;
  const manager = managerOf(object);
  const found: [boolean, Warned][] = [
    [podsWanted(kind, object) === 0, "NO_REPLICAS"],
    [spec?.strategy?.type === "Recreate" || spec?.updateStrategy?.type === "Recreate", "RECREATE_DOWNTIME"],
    [partitionOf(object) > 0, "PARTITIONED"],
    [blind, "PREFLIGHT_SKIPPED"],
    [manager !== undefined, `MANAGED_BY_CONTROLLER: ${manager} manages the object and may take the restart back.`],
    [warned, "SERVER_WARNING"],
  ];
  return found.filter(([holds]) => holds).map(([, warning]) => warning);
}

/** Pods wanted, or undefined while no controller has counted the nodes of a DaemonSet. */
function podsWanted({ resource }: Kind, object: WorkloadObject): number | undefined {
  if (resource !== "daemonsets") {
    return desiredReplicas(object);
  }
  return object.status?.observedGeneration === undefined ? undefined : (object.status.desiredNumberScheduled ?? 0);
}
