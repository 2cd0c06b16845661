import { isDeleting } from "./deletion.ts";
import { arrayAt, type JsonObject, type KubeObject, objectAt, stringAt, stringsAt, valueAt } from "./json.ts";
import { namespaceOf } from "./store.ts";
import { isReady, resolveCount, type Workshop } from "./workshop.ts";

/** One step of the disruption controller: how many of a budget's pods may be evicted now. */
export function syncBudget(workshop: Workshop, budget: KubeObject): undefined {
  const pods = workshop.store
    .list(workshop.resource("", "pods"), namespaceOf(budget))
    .filter((pod) => !isDeleting(pod) && chooses(budget, pod));
  const healthy = pods.filter(isReady).length;
  const minimum = valueAt(budget, "spec", "minAvailable");
  const desired =
    minimum === undefined
      ? pods.length - resolveCount(valueAt(budget, "spec", "maxUnavailable"), pods.length, true)
      : resolveCount(minimum, pods.length, true);
  const allowed = Math.max(0, healthy - desired);
  const status: JsonObject = {
    conditions: [
      {
        type: "DisruptionAllowed",
        status: allowed > 0 ? "True" : "False",
        reason: allowed > 0 ? "SufficientPods" : "InsufficientPods",
        message: "",
        observedGeneration: budget.metadata.generation ?? 1,
        lastTransitionTime:
          stringAt(arrayAt(budget, "status", "conditions")[0], "lastTransitionTime") || workshop.stamp(),
      },
    ],
    currentHealthy: healthy,
    desiredHealthy: Math.max(0, desired),
    disruptionsAllowed: allowed,
    expectedPods: pods.length,
    observedGeneration: budget.metadata.generation ?? 1,
  };
  workshop.writeStatus(workshop.resource("policy", "poddisruptionbudgets"), budget, status);
}

/** Whether some budget keeps a pod from being evicted: the eviction is answered 429. */
export const isProtected = (workshop: Workshop, pod: KubeObject): boolean =>
  workshop.store
    .list(workshop.resource("policy", "poddisruptionbudgets"), namespaceOf(pod))
    .some((budget) => chooses(budget, pod) && valueAt(budget, "status", "disruptionsAllowed") === 0);

function chooses(budget: KubeObject, pod: KubeObject): boolean {
  const labels = stringsAt(pod, "metadata", "labels");
  const wanted = Object.entries(stringsAt(objectAt(budget, "spec", "selector"), "matchLabels"));
  return wanted.every(([key, value]) => labels[key] === value);
}
