import { isProtected } from "./controller-budget.ts";
import { isDeleting } from "./deletion.ts";
import { setCondition } from "./deployment-status.ts";
import {
  clone,
  equal,
  isObject,
  type JsonObject,
  type KubeObject,
  objectAt,
  stringAt,
  stringsAt,
  valueAt,
} from "./json.ts";
import { hashOf, isReady, replicasOf, resolveCount, templateOf, type Workshop } from "./workshop.ts";

const hashKey = "rollouts-pod-template-hash";
/** How often (ms) Argo tries again to evict what a budget protects. */
const RESTART_CHECK_MS = 30_000;
const revisionKey = "rollout.argoproj.io/revision";

/**
 * One step of Argo's Rollout controller, for a canary without steps: a new template is rolled pod by pod, and
 * `spec.restartAt` replaces the pods that are older. Answers in how many milliseconds a future restart is due.
 */
export function syncRollout(workshop: Workshop, rollout: KubeObject): number | undefined {
  if (isDeleting(rollout) || valueAt(rollout, "spec", "workloadRef") !== undefined) return undefined;
  const resource = workshop.resource("argoproj.io", "rollouts");
  const invalid = invalidStatus(workshop, rollout);
  if (invalid !== undefined) {
    workshop.writeStatus(resource, rollout, invalid);
    return undefined;
  }
  const sets = () => workshop.owned(rollout, workshop.resource("apps", "replicasets"));
  const paused = valueAt(rollout, "spec", "paused") === true;
  const newest = sets().find((set) => sameTemplate(set, rollout)) ?? createSet(workshop, rollout, sets());
  const restart = restartPods(workshop, rollout, sets());
  if (!paused || sets().length === 1) scale(workshop, rollout, newest, sets());
  const revision = stringAt(newest, "metadata", "annotations", revisionKey);
  const restartedAt = restart.done
    ? stringAt(rollout, "spec", "restartAt")
    : stringAt(rollout, "status", "restartedAt");
  workshop.writeStatus(resource, rollout, statusOf(workshop, rollout, newest, sets(), restartedAt), {
    [revisionKey]: revision,
  });
  return restart.lookAgain;
}

/** The status of a Rollout that Argo does nothing for, or undefined for a valid one: here, one with a strategy. */
function invalidStatus(workshop: Workshop, rollout: KubeObject): JsonObject | undefined {
  const { canary, blueGreen } = objectAt(rollout, "spec", "strategy");
  if (canary !== undefined || blueGreen !== undefined) return undefined;
  const field = ".spec.strategy.canary or .spec.strategy.blueGreen";
  const message = `The Rollout "${rollout.metadata.name}" is invalid: spec.strategy.strategy: Required value: Rollout has missing field '${field}'`;
  return {
    ...objectAt(rollout, "status"),
    conditions: setCondition(rollout, workshop.stamp(), "InvalidSpec", "True", "InvalidSpec", message),
    observedGeneration: String(rollout.metadata.generation),
    phase: "Degraded",
    message: `InvalidSpec: ${message}`,
  };
}

function sameTemplate(set: KubeObject, rollout: KubeObject): boolean {
  const template = clone(templateOf(set));
  delete objectAt(template, "metadata", "labels")[hashKey];
  return equal(template, templateOf(rollout));
}

function createSet(workshop: Workshop, rollout: KubeObject, sets: readonly KubeObject[]): KubeObject {
  const template = clone(templateOf(rollout));
  const hash = hashOf(template);
  const labels = { ...stringsAt(template, "metadata", "labels"), [hashKey]: hash };
  template.metadata = { ...objectAt(template, "metadata"), labels };
  const matchLabels = { ...stringsAt(rollout, "spec", "selector", "matchLabels"), [hashKey]: hash };
  return workshop.createOwned(
    workshop.resource("apps", "replicasets"),
    rollout,
    `${rollout.metadata.name}-${hash}`,
    { labels, annotations: { [revisionKey]: String(sets.length + 1) } },
    { spec: { replicas: 0, selector: { matchLabels }, template }, status: { replicas: 0 } },
  );
}

function scale(workshop: Workshop, rollout: KubeObject, newest: KubeObject, sets: readonly KubeObject[]): void {
  const wanted = replicasOf(rollout);
  const old = sets.filter((set) => set.metadata.uid !== newest.metadata.uid && replicasOf(set) > 0);
  const ready = workshop.pods(newest).filter(isReady).length;
  // The first revision comes whole, as in Argo; later ones one pod ahead of those that are ready.
  setReplicas(workshop, newest, old.length === 0 ? wanted : Math.min(wanted, ready + 1));
  let spare = old.reduce((sum, set) => sum + replicasOf(set), 0) - Math.max(0, wanted - ready);
  for (const set of old) {
    const count = Math.min(replicasOf(set), Math.max(0, spare));
    setReplicas(workshop, set, replicasOf(set) - count);
    spare -= count;
  }
}

function setReplicas(workshop: Workshop, set: KubeObject, replicas: number): void {
  if (replicasOf(set) === replicas) return;
  workshop.write(workshop.resource("apps", "replicasets"), set, { spec: { ...objectAt(set, "spec"), replicas } });
}

/** Restarts pods older than `spec.restartAt`, never more at a time than may be unavailable (at least one). */
function restartPods(
  workshop: Workshop,
  rollout: KubeObject,
  sets: readonly KubeObject[],
): { done: boolean; lookAgain: number | undefined } {
  const restartAt = stringAt(rollout, "spec", "restartAt");
  const due = Date.parse(restartAt);
  if (Number.isNaN(due) || due === Date.parse(stringAt(rollout, "status", "restartedAt"))) {
    return { done: false, lookAgain: undefined };
  }
  const now = workshop.ambient.now();
  if (now < due) return { done: false, lookAgain: due - now };
  const pods = sets.flatMap((set) => workshop.pods(set));
  const wanted = replicasOf(rollout);
  const limit = valueAt(rollout, "spec", "strategy", "canary", "maxUnavailable") ?? "25%";
  let room = pods.filter(isReady).length - (wanted - Math.max(1, resolveCount(limit, wanted, false)));
  let remaining = 0;
  for (const pod of pods.filter((item) => Date.parse(item.metadata.creationTimestamp) < due)) {
    if (isDeleting(pod) || room <= 0 || isProtected(workshop, pod)) {
      remaining += 1;
      continue;
    }
    workshop.deletePod(pod);
    room -= 1;
  }
  return { done: remaining === 0, lookAgain: remaining === 0 ? undefined : RESTART_CHECK_MS };
}

function statusOf(
  workshop: Workshop,
  rollout: KubeObject,
  newest: KubeObject,
  sets: readonly KubeObject[],
  restartedAt: string,
): JsonObject {
  const active = (set: KubeObject) => workshop.pods(set).filter((pod) => !isDeleting(pod));
  const pods = sets.flatMap(active);
  const ready = pods.filter(isReady).length;
  const hash = stringAt(newest, "metadata", "labels", hashKey);
  const updated = active(newest);
  const complete = updated.length === pods.length && ready === replicasOf(rollout) && updated.length === ready;
  const stable = complete ? hash : stringAt(rollout, "status", "stableRS");
  const counts = {
    HPAReplicas: pods.length,
    replicas: pods.length,
    readyReplicas: ready,
    availableReplicas: updated.filter(isReady).length,
    updatedReplicas: updated.length,
  };
  const base: JsonObject = {
    ...Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0)),
    blueGreen: {},
    canary: {},
    currentPodHash: hash,
    observedGeneration: String(rollout.metadata.generation),
    ...(restartedAt === "" ? {} : { restartedAt }),
    selector: Object.entries(stringsAt(rollout, "spec", "selector", "matchLabels"))
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    ...(stable === "" ? {} : { stableRS: stable }),
  };
  const [phase, message] = phaseOf(rollout, base, pods.length);
  return {
    ...base,
    conditions: conditionsOf(workshop, rollout, phase, newest.metadata.name),
    phase,
    ...(message === "" ? {} : { message }),
  };
}

function phaseOf(rollout: KubeObject, status: JsonObject, replicas: number): [string, string] {
  const number = (name: string) => (typeof status[name] === "number" ? status[name] : 0);
  if (valueAt(rollout, "spec", "paused") === true) return ["Paused", "manually paused"];
  const restartAt = stringAt(rollout, "spec", "restartAt");
  if (restartAt !== "" && Date.parse(restartAt) !== Date.parse(stringAt(status, "restartedAt"))) {
    return ["Progressing", "rollout is restarting"];
  }
  if (number("updatedReplicas") < replicasOf(rollout)) return ["Progressing", "more replicas need to be updated"];
  if (number("availableReplicas") < number("updatedReplicas")) {
    return ["Progressing", "updated replicas are still becoming available"];
  }
  if (isObject(valueAt(rollout, "spec", "strategy", "canary")) && replicas > number("updatedReplicas")) {
    return ["Progressing", "old replicas are pending termination"];
  }
  return ["Healthy", ""];
}

function conditionsOf(workshop: Workshop, rollout: KubeObject, phase: string, set: string) {
  const at = workshop.stamp();
  const healthy = phase === "Healthy";
  const [reason, message] = healthy
    ? ["NewReplicaSetAvailable", `ReplicaSet "${set}" has successfully progressed.`]
    : phase === "Paused"
      ? ["RolloutPaused", "Rollout is paused"]
      : ["ReplicaSetUpdated", `ReplicaSet "${set}" is progressing.`];
  const first = setCondition(
    rollout,
    at,
    "Healthy",
    healthy ? "True" : "False",
    "RolloutHealthy",
    healthy ? "Rollout is healthy" : "Rollout is not healthy",
  ).filter((condition) => stringAt(condition, "type") !== "InvalidSpec");
  const withFirst: KubeObject = { ...rollout, status: { ...objectAt(rollout, "status"), conditions: first } };
  return setCondition(
    withFirst,
    at,
    "Progressing",
    phase === "Paused" ? "Unknown" : "True",
    reason ?? "",
    message ?? "",
  );
}
