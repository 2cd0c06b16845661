import { equal, type JsonObject, type KubeObject, numberAt, objectAt, stringAt, stringsAt, valueAt } from "./json.ts";
import { hashOf, templateOf, type Workshop } from "./workshop.ts";

/** The ControllerRevision of a StatefulSet's or DaemonSet's present template; made when there is none yet. */
export function currentRevision(workshop: Workshop, owner: KubeObject, hashLabel: string): KubeObject {
  const resource = workshop.resource("apps", "controllerrevisions");
  const known = workshop.owned(owner, resource);
  const newest = Math.max(0, ...known.map((item) => numberAt(item, ["revision"])));
  const found = known.find((item) => equal(valueAt(item, "data", "spec", "template"), stored(templateOf(owner))));
  if (found !== undefined) {
    // Going back to an older template makes its revision the newest again.
    return numberAt(found, ["revision"]) === newest ? found : workshop.write(resource, found, { revision: newest + 1 });
  }
  const hash = hashOf(templateOf(owner));
  const labels = { ...stringsAt(owner, "spec", "template", "metadata", "labels"), [hashLabel]: hash };
  return workshop.createOwned(
    resource,
    owner,
    `${owner.metadata.name}-${hash}`,
    { labels },
    {
      data: { spec: { template: stored(templateOf(owner)) } },
      revision: newest + 1,
    },
  );
}

/** The template that a revision keeps; undefined when the revision is gone. */
export function templateAt(workshop: Workshop, owner: KubeObject, name: string): JsonObject | undefined {
  const revision = workshop
    .owned(owner, workshop.resource("apps", "controllerrevisions"))
    .find((item) => item.metadata.name === name);
  if (revision === undefined) return undefined;
  const { $patch: _patch, ...template } = objectAt(revision, "data", "spec", "template");
  return template;
}

/** The revision that a pod was made from. */
export function revisionOf(pod: KubeObject): string {
  return stringAt(pod, "metadata", "labels", "controller-revision-hash");
}

function stored(template: JsonObject): JsonObject {
  return { $patch: "replace", ...template };
}
