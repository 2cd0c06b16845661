import { isDeleting } from "./deletion.ts";
import { type KubeObject, numberAt, stringAt } from "./json.ts";
import { isReady, replicasOf, templateOf, type Workshop } from "./workshop.ts";

/** One step of the ReplicaSet controller: as many pods as wanted, and the counts in the status. */
export function syncReplicaSet(workshop: Workshop, set: KubeObject): undefined {
  const active = () => workshop.pods(set).filter((pod) => !isDeleting(pod));
  if (!isDeleting(set)) {
    const pods = active();
    for (let missing = replicasOf(set) - pods.length; missing > 0; missing -= 1) {
      const name = `${set.metadata.name}-${workshop.ambient.id().slice(-5)}`;
      const nodes = workshop.nodes();
      const node = nodes[workshop.pods(set).length % Math.max(1, nodes.length)] ?? "";
      workshop.createPod(set, name, templateOf(set), {}, node);
    }
    for (const pod of surplus(pods, pods.length - replicasOf(set))) workshop.deletePod(pod);
  }
  const remaining = active();
  const ready = remaining.filter(isReady).length;
  workshop.writeStatus(workshop.resource("apps", "replicasets"), set, {
    replicas: remaining.length,
    ...(remaining.length === 0 ? {} : { fullyLabeledReplicas: remaining.length }),
    ...(ready === 0 ? {} : { readyReplicas: ready, availableReplicas: ready }),
    terminatingReplicas: workshop.pods(set).length - remaining.length,
    observedGeneration: numberAt(set, ["metadata", "generation"]),
  });
}

/** Unready pods go first, then the youngest. */
function surplus(pods: readonly KubeObject[], count: number): KubeObject[] {
  const order = (pod: KubeObject) => `${isReady(pod) ? 1 : 0}`;
  const created = (pod: KubeObject) => stringAt(pod, "metadata", "creationTimestamp");
  return [...pods]
    .sort((left, right) => order(left).localeCompare(order(right)) || created(right).localeCompare(created(left)))
    .slice(0, Math.max(0, count));
}
