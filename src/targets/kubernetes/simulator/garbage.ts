import { deleteObject, isDeleting } from "./deletion.ts";
import { arrayAt, type KubeObject, stringAt } from "./json.ts";
import { Registry } from "./registry.ts";
import type { Resource, ResourceTable } from "./resources.ts";
import { namespaceOf, type Stored, type StoreEvent } from "./store.ts";
import type { Workshop } from "./workshop.ts";

/** What removes the dependents of deleted objects, and the contents of deleted namespaces. */
export class GarbageCollector {
  readonly #workshop: Workshop;
  readonly #registry: Registry;

  constructor(workshop: Workshop, table: ResourceTable) {
    this.#workshop = workshop;
    this.#registry = new Registry(workshop.store, table, workshop.ambient);
  }

  /** Reacts to a change. */
  observe(event: StoreEvent): void {
    const { object } = event;
    if (event.type !== "DELETED") {
      if (isDeleting(object)) this.finish(event.resource, object);
      return;
    }
    for (const dependent of this.#workshop.store.dependents(object.metadata.uid)) this.#delete(dependent, "Background");
    // An owner that is being deleted in the foreground waits for its dependents.
    for (const reference of arrayAt(object, "metadata", "ownerReferences")) {
      const owner = this.#find(stringAt(reference, "kind"), namespaceOf(object), stringAt(reference, "name"));
      if (owner !== undefined && isDeleting(owner.object)) this.finish(owner.resource, owner.object);
    }
    this.#sweepNamespace(namespaceOf(object));
  }

  /** Carries the deletion of an object on as far as it goes now. */
  finish(resource: Resource, object: KubeObject): void {
    const { store } = this.#workshop;
    if (resource.kind === "Namespace") {
      this.#sweepNamespace(object.metadata.name);
      return;
    }
    const finalizers = arrayAt(object, "metadata", "finalizers");
    const foreground = finalizers.includes("foregroundDeletion");
    if (!foreground && !finalizers.includes("orphan")) return;
    const dependents = store.dependents(object.metadata.uid);
    if (foreground) {
      for (const dependent of dependents) this.#delete(dependent, "Foreground");
      if (store.dependents(object.metadata.uid).length > 0) return;
    } else for (const dependent of dependents) this.#orphan(dependent, object.metadata.uid);
    const current = store.get(resource, namespaceOf(object), object.metadata.name);
    if (current?.metadata.uid !== object.metadata.uid) return;
    const rest = arrayAt(current, "metadata", "finalizers").filter(
      (finalizer) => finalizer !== "foregroundDeletion" && finalizer !== "orphan",
    );
    if (rest.length === 0) store.remove(resource, namespaceOf(object), object.metadata.name);
    else store.put(resource, { ...current, metadata: { ...current.metadata, finalizers: rest } });
  }

  #find(kind: string, namespace: string, name: string): Stored | undefined {
    for (const resource of this.#workshop.resources().filter((item) => item.kind === kind)) {
      const object = this.#workshop.store.get(resource, namespace, name);
      if (object !== undefined) return { resource, object };
    }
    return undefined;
  }

  #delete({ resource, object }: Stored, propagationPolicy: string): void {
    if (isDeleting(object)) return;
    if (resource.kind === "Pod") {
      this.#workshop.deletePod(object);
      return;
    }
    const target = { resource, namespace: namespaceOf(object), name: object.metadata.name };
    if (!this.#registry.exists(target)) return; // gone with the one before it
    const options = { dryRun: false, propagationPolicy, preconditions: {} };
    deleteObject(this.#registry, this.#workshop.store, this.#workshop.ambient, target, options);
  }

  #orphan({ resource, object }: Stored, uid: string): void {
    const references = arrayAt(object, "metadata", "ownerReferences").filter((item) => stringAt(item, "uid") !== uid);
    this.#workshop.store.put(resource, { ...object, metadata: { ...object.metadata, ownerReferences: references } });
  }

  #sweepNamespace(name: string): void {
    const { store } = this.#workshop;
    const namespaces = this.#workshop.resource("", "namespaces");
    const namespace = name === "" ? undefined : store.get(namespaces, "", name);
    if (namespace === undefined || !isDeleting(namespace)) return;
    const contents = () =>
      this.#workshop
        .resources()
        .flatMap((resource) =>
          resource.namespaced ? store.list(resource, name).map((object) => ({ resource, object })) : [],
        );
    for (const item of contents()) this.#delete(item, "Background");
    if (contents().length === 0) store.remove(namespaces, "", name);
  }
}
