import { type Ambient, timestamp } from "./ambient.ts";
import { isDeleting } from "./deletion.ts";
import {
  arrayAt,
  equal,
  type Json,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectAt,
  stringAt,
  stringsAt,
} from "./json.ts";
import { manageFields } from "./managed-fields.ts";
import { apiVersionOf, type Resource, type ResourceTable } from "./resources.ts";
import { namespaceOf, type Store } from "./store.ts";

/** What all controllers work with: reading, and writes in the name of a controller. */
export class Workshop {
  readonly store: Store;
  readonly ambient: Ambient;
  readonly #table: ResourceTable;

  constructor(store: Store, table: ResourceTable, ambient: Ambient) {
    this.store = store;
    this.ambient = ambient;
    this.#table = table;
  }

  /** A resource that every simulator serves. */
  resource(group: string, plural: string): Resource {
    const found = this.#table.all().find((item) => item.group === group && item.plural === plural);
    if (found === undefined)
      throw new Error(`the simulator does not serve ${plural} in group ${JSON.stringify(group)}`);
    return found;
  }

  /** Every resource. */
  resources(): readonly Resource[] {
    return this.#table.all();
  }

  /** The present time as a timestamp. */
  stamp(): string {
    return timestamp(this.ambient.now());
  }

  /** The objects of `resource` that `owner` controls, in the order of their names. */
  owned(owner: KubeObject, resource: Resource): KubeObject[] {
    return this.store
      .dependents(owner.metadata.uid)
      .filter((stored) => stored.resource === resource)
      .map((stored) => stored.object)
      .sort((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1));
  }

  /** The pods of a controller. */
  pods(owner: KubeObject): KubeObject[] {
    return this.owned(owner, this.resource("", "pods"));
  }

  /** Creates an object that `owner` controls. */
  createOwned(resource: Resource, owner: KubeObject, name: string, metadata: JsonObject, body: JsonObject): KubeObject {
    const object: KubeObject = {
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: {
        name,
        namespace: namespaceOf(owner),
        uid: this.ambient.id(),
        resourceVersion: "",
        generation: 1,
        creationTimestamp: this.stamp(),
        ...metadata,
        ownerReferences: [
          {
            apiVersion: owner.apiVersion,
            kind: owner.kind,
            name: owner.metadata.name,
            uid: owner.metadata.uid,
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      },
      ...body,
    };
    return this.store.put(resource, this.#managed(resource, undefined, object));
  }

  /** Stores a status (and annotations) when it differs from what is there. Answers the object as it is then. */
  writeStatus(
    resource: Resource,
    object: KubeObject,
    status: JsonObject,
    annotations: Readonly<Record<string, string>> = {},
  ): KubeObject {
    const before = stringsAt(object, "metadata", "annotations");
    const after = { ...before, ...annotations };
    if (equal(object.status, status) && equal(before, after)) return object;
    const metadata = { ...object.metadata, ...(Object.keys(after).length === 0 ? {} : { annotations: after }) };
    return this.store.put(resource, this.#managed(resource, object, { ...object, metadata, status }, "status"));
  }

  /** Stores other fields of the object, raising its generation when the spec is among them. */
  write(resource: Resource, object: KubeObject, fields: JsonObject): KubeObject {
    const generation = numberAt(object, ["metadata", "generation"]);
    const metadata = fields.spec === undefined ? object.metadata : { ...object.metadata, generation: generation + 1 };
    return this.store.put(resource, this.#managed(resource, object, { ...object, metadata, ...fields }));
  }

  /** Creates a pod out of a template. It is pending; the pods' own runtime makes it ready. */
  createPod(
    owner: KubeObject,
    name: string,
    template: JsonObject,
    labels: Record<string, string>,
    node: string,
  ): KubeObject {
    const annotations = objectAt(template, "metadata", "annotations");
    const metadata: JsonObject = { labels: { ...stringsAt(template, "metadata", "labels"), ...labels } };
    if (Object.keys(annotations).length > 0) metadata.annotations = annotations;
    return this.createOwned(this.resource("", "pods"), owner, name, metadata, {
      spec: { ...objectAt(template, "spec"), nodeName: node, enableServiceLinks: true, serviceAccountName: "default" },
      status: { phase: "Pending", conditions: [], qosClass: "BestEffort" },
    });
  }

  /** Begins the deletion of a pod; its runtime finishes it. */
  deletePod(pod: KubeObject): void {
    if (isDeleting(pod)) return;
    const metadata = {
      ...pod.metadata,
      deletionTimestamp: timestamp(this.ambient.now() + 30_000),
      deletionGracePeriodSeconds: 30,
    };
    this.store.put(this.resource("", "pods"), { ...pod, metadata });
  }

  /** Names of the nodes that pods run on: those with these labels. */
  nodes(selector: Readonly<Record<string, string>> = {}): string[] {
    return this.store
      .list(this.resource("", "nodes"))
      .filter((node) =>
        Object.entries(selector).every(([key, value]) => stringAt(node, "metadata", "labels", key) === value),
      )
      .map((node) => node.metadata.name);
  }

  #managed(resource: Resource, before: KubeObject | undefined, after: KubeObject, subresource?: string): KubeObject {
    const writer = {
      manager: resource.group === "argoproj.io" ? "rollouts-controller" : "kube-controller-manager",
      apiVersion: apiVersionOf(resource),
      time: this.stamp(),
      subresource,
    };
    const managedFields = manageFields(before, after, writer, resource.schema);
    return { ...after, metadata: { ...after.metadata, managedFields } };
  }
}

/** Whether a pod is ready and stays. */
export function isReady(pod: KubeObject): boolean {
  if (isDeleting(pod)) return false;
  return arrayAt(pod, "status", "conditions").some(
    (condition) => stringAt(condition, "type") === "Ready" && stringAt(condition, "status") === "True",
  );
}

/** The pod template of a workload. */
export function templateOf(object: KubeObject): JsonObject {
  return objectAt(object, "spec", "template");
}

/** The wanted number of replicas; 1 where the field is missing. */
export function replicasOf(object: KubeObject): number {
  return numberAt(object, ["spec", "replicas"], 1);
}

const alphabet = "bcdf2456789ghjklmnpqrstvwxz";

/** A short name for a value: equal values have equal names (FNV-1a over the canonical JSON). */
export function hashOf(value: Json): string {
  let hash = 0x811c9dc5;
  for (const character of canonical(value)) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  let text = "";
  for (let rest = hash; text.length < 7; rest = Math.floor(rest / alphabet.length)) {
    text += alphabet[rest % alphabet.length];
  }
  return text;
}

function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key] ?? null)}`);
  return `{${members.join()}}`;
}

/** A number or percentage (of `total`) as a count. */
export function resolveCount(value: Json | undefined, total: number, roundUp: boolean): number {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return 0;
  const share = (Number.parseFloat(value) / 100) * total;
  return roundUp ? Math.ceil(share) : Math.floor(share);
}
