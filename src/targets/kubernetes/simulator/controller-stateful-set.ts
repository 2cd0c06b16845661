import { isDeleting } from "./deletion.ts";
import { arrayAt, type KubeObject, numberAt, stringAt } from "./json.ts";
import { currentRevision, revisionOf, templateAt } from "./revisions.ts";
import { isReady, replicasOf, templateOf, type Workshop } from "./workshop.ts";

/** One step of the StatefulSet controller: ordinal by ordinal, from the highest when updating, down to the partition. */
export function syncStatefulSet(workshop: Workshop, set: KubeObject): number | undefined {
  const update = currentRevision(workshop, set, "controller.kubernetes.io/hash").metadata.name;
  const current = stringAt(set, "status", "currentRevision") || update;
  if (!isDeleting(set)) arrange(workshop, set, current, update);
  writeStatus(workshop, set, current, update);
  const waits = workshop
    .pods(set)
    .filter(isReady)
    .map((pod) => untilAvailable(workshop, set, pod));
  const next = Math.min(...waits.filter((wait) => wait > 0));
  return Number.isFinite(next) ? next : undefined;
}

/** In how many milliseconds a ready pod has been so for minReadySeconds. */
function untilAvailable(workshop: Workshop, set: KubeObject, pod: KubeObject): number {
  const ready = arrayAt(pod, "status", "conditions").find((condition) => stringAt(condition, "type") === "Ready");
  const since = Date.parse(stringAt(ready, "lastTransitionTime"));
  return Math.max(0, since + 1_000 * numberAt(set, ["spec", "minReadySeconds"]) - workshop.ambient.now());
}

function isAvailable(workshop: Workshop, set: KubeObject, pod: KubeObject): boolean {
  return isReady(pod) && untilAvailable(workshop, set, pod) === 0;
}

function ordinalOf(pod: KubeObject): number {
  return Number(pod.metadata.name.slice(pod.metadata.name.lastIndexOf("-") + 1));
}

function partitionOf(set: KubeObject): number {
  return numberAt(set, ["spec", "updateStrategy", "rollingUpdate", "partition"]);
}

function arrange(workshop: Workshop, set: KubeObject, current: string, update: string): void {
  const ordered = stringAt(set, "spec", "podManagementPolicy") !== "Parallel";
  const wanted = replicasOf(set);
  const pods = new Map(workshop.pods(set).map((pod) => [ordinalOf(pod), pod]));
  for (let ordinal = 0; ordinal < wanted; ordinal += 1) {
    const pod = pods.get(ordinal);
    if (pod === undefined) create(workshop, set, ordinal, current, update);
    if (ordered && (pod === undefined || !isAvailable(workshop, set, pod))) return; // the next one waits for this one
  }
  const surplus = [...pods].filter(([ordinal]) => ordinal >= wanted).sort(([left], [right]) => right - left);
  for (const [, pod] of surplus) {
    workshop.deletePod(pod);
    if (ordered) return;
  }
  if (stringAt(set, "spec", "updateStrategy", "type") !== "RollingUpdate") return;
  for (let ordinal = wanted - 1; ordinal >= partitionOf(set); ordinal -= 1) {
    const pod = pods.get(ordinal);
    if (pod === undefined || !isAvailable(workshop, set, pod)) return;
    if (revisionOf(pod) !== update) {
      workshop.deletePod(pod);
      return;
    }
  }
}

/** Below the partition, and for OnDelete as on a real cluster only when the pod was never updated, the old revision is made again. */
function create(workshop: Workshop, set: KubeObject, ordinal: number, current: string, update: string): void {
  const rolling = stringAt(set, "spec", "updateStrategy", "type") === "RollingUpdate";
  const revision = rolling && ordinal < partitionOf(set) ? current : update;
  const name = `${set.metadata.name}-${ordinal}`;
  const nodes = workshop.nodes();
  workshop.createPod(
    set,
    name,
    templateAt(workshop, set, revision) ?? templateOf(set),
    {
      "apps.kubernetes.io/pod-index": String(ordinal),
      "controller-revision-hash": revision,
      "statefulset.kubernetes.io/pod-name": name,
    },
    nodes[ordinal % Math.max(1, nodes.length)] ?? "",
  );
}

function writeStatus(workshop: Workshop, set: KubeObject, current: string, update: string): void {
  const pods = workshop.pods(set);
  const ready = pods.filter(isReady).length;
  const staying = pods.filter((pod) => !isDeleting(pod));
  const count = (revision: string) => staying.filter((pod) => revisionOf(pod) === revision).length;
  const wanted = replicasOf(set);
  const rolling = stringAt(set, "spec", "updateStrategy", "type") === "RollingUpdate";
  const complete = rolling && count(update) === wanted && pods.length === wanted && ready === wanted;
  const base = complete ? update : current;
  const counts = { readyReplicas: ready, currentReplicas: count(base), updatedReplicas: count(update) };
  workshop.writeStatus(workshop.resource("apps", "statefulsets"), set, {
    observedGeneration: numberAt(set, ["metadata", "generation"]),
    replicas: pods.length,
    ...Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0)),
    currentRevision: base,
    updateRevision: update,
    collisionCount: 0,
    availableReplicas: pods.filter((pod) => isAvailable(workshop, set, pod)).length,
  });
}
