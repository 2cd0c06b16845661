import { arrayAt, type KubeObject, stringAt } from "./json.ts";
import type { Resource } from "./resources.ts";

/** One change, as a watch reports it. */
export interface StoreEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly resource: Resource;
  /** The object after the change; the last state, with the deletion's resourceVersion, for DELETED. */
  readonly object: KubeObject;
  /** The object before the change; undefined for ADDED. */
  readonly before: KubeObject | undefined;
  readonly revision: number;
}

/** A page of a list that stays the same while it is being read. */
interface Snapshot {
  readonly revision: number;
  readonly objects: readonly KubeObject[];
}

/** An object with its resource. */
export interface Stored {
  readonly resource: Resource;
  readonly object: KubeObject;
}

/** How many changes a watch can go back. A real watch cache holds a comparable number for each resource. */
const historyLimit = 5000;
const snapshotLimit = 64;

/** The objects of one server under one growing revision, with their recent history. */
export class Store {
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #listeners = new Set<(event: StoreEvent) => void>();
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #owned = new Map<string, Map<string, Stored>>();
  #history: StoreEvent[] = [];
  #revision: number;
  #oldest: number;

  /** `firstRevision`: what a fresh cluster's own objects have used up. Default 200. */
  constructor(firstRevision = 200) {
    this.#revision = firstRevision;
    this.#oldest = firstRevision;
  }

  /** The newest revision. */
  get revision(): number {
    return this.#revision;
  }

  /** The oldest revision from which a watch can start. */
  get oldest(): number {
    return this.#oldest;
  }

  /** One object, or undefined. Never change it. */
  get(resource: Resource, namespace: string, name: string): KubeObject | undefined {
    return this.#objects.get(collection(resource))?.get(`${namespace}/${name}`);
  }

  /** All objects of a resource in the order of their keys, in one namespace or (empty) in all. */
  list(resource: Resource, namespace = ""): KubeObject[] {
    const found = [...(this.#objects.get(collection(resource)) ?? [])];
    const prefix = `${namespace}/`;
    return found
      .filter(([key]) => namespace === "" || key.startsWith(prefix))
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([, object]) => object);
  }

  /** The objects whose ownerReferences name this uid. */
  dependents(uid: string): Stored[] {
    return [...(this.#owned.get(uid)?.values() ?? [])];
  }

  /** Writes `object` under the next revision and tells the watchers. Answers what was stored. */
  put(resource: Resource, object: KubeObject): KubeObject {
    const namespace = namespaceOf(object);
    let objects = this.#objects.get(collection(resource));
    if (objects === undefined) {
      objects = new Map();
      this.#objects.set(collection(resource), objects);
    }
    const key = `${namespace}/${object.metadata.name}`;
    const before = objects.get(key);
    const stored = this.#stamp(object);
    objects.set(key, stored);
    if (before !== undefined) this.#disown(before);
    for (const owner of ownersOf(stored)) {
      const owned = this.#owned.get(owner) ?? new Map<string, Stored>();
      this.#owned.set(owner, owned.set(stored.metadata.uid, { resource, object: stored }));
    }
    this.#record(before === undefined ? "ADDED" : "MODIFIED", resource, stored, before);
    return stored;
  }

  /** Removes an object. Answers its last state, or undefined where there was none. */
  remove(resource: Resource, namespace: string, name: string): KubeObject | undefined {
    const before = this.get(resource, namespace, name);
    if (before === undefined) return undefined;
    this.#objects.get(collection(resource))?.delete(`${namespace}/${name}`);
    this.#disown(before);
    const last = this.#stamp(before);
    this.#record("DELETED", resource, last, before);
    return last;
  }

  /** Moves the revision on without a change, as writes to other resources of a busy cluster do. */
  advance(by = 1): void {
    this.#revision += by;
  }

  /** Calls `listener` for each change until the returned function is called. */
  subscribe(listener: (event: StoreEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Changes after `revision`; undefined when they are not remembered any more. */
  since(revision: number): readonly StoreEvent[] | undefined {
    if (revision < this.#oldest) return undefined;
    return this.#history.filter((event) => event.revision > revision);
  }

  /** Forgets every past change and every page in progress: older resourceVersions and continue tokens have expired. */
  compact(): void {
    this.#history = [];
    this.#oldest = this.#revision;
    this.#snapshots.clear();
  }

  /** Keeps a list as it is now for the pages that follow; `scope` tells lists of different requests apart. */
  snapshot(scope: string, objects: readonly KubeObject[]): Snapshot {
    const snapshot = { revision: this.#revision, objects };
    this.#snapshots.set(`${scope}@${this.#revision}`, snapshot);
    const [first] = this.#snapshots.keys();
    if (this.#snapshots.size > snapshotLimit && first !== undefined) this.#snapshots.delete(first);
    return snapshot;
  }

  /** The list that {@link snapshot} kept; undefined when it has expired. */
  snapshotAt(scope: string, revision: number): Snapshot | undefined {
    return this.#snapshots.get(`${scope}@${revision}`);
  }

  #disown(object: KubeObject): void {
    for (const owner of ownersOf(object)) {
      const owned = this.#owned.get(owner);
      owned?.delete(object.metadata.uid);
      if (owned?.size === 0) this.#owned.delete(owner);
    }
  }

  #stamp(object: KubeObject): KubeObject {
    this.#revision += 1;
    const { name, generateName, namespace, uid, resourceVersion: _old, ...rest } = object.metadata;
    const { generation, creationTimestamp, managedFields, ...others } = rest;
    // The order in which a real server writes them.
    const metadata = {
      name,
      ...(generateName === undefined ? {} : { generateName }),
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      resourceVersion: String(this.#revision),
      ...(generation === undefined ? {} : { generation }),
      creationTimestamp,
      ...others,
      ...(managedFields === undefined ? {} : { managedFields }),
    };
    return { ...object, metadata };
  }

  #record(type: StoreEvent["type"], resource: Resource, object: KubeObject, before: KubeObject | undefined): void {
    const event = { type, resource, object, before, revision: this.#revision };
    this.#history.push(event);
    if (this.#history.length > historyLimit) {
      const dropped = this.#history.splice(0, historyLimit / 10);
      this.#oldest = dropped.at(-1)?.revision ?? this.#oldest;
    }
    for (const listener of [...this.#listeners]) listener(event);
  }
}

/** The namespace of an object; empty for a cluster-scoped one. */
export function namespaceOf(object: KubeObject): string {
  const { namespace } = object.metadata;
  return typeof namespace === "string" ? namespace : "";
}

function ownersOf(object: KubeObject): string[] {
  return arrayAt(object, "metadata", "ownerReferences").map((reference) => stringAt(reference, "uid"));
}

function collection(resource: Resource): string {
  return `${resource.group}/${resource.plural}`;
}
