import type { Reason } from "../../../core/errors.ts";
import type { WorkloadObject } from "./object.ts";
import { daemonSetStatus, deploymentStatus, type KindStatus, rolloutStatus, statefulSetStatus } from "./status.ts";

/** Key of the pod template's annotation that a restart changes: kubectl's. */
export const RESTARTED_AT = "kubectl.kubernetes.io/restartedAt";

/** Where a restart's value goes. */
export type Mechanism = "template annotation" | "spec.restartAt";

/** A state in which a kind must not be restarted, held off by the request itself. */
export interface Guard {
  /** Why such an object is refused. */
  readonly reason: Reason;
  /** The field that decides. */
  readonly path: readonly string[];
  /** What the field must be where the object could not be read first. Where it is anything else, a look decides. */
  readonly unread: unknown;
  /** What an object that was read is held to. Default: the field. */
  readonly holds?: (object: WorkloadObject) => readonly (readonly string[])[];
  /** Whether an object as read must not be restarted. */
  readonly forbids: (object: WorkloadObject) => boolean;
}

/** One kind that can be restarted, as data: what is checked before, where the value goes, how its rollout is judged after. */
export interface Kind {
  /** API group. */
  readonly group: string;
  /** Resource in plural. */
  readonly resource: string;
  /** Version that lists ask for when the caller names none; undefined for a group that lives on only in old clusters. */
  readonly listedVersion?: string;
  readonly mechanism: Mechanism;
  /** What must hold when the request is applied, beside `metadata.deletionTimestamp`, which is guarded for every kind. */
  readonly guards: readonly Guard[];
  /** How far its rollout has come, when the API server's clock shows `now` (epoch ms). */
  readonly status: (object: WorkloadObject, now: number) => KindStatus;
}

const paused: Guard = {
  reason: "PAUSED",
  path: ["spec", "paused"],
  unread: null,
  forbids: (object) => object.spec?.paused === true,
};

const onDelete: Guard = {
  reason: "UPDATE_STRATEGY_ON_DELETE",
  path: ["spec", "updateStrategy", "type"],
  unread: "RollingUpdate",
  forbids: (object) => object.spec?.updateStrategy?.type === "OnDelete",
};

const PARTITION = ["spec", "updateStrategy", "rollingUpdate", "partition"];

const partition: Guard = {
  reason: "NOTHING_TO_RESTART",
  path: PARTITION,
  unread: 0,
  // Scaling down to a partition leaves nothing to restart as well.
  holds: (object) => (partitionOf(object) > 0 ? [PARTITION, ["spec", "replicas"]] : [PARTITION]),
  forbids: (object) => partitionOf(object) >= desiredReplicas(object) && desiredReplicas(object) > 0,
};

/** Pods wanted, with the API's default where the object leaves it out. */
export const desiredReplicas = (object: WorkloadObject): number => object.spec?.replicas ?? 1;

/** Ordinals below this one are not updated by a StatefulSet's rolling update. */
export const partitionOf = (object: WorkloadObject): number =>
  object.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;

/** Every kind that can be restarted. kubectl restarts the three of apps (and of extensions, where a cluster still serves it). */
export const KINDS: readonly Kind[] = [
  {
    group: "apps",
    resource: "deployments",
    listedVersion: "v1",
    mechanism: "template annotation",
    guards: [paused],
    status: deploymentStatus,
  },
  {
    group: "apps",
    resource: "statefulsets",
    listedVersion: "v1",
    mechanism: "template annotation",
    guards: [onDelete, partition],
    status: statefulSetStatus,
  },
  {
    group: "apps",
    resource: "daemonsets",
    listedVersion: "v1",
    mechanism: "template annotation",
    guards: [onDelete],
    status: daemonSetStatus,
  },
  {
    group: "extensions",
    resource: "deployments",
    mechanism: "template annotation",
    guards: [paused],
    status: deploymentStatus,
  },
  {
    group: "extensions",
    resource: "daemonsets",
    mechanism: "template annotation",
    guards: [onDelete],
    status: daemonSetStatus,
  },
  {
    // The controller restarts the pods of a paused Rollout too (argo-rollouts rollout/canary.go), so pausing forbids nothing here.
    group: "argoproj.io",
    resource: "rollouts",
    listedVersion: "v1alpha1",
    mechanism: "spec.restartAt",
    guards: [],
    status: rolloutStatus,
  },
];

/** The kind of that group and plural, or undefined when it cannot be restarted. */
export const findKind = (group: string, resource: string): Kind | undefined =>
  KINDS.find((kind) => kind.group === group && kind.resource === resource);
