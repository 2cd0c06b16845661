import { clone, type JsonObject, type KubeObject, numberAt, stringAt, stringsAt } from "./json.ts";
import { readPatch } from "./patch.ts";
import { type Registry, subjectOf, type Target, type WriteContext } from "./registry.ts";
import { conflict, invalid } from "./status-errors.ts";

/** The `autoscaling/v1` Scale of a workload. */
export function scaleOf(object: KubeObject): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const labels = Object.entries(stringsAt(object, "spec", "selector", "matchLabels"));
  const replicas = numberAt(object, ["spec", "replicas"]);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace: namespace ?? "", uid, resourceVersion, creationTimestamp },
    spec: replicas === 0 ? {} : { replicas },
    status: {
      replicas: numberAt(object, ["status", "replicas"]),
      selector: labels.map(([key, value]) => `${key}=${value}`).join(","),
    },
  };
}

/** Stores the number of replicas of a Scale document. */
export function putScale(registry: Registry, target: Target, scale: JsonObject, context: WriteContext): JsonObject {
  const object = registry.read(target);
  const version = stringAt(scale, "metadata", "resourceVersion");
  if (version !== "" && version !== object.metadata.resourceVersion) throw conflict(subjectOf(target));
  const replicas = numberAt(scale, ["spec", "replicas"]);
  if (replicas < 0) {
    const message = `Invalid value: ${replicas}: must be greater than or equal to 0`;
    const subject = { group: "autoscaling", kind: "Scale", name: target.name };
    throw invalid(subject, [{ reason: "FieldValueInvalid", message, field: "spec.replicas" }]);
  }
  const wanted = clone<JsonObject>(object);
  wanted.spec = { ...(typeof wanted.spec === "object" && !Array.isArray(wanted.spec) ? wanted.spec : {}), replicas };
  return scaleOf(registry.write(target, wanted, context, "patch"));
}

/** Patches the Scale document and stores the outcome. */
export function patchScale(
  registry: Registry,
  target: Target,
  contentType: string,
  text: string,
  context: WriteContext,
): JsonObject {
  const patch = readPatch(target.resource, contentType, text, "any");
  return putScale(registry, target, patch.apply(scaleOf(registry.read(target))), context);
}
