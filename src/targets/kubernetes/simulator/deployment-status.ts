import { isDeleting } from "./deletion.ts";
import { arrayAt, type Json, type JsonObject, type KubeObject, numberAt, objectAt, stringAt, valueAt } from "./json.ts";
import { isReady, replicasOf, resolveCount, type Workshop } from "./workshop.ts";

/** A status, and in how many milliseconds time alone may change it. */
export interface Outcome {
  readonly status: JsonObject;
  readonly lookAgain: number | undefined;
}

/** The status of a Deployment out of its ReplicaSets, with the conditions Available and Progressing. */
export function deploymentStatus(
  workshop: Workshop,
  deployment: KubeObject,
  sets: readonly KubeObject[],
  newest: string | undefined,
): Outcome {
  const { counts, terminating } = countsOf(workshop, sets, newest);
  const enough = counts.availableReplicas >= replicasOf(deployment) - maxUnavailable(deployment);
  const at = workshop.stamp();
  let conditions = enough
    ? setCondition(
        deployment,
        at,
        "Available",
        "True",
        "MinimumReplicasAvailable",
        "Deployment has minimum availability.",
      )
    : setCondition(
        deployment,
        at,
        "Available",
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
      );
  const progress = progressOf(workshop, deployment, counts, newest);
  if (progress.reason !== undefined) {
    const { status, reason, message } = progress;
    const withAvailable: KubeObject = { ...deployment, status: { ...objectAt(deployment, "status"), conditions } };
    conditions = setCondition(withAvailable, at, "Progressing", status, reason, message, progress.renew);
  }
  const nonZero = Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0));
  return {
    status: {
      observedGeneration: numberAt(deployment, ["metadata", "generation"]),
      ...nonZero,
      terminatingReplicas: terminating,
      conditions,
    },
    lookAgain: progress.lookAgain,
  };
}

function countsOf(workshop: Workshop, sets: readonly KubeObject[], newest: string | undefined) {
  const pods = sets.flatMap((set) => workshop.pods(set).map((pod) => ({ pod, isNew: set.metadata.name === newest })));
  const active = pods.filter(({ pod }) => !isDeleting(pod));
  const ready = active.filter(({ pod }) => isReady(pod)).length;
  const counts = {
    replicas: active.length,
    updatedReplicas: active.filter(({ isNew }) => isNew).length,
    readyReplicas: ready,
    availableReplicas: ready,
    unavailableReplicas: Math.max(0, sets.reduce((sum, set) => sum + replicasOf(set), 0) - ready),
  };
  return { counts, terminating: pods.length - active.length };
}

interface Progress {
  readonly status: "True" | "False";
  /** Undefined leaves the condition as it is. */
  readonly reason: string | undefined;
  readonly message: string;
  /** Whether the condition's time moves although its reason stays. */
  readonly renew: boolean;
  readonly lookAgain: number | undefined;
}

const unchanged: Progress = { status: "True", reason: undefined, message: "", renew: false, lookAgain: undefined };

type Counts = Readonly<Record<string, number>>;

function progressOf(workshop: Workshop, deployment: KubeObject, counts: Counts, newest: string | undefined): Progress {
  const condition = arrayAt(deployment, "status", "conditions").find(
    (item) => stringAt(item, "type") === "Progressing",
  );
  const deadline = numberAt(deployment, ["spec", "progressDeadlineSeconds"], 600);
  if (valueAt(deployment, "spec", "paused") === true || newest === undefined || deadline >= 2147483647)
    return unchanged;
  const reason = stringAt(condition, "reason");
  // Once complete, scaling is no rollout: only a pod of an older template makes it one again.
  if (reason === "NewReplicaSetAvailable" && counts.replicas === counts.updatedReplicas) return unchanged;
  const set = `ReplicaSet ${JSON.stringify(newest)}`;
  const wanted = replicasOf(deployment);
  if (counts.updatedReplicas === wanted && counts.replicas === wanted && counts.availableReplicas === wanted) {
    return { ...unchanged, reason: "NewReplicaSetAvailable", message: `${set} has successfully progressed.` };
  }
  const remaining = Date.parse(stringAt(condition, "lastUpdateTime")) + deadline * 1000 - workshop.ambient.now();
  const lookAgain = Math.max(10, remaining + 1000);
  if (hasProgressed(deployment, counts)) {
    const message = `${set} is progressing.`;
    return { ...unchanged, reason: "ReplicaSetUpdated", message, renew: true, lookAgain: deadline * 1000 + 1000 };
  }
  if (reason === "ProgressDeadlineExceeded") return unchanged;
  if (condition === undefined || remaining > 0) return { ...unchanged, lookAgain };
  return {
    ...unchanged,
    status: "False",
    reason: "ProgressDeadlineExceeded",
    message: `${set} has timed out progressing.`,
  };
}

function hasProgressed(deployment: KubeObject, counts: Counts): boolean {
  const before = (name: string) => numberAt(deployment, ["status", name]);
  const grew = (name: string) => (counts[name] ?? 0) > before(name);
  const oldNow = (counts.replicas ?? 0) - (counts.updatedReplicas ?? 0);
  return (
    grew("updatedReplicas") ||
    grew("readyReplicas") ||
    grew("availableReplicas") ||
    oldNow < before("replicas") - before("updatedReplicas")
  );
}

/** The conditions of an object with one set: its transition time moves with its status, its update time with its reason. */
export function setCondition(
  object: KubeObject,
  at: string,
  type: string,
  status: string,
  reason: string,
  message: string,
  renew = false,
): Json[] {
  const conditions = arrayAt(object, "status", "conditions");
  const before = conditions.find((condition) => stringAt(condition, "type") === type);
  const same = stringAt(before, "status") === status;
  if (before !== undefined && same && !renew && stringAt(before, "reason") === reason) return conditions;
  const condition = {
    type,
    status,
    lastUpdateTime: at,
    lastTransitionTime: same ? stringAt(before, "lastTransitionTime") : at,
    reason,
    message,
  };
  return [...conditions.filter((other) => other !== before), condition];
}

/** How many pods may be too many. */
export function surge(deployment: KubeObject): number {
  const value = valueAt(deployment, "spec", "strategy", "rollingUpdate", "maxSurge");
  return resolveCount(value, replicasOf(deployment), true);
}

/** How many pods may be missing. Both limits zero would stand still: then one may. */
export function maxUnavailable(deployment: KubeObject): number {
  if (stringAt(deployment, "spec", "strategy", "type") === "Recreate") return 0;
  const value = valueAt(deployment, "spec", "strategy", "rollingUpdate", "maxUnavailable");
  const count = resolveCount(value, replicasOf(deployment), false);
  return Math.min(replicasOf(deployment), count === 0 && surge(deployment) === 0 ? 1 : count);
}
