import { isDeleting } from "./deletion.ts";
import { type KubeObject, numberAt, stringAt, stringsAt, valueAt } from "./json.ts";
import { currentRevision, revisionOf } from "./revisions.ts";
import { isReady, resolveCount, templateOf, type Workshop } from "./workshop.ts";

/** One step of the DaemonSet controller: one pod on each node, replaced as far as maxUnavailable allows. */
export function syncDaemonSet(workshop: Workshop, set: KubeObject): undefined {
  const revision = stringAt(
    currentRevision(workshop, set, "controller-revision-hash"),
    "metadata",
    "labels",
    "controller-revision-hash",
  );
  const nodes = workshop.nodes(stringsAt(set, "spec", "template", "spec", "nodeSelector"));
  if (!isDeleting(set)) {
    const pods = workshop.pods(set);
    for (const pod of pods) if (!nodes.includes(nodeOf(pod))) workshop.deletePod(pod);
    for (const node of nodes) {
      if (pods.some((pod) => nodeOf(pod) === node)) continue;
      const name = `${set.metadata.name}-${workshop.ambient.id().slice(-5)}`;
      const generation = stringAt(set, "metadata", "annotations", "deprecated.daemonset.template.generation");
      const labels = { "controller-revision-hash": revision, "pod-template-generation": generation };
      workshop.createPod(set, name, templateOf(set), labels, node);
    }
    if (stringAt(set, "spec", "updateStrategy", "type") === "RollingUpdate") replaceOld(workshop, set, revision, nodes);
  }
  writeStatus(workshop, set, revision, nodes);
}

function nodeOf(pod: KubeObject): string {
  return stringAt(pod, "spec", "nodeName");
}

function replaceOld(workshop: Workshop, set: KubeObject, revision: string, nodes: readonly string[]): void {
  const limit = valueAt(set, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable");
  const pods = workshop.pods(set);
  let room = Math.max(1, resolveCount(limit, nodes.length, true)) - (nodes.length - pods.filter(isReady).length);
  const old = pods.filter((pod) => !isDeleting(pod) && revisionOf(pod) !== revision);
  for (const pod of old.filter((item) => !isReady(item))) workshop.deletePod(pod);
  for (const pod of old.filter(isReady)) {
    if (room <= 0) return;
    workshop.deletePod(pod);
    room -= 1;
  }
}

function writeStatus(workshop: Workshop, set: KubeObject, revision: string, nodes: readonly string[]): void {
  const pods = workshop.pods(set).filter((pod) => !isDeleting(pod));
  const ready = pods.filter(isReady).length;
  const counts = {
    updatedNumberScheduled: pods.filter((pod) => revisionOf(pod) === revision).length,
    numberAvailable: ready,
    numberUnavailable: nodes.length - ready,
  };
  workshop.writeStatus(workshop.resource("apps", "daemonsets"), set, {
    currentNumberScheduled: pods.length,
    numberMisscheduled: 0,
    desiredNumberScheduled: nodes.length,
    numberReady: ready,
    observedGeneration: numberAt(set, ["metadata", "generation"]),
    ...Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0)),
  });
}
