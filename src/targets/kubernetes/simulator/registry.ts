import { type Ambient, timestamp } from "./ambient.ts";
import { asStored, decodeStrictly, type FieldValidation } from "./decode-object.ts";
import { setDefaults } from "./defaults.ts";
import {
  arrayAt,
  clone,
  equal,
  isObject,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectAt,
  stringAt,
  valueAt,
} from "./json.ts";
import { manageFields } from "./managed-fields.ts";
import { apiVersionOf, type Resource, type ResourceTable } from "./resources.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  internal,
  invalid,
  notFound,
  type Subject,
} from "./status-errors.ts";
import type { Store } from "./store.ts";
import { validateCreate, validateUpdate } from "./validation.ts";

/** Everything about a write beside its object. */
export interface WriteContext {
  readonly dryRun: boolean;
  /** Name in managed fields. */
  readonly manager: string;
  readonly validation: FieldValidation;
  /** Sentences for `Warning` headers are added here. */
  readonly warnings: string[];
  /** Admission: may change the object or throw a StatusError. */
  /** The document of a server-side apply. */
  readonly applied?: JsonObject | undefined;
  readonly admit?: ((object: KubeObject, before: KubeObject | undefined) => KubeObject) | undefined;
}

/** A place in the API: one object of a resource, or its `status`. */
export interface Target {
  readonly resource: Resource;
  /** Empty for cluster-scoped resources. */
  readonly namespace: string;
  readonly name: string;
  readonly subresource?: string | undefined;
}

/** Parts of metadata that only the server writes. */
const serverFields = ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/** Kinds without `metadata.generation`. */
const ungenerated = new Set([
  ...["ConfigMap", "Secret", "Service", "Namespace", "Node", "Event", "ServiceAccount", "Endpoints"],
  ...["HorizontalPodAutoscaler", "PodTemplate", "PersistentVolumeClaim", "ControllerRevision"],
]);

/** Kinds whose generation also counts changes of metadata.annotations. */
const annotationsCount = new Set(["Deployment", "DaemonSet"]);

/** Creates and changes objects as the API server's registry does: defaults, validation, generation, managed fields, conflicts. */
export class Registry {
  readonly #store: Store;
  readonly #table: ResourceTable;
  readonly #ambient: Ambient;

  constructor(store: Store, table: ResourceTable, ambient: Ambient) {
    this.#store = store;
    this.#table = table;
    this.#ambient = ambient;
  }

  /** The object, or a 404. */
  read(target: Target): KubeObject {
    const found = this.#store.get(target.resource, target.namespace, target.name);
    if (found === undefined) throw notFound(subjectOf(target));
    return found;
  }

  /** Whether there is such an object. */
  exists(target: Target): boolean {
    return this.#store.get(target.resource, target.namespace, target.name) !== undefined;
  }

  /** Decodes the body of a POST or PUT; 400 for another kind, wrong types and, when Strict, unknown fields. */
  decode(resource: Resource, body: JsonObject, context: WriteContext): JsonObject {
    const kind = stringAt(body, "kind") || resource.kind;
    const apiVersion = stringAt(body, "apiVersion") || apiVersionOf(resource);
    const version = apiVersion.split("/").at(-1);
    const complain = (problem: string) =>
      badRequest(`${kind} in version "${version}" cannot be handled as a ${resource.kind}: ${problem}`);
    if (kind !== resource.kind || apiVersion !== apiVersionOf(resource)) {
      throw complain(
        `no kind "${kind}" is registered for version "${apiVersion}" in scheme "pkg/runtime/scheme.go:111"`,
      );
    }
    return decodeStrictly(resource, body, context.validation, context.warnings, complain);
  }

  /** Creates an object out of a request body. */
  create(resource: Resource, namespace: string, body: JsonObject, context: WriteContext): KubeObject {
    const object = this.decode(resource, body, context);
    const metadata = this.#newMetadata(resource, namespace, object);
    object.metadata = metadata;
    if (!resource.custom) setDefaults(resource.kind, object);
    prepare(resource, object, undefined);
    const subject = { group: resource.group, kind: resource.plural, name: stringAt(metadata, "name") };
    this.#checkNamespace(resource, namespace, subject);
    let stored = asStored(object, objectAt(object, "metadata"));
    stored = context.admit?.(stored, undefined) ?? stored;
    const causes = validateCreate(resource, stored);
    if (causes.length > 0) throw invalid({ ...subject, kind: resource.kind }, causes);
    if (this.#store.get(resource, namespace, stored.metadata.name) !== undefined) throw alreadyExists(subject);
    stored.metadata.managedFields = manageFields(undefined, stored, this.#writer(resource, context), resource.schema);
    if (!context.dryRun) return this.#store.put(resource, stored);
    const { resourceVersion: _none, ...dry } = stored.metadata;
    return asDry(stored, dry);
  }

  /**
   * Stores `wanted` in place of the object. `verb` update (PUT) and patch answer a uid that is not the object's
   * differently: 409 and 422.
   */
  write(target: Target, wanted: JsonObject, context: WriteContext, verb: "update" | "patch"): KubeObject {
    const { resource } = target;
    const before = this.read(target);
    checkIdentity(target, before, wanted, verb);
    const object = this.#merge(target, before, clone(wanted));
    let stored = asStored(object, objectAt(object, "metadata"));
    stored = context.admit?.(stored, before) ?? stored;
    const causes = validateUpdate(resource, stored, before);
    if (causes.length > 0) {
      throw invalid({ group: resource.group, kind: resource.kind, name: target.name }, causes);
    }
    const writer = this.#writer(resource, context, target.subresource);
    stored.metadata.managedFields = manageFields(before, stored, writer, resource.schema);
    if (equal(withoutManagers(stored), withoutManagers(before))) return before;
    if (context.dryRun) return stored;
    if (isFinished(stored)) return this.#store.remove(resource, target.namespace, target.name) ?? stored;
    return this.#store.put(resource, stored);
  }

  #newMetadata(resource: Resource, namespace: string, object: JsonObject): JsonObject {
    const given = objectAt(object, "metadata");
    if (stringAt(given, "resourceVersion") !== "") {
      throw internal("resourceVersion should not be set on objects to be created");
    }
    const itsNamespace = stringAt(given, "namespace");
    if (itsNamespace !== "" && itsNamespace !== namespace) throw namespaceMismatch();
    const prefix = stringAt(given, "generateName");
    const name = stringAt(given, "name") || (prefix === "" ? "" : prefix + this.#ambient.id().slice(0, 5));
    const { deletionTimestamp: _a, deletionGracePeriodSeconds: _b, managedFields: _c, ...kept } = given;
    return {
      ...kept,
      name,
      ...(resource.namespaced ? { namespace } : {}),
      uid: this.#ambient.id(),
      ...(ungenerated.has(resource.kind) ? {} : { generation: 1 }),
      creationTimestamp: timestamp(this.#ambient.now()),
    };
  }

  #checkNamespace(resource: Resource, namespace: string, subject: Subject): void {
    if (!resource.namespaced) return;
    const namespaces = this.#table.find("", "v1", "namespaces");
    const found = namespaces === undefined ? undefined : this.#store.get(namespaces, "", namespace);
    if (found === undefined) throw notFound({ group: "", kind: "namespaces", name: namespace });
    if (valueAt(found, "status", "phase") !== "Terminating") return;
    throw forbidden(subject, `unable to create new content in namespace ${namespace} because it is being terminated`, [
      {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      },
    ]);
  }

  /** What of `wanted` may change: the status alone through `status`, everything but the status otherwise. */
  #merge(target: Target, before: KubeObject, wanted: JsonObject): JsonObject {
    const { resource } = target;
    if (target.subresource === "status") {
      const { status: _old, ...rest } = clone<JsonObject>(before);
      const annotations = objectAt(wanted, "metadata").annotations;
      if (!resource.custom && annotations !== undefined) rest.metadata = { ...before.metadata, annotations };
      return { ...rest, ...(wanted.status === undefined ? {} : { status: wanted.status }) };
    }
    const metadata: JsonObject = { ...objectAt(wanted, "metadata") };
    for (const key of serverFields) {
      delete metadata[key];
      if (before.metadata[key] !== undefined) metadata[key] = before.metadata[key];
    }
    metadata.uid ??= before.metadata.uid;
    metadata.resourceVersion = before.metadata.resourceVersion;
    if (resource.namespaced) metadata.namespace = target.namespace;
    const object: JsonObject = { ...wanted, metadata };
    if (resource.subresources.includes("status")) {
      delete object.status;
      if (before.status !== undefined) object.status = before.status;
    }
    if (!resource.custom) setDefaults(resource.kind, object);
    prepare(resource, object, before);
    if (!ungenerated.has(resource.kind) && changesGeneration(resource, object, before)) {
      metadata.generation = numberAt(before, ["metadata", "generation"]) + 1;
    }
    return object;
  }

  #writer(resource: Resource, context: WriteContext, subresource?: string) {
    return {
      manager: context.manager,
      apiVersion: apiVersionOf(resource),
      subresource,
      time: timestamp(this.#ambient.now()),
      applied: context.applied,
    };
  }
}

/** The subject of errors about a target, by resource. */
export function subjectOf(target: Target): Subject {
  return { group: target.resource.group, kind: target.resource.plural, name: target.name };
}

/** 400: the body is for another namespace. */
export function namespaceMismatch(): Error {
  return badRequest("the namespace of the provided object does not match the namespace sent on the request");
}

function checkIdentity(target: Target, before: KubeObject, wanted: JsonObject, verb: "update" | "patch"): void {
  const name = stringAt(wanted, "metadata", "name");
  if (name !== "" && name !== target.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${target.name})`);
  }
  const namespace = stringAt(wanted, "metadata", "namespace");
  if (namespace !== "" && namespace !== target.namespace) throw namespaceMismatch();
  const uid = stringAt(wanted, "metadata", "uid");
  if (verb === "update" && uid !== "" && uid !== before.metadata.uid) {
    const { resource } = target;
    const key = `/registry/${resource.plural}/${target.namespace}/${target.name}`;
    throw conflict(
      subjectOf(target),
      `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${before.metadata.uid}`,
    );
  }
  const version = stringAt(wanted, "metadata", "resourceVersion");
  if (version === "" || version === before.metadata.resourceVersion) return;
  if (!/^\d+$/.test(version)) throw internal(`strconv.ParseUint: parsing "${version}": invalid syntax`);
  throw conflict(subjectOf(target));
}

/** What the strategies of single kinds do before an object is stored. */
function prepare(resource: Resource, object: JsonObject, before: JsonObject | undefined): void {
  if (resource.kind === "Secret" && isObject(object.stringData)) {
    const encoded = Object.entries(object.stringData).map(([key, value]) => [
      key,
      Buffer.from(typeof value === "string" ? value : "").toString("base64"),
    ]);
    object.data = { ...objectAt(object, "data"), ...Object.fromEntries(encoded) };
    delete object.stringData;
  }
  if (resource.kind !== "DaemonSet") return;
  const key = "deprecated.daemonset.template.generation";
  const previous = Number(stringAt(before, "metadata", "annotations", key) || "0");
  const same = before !== undefined && equal(valueAt(before, "spec", "template"), valueAt(object, "spec", "template"));
  const metadata = objectAt(object, "metadata");
  metadata.annotations = { ...objectAt(metadata, "annotations"), [key]: String(same ? previous : previous + 1) };
}

function changesGeneration(resource: Resource, object: JsonObject, before: JsonObject): boolean {
  if (resource.custom) {
    const content = ({ metadata: _m, status: _s, ...rest }: JsonObject): JsonObject => rest;
    return !equal(content(object), content(before));
  }
  if (!equal(object.spec, before.spec)) return true;
  return (
    annotationsCount.has(resource.kind) &&
    !equal(objectAt(object, "metadata", "annotations"), objectAt(before, "metadata", "annotations"))
  );
}

function withoutManagers(object: KubeObject): JsonObject {
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Whether a deletion waited only for the finalizer that is gone now. */
function isFinished(object: KubeObject): boolean {
  return (
    object.metadata.deletionTimestamp !== undefined &&
    arrayAt(object, "metadata", "finalizers").length === 0 &&
    object.kind !== "Pod" &&
    object.kind !== "Namespace"
  );
}

function asDry(object: KubeObject, metadata: JsonObject): KubeObject {
  const dry = asStored(object, metadata);
  Reflect.deleteProperty(dry.metadata, "resourceVersion");
  return dry;
}
