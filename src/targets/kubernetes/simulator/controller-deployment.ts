import { isDeleting } from "./deletion.ts";
import { deploymentStatus, maxUnavailable, setCondition, surge } from "./deployment-status.ts";
import {
  clone,
  equal,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectAt,
  stringAt,
  stringsAt,
  valueAt,
} from "./json.ts";
import { hashOf, replicasOf, templateOf, type Workshop } from "./workshop.ts";

const revisionKey = "deployment.kubernetes.io/revision";

/** One step of the Deployment controller. Answers in how many milliseconds to look again, if time alone matters. */
export function syncDeployment(workshop: Workshop, deployment: KubeObject): number | undefined {
  const resource = workshop.resource("apps", "deployments");
  const sets = () => workshop.owned(deployment, workshop.resource("apps", "replicasets"));
  if (isDeleting(deployment)) {
    const { status } = deploymentStatus(workshop, deployment, sets(), undefined);
    workshop.writeStatus(resource, deployment, status);
    return undefined;
  }
  let current = markPause(workshop, deployment);
  let newest = sets().find((set) => sameTemplate(set, current));
  if (current.spec !== undefined && valueAt(current, "spec", "paused") !== true) {
    if (newest === undefined) {
      newest = createSet(workshop, current, sets());
      // A real controller writes the new revision before it says that it observed the generation.
      const created = `Created new replica set "${newest.metadata.name}"`;
      const conditions = setCondition(
        current,
        workshop.stamp(),
        "Progressing",
        "True",
        "NewReplicaSetCreated",
        created,
      );
      const status = { ...objectAt(current, "status"), conditions };
      current = workshop.writeStatus(resource, current, status, {
        [revisionKey]: stringAt(newest, "metadata", "annotations", revisionKey),
      });
    }
    roll(workshop, current, newest, sets());
  } else {
    const active = newest ?? sets().findLast((set) => replicasOf(set) > 0);
    if (active !== undefined) scaleSet(workshop, active, replicasOf(current));
  }
  const { status, lookAgain } = deploymentStatus(workshop, current, sets(), newest?.metadata.name);
  workshop.writeStatus(resource, current, status);
  return lookAgain;
}

/** Notes in the conditions that the rollout was paused or resumed. */
function markPause(workshop: Workshop, deployment: KubeObject): KubeObject {
  const paused = valueAt(deployment, "spec", "paused") === true;
  const conditions = objectAt(deployment, "status").conditions;
  const reason = Array.isArray(conditions)
    ? stringAt(
        conditions.find((condition) => stringAt(condition, "type") === "Progressing"),
        "reason",
      )
    : "";
  if (paused === (reason === "DeploymentPaused")) return deployment;
  const [why, text] = paused
    ? ["DeploymentPaused", "Deployment is paused"]
    : ["DeploymentResumed", "Deployment is resumed"];
  const changed = setCondition(deployment, workshop.stamp(), "Progressing", "Unknown", why ?? "", text ?? "");
  const status = { ...objectAt(deployment, "status"), conditions: changed };
  return workshop.writeStatus(workshop.resource("apps", "deployments"), deployment, status);
}

function sameTemplate(set: KubeObject, deployment: KubeObject): boolean {
  const template = clone(templateOf(set));
  const labels = objectAt(template, "metadata", "labels");
  delete labels["pod-template-hash"];
  return equal(template, templateOf(deployment));
}

function createSet(workshop: Workshop, deployment: KubeObject, sets: readonly KubeObject[]): KubeObject {
  const template = clone(templateOf(deployment));
  const hash = hashOf(template);
  const labels = { ...stringsAt(template, "metadata", "labels"), "pod-template-hash": hash };
  template.metadata = { ...objectAt(template, "metadata"), labels };
  const revisions = sets.map((set) => Number(stringAt(set, "metadata", "annotations", revisionKey)));
  const wanted = replicasOf(deployment);
  return workshop.createOwned(
    workshop.resource("apps", "replicasets"),
    deployment,
    `${deployment.metadata.name}-${hash}`,
    {
      labels,
      annotations: {
        "deployment.kubernetes.io/desired-replicas": String(wanted),
        "deployment.kubernetes.io/max-replicas": String(wanted + surge(deployment)),
        [revisionKey]: String(Math.max(0, ...revisions) + 1),
      },
    },
    {
      spec: {
        replicas: 0,
        selector: {
          matchLabels: { ...stringsAt(deployment, "spec", "selector", "matchLabels"), "pod-template-hash": hash },
        },
        template,
      },
      status: { replicas: 0 },
    },
  );
}

function roll(workshop: Workshop, deployment: KubeObject, newest: KubeObject, sets: readonly KubeObject[]): void {
  const wanted = replicasOf(deployment);
  const old = sets.filter((set) => set.metadata.uid !== newest.metadata.uid);
  if (stringAt(deployment, "spec", "strategy", "type") === "Recreate") {
    for (const set of old) scaleSet(workshop, set, 0);
    // Every old pod is gone, not only going, before the first new one comes.
    if (old.every((set) => workshop.pods(set).length === 0)) scaleSet(workshop, newest, wanted);
    return;
  }
  const total = sets.reduce((sum, set) => sum + replicasOf(set), 0);
  const now = replicasOf(newest);
  if (now > wanted) scaleSet(workshop, newest, wanted);
  else if (now < wanted && total < wanted + surge(deployment)) {
    scaleSet(workshop, newest, Math.min(wanted, now + wanted + surge(deployment) - total));
    return;
  }
  scaleDownOld(workshop, deployment, newest, old, total);
}

function scaleDownOld(
  workshop: Workshop,
  deployment: KubeObject,
  newest: KubeObject,
  old: readonly KubeObject[],
  total: number,
): void {
  const available = (set: KubeObject) => numberAt(set, ["status", "availableReplicas"]);
  const least = replicasOf(deployment) - maxUnavailable(deployment);
  const missing = replicasOf(newest) - available(newest);
  let allowed = total - least - missing;
  // Unready old pods go first: they serve nobody.
  for (const set of old) {
    const unready = Math.min(Math.max(0, allowed), Math.max(0, replicasOf(set) - available(set)));
    if (unready === 0) continue;
    scaleSet(workshop, set, replicasOf(set) - unready);
    allowed -= unready;
  }
  let spare = [newest, ...old].reduce((sum, set) => sum + available(set), 0) - least;
  for (const stale of old) {
    const set = workshop.store.get(
      workshop.resource("apps", "replicasets"),
      String(stale.metadata.namespace),
      stale.metadata.name,
    );
    if (set === undefined || spare <= 0) continue;
    const count = Math.min(replicasOf(set), spare);
    if (count > 0) scaleSet(workshop, set, replicasOf(set) - count);
    spare -= count;
  }
}

function scaleSet(workshop: Workshop, set: KubeObject, replicas: number): void {
  if (replicasOf(set) === replicas) return;
  const spec: JsonObject = { ...objectAt(set, "spec"), replicas };
  workshop.write(workshop.resource("apps", "replicasets"), set, { spec });
}
