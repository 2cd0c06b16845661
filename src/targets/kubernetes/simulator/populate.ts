import { isObject, type JsonObject, type KubeObject, objectAt, stringAt, valueAt } from "./json.ts";
import type { Registry, WriteContext } from "./registry.ts";
import type { Resource, ResourceTable } from "./resources.ts";
import { namespaceOf } from "./store.ts";
import type { World } from "./world.ts";

/** Writes objects without a request, by the same rules as with one. */
export interface Creator {
  /** Creates an object; its apiVersion and kind say what it is. */
  create(object: JsonObject): KubeObject;
  /** Stores a changed object in place of the one of its name; creates it when there is none. */
  store(resource: Resource, object: KubeObject): KubeObject;
  /** The metadata that is the author's, not the server's. */
  bare(object: KubeObject): JsonObject;
}

const context: WriteContext = { dryRun: false, manager: "kubectl", validation: "Strict", warnings: [] };

/** Fills an empty server with a world: created, rolled out, ready; then the paused ones are paused. */
export function populate(registry: Registry, table: ResourceTable, world: World, settle: () => void): Creator {
  const creator = creatorOf(registry, table);
  for (const name of world.namespaces) creator.create({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  for (const name of world.nodes) creator.create(nodeOf(name));
  const paused: KubeObject[] = [];
  for (const object of world.objects) {
    const pause = stringAt(object, "kind") === "Deployment" && valueAt(object, "spec", "paused") === true;
    const made = creator.create(pause ? { ...object, spec: { ...objectAt(object, "spec"), paused: false } } : object);
    if (pause) paused.push(made);
  }
  settle();
  for (const made of paused) {
    const resource = resourceFor(table, made);
    const target = { resource, namespace: namespaceOf(made), name: made.metadata.name };
    const current = registry.read(target);
    registry.write(target, { ...current, spec: { ...objectAt(current, "spec"), paused: true } }, context, "patch");
  }
  settle();
  return creator;
}

function creatorOf(registry: Registry, table: ResourceTable): Creator {
  const create = (object: JsonObject): KubeObject => {
    const resource = resourceFor(table, object);
    const namespace = resource.namespaced ? stringAt(object, "metadata", "namespace") || "default" : "";
    return registry.create(resource, namespace, object, context);
  };
  return {
    create,
    store: (resource, object) => {
      const target = { resource, namespace: namespaceOf(object), name: object.metadata.name };
      if (!registry.exists(target)) return create({ ...object, metadata: bare(object) });
      const stored = registry.write(target, object, context, "patch");
      if (!resource.subresources.includes("status") || !isObject(object.status)) return stored;
      const withStatus = { ...stored, status: object.status };
      return registry.write({ ...target, subresource: "status" }, withStatus, context, "patch");
    },
    bare,
  };
}

function bare(object: KubeObject): JsonObject {
  const { name, namespace, labels, annotations } = object.metadata;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function resourceFor(table: ResourceTable, object: JsonObject): Resource {
  const [version = "", group = ""] = stringAt(object, "apiVersion").split("/").reverse();
  const kind = stringAt(object, "kind");
  const found = table.all().find((item) => item.group === group && item.version === version && item.kind === kind);
  if (found === undefined)
    throw new Error(`the simulator does not serve ${kind} in ${group || "the core group"} ${version}`);
  return found;
}

function nodeOf(name: string): JsonObject {
  const resources = { cpu: "32", memory: "256Gi", pods: "110" };
  const status = { allocatable: resources, capacity: resources, conditions: [{ type: "Ready", status: "True" }] };
  return { apiVersion: "v1", kind: "Node", metadata: { name, labels: { "kubernetes.io/hostname": name } }, status };
}
