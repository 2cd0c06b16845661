import { type Ambient, timestamp } from "./ambient.ts";
import { arrayAt, type Json, type JsonObject, type KubeObject, numberAt, stringAt, valueAt } from "./json.ts";
import { type Registry, subjectOf, type Target } from "./registry.ts";
import { conflict, invalid } from "./status-errors.ts";
import type { Store } from "./store.ts";

/** What the query and the DeleteOptions body of a DELETE ask for. */
export interface DeleteOptions {
  readonly dryRun: boolean;
  /** `Foreground`, `Background`, `Orphan`, or empty for the default (Background). */
  readonly propagationPolicy: string;
  readonly gracePeriodSeconds?: number | undefined;
  readonly preconditions: JsonObject;
}

const policies = ["Foreground", "Background", "Orphan"];

/**
 * Deletes an object. What needs no waiting goes at once (answer: a Success status); foreground and orphaning deletions,
 * other finalizers, pods and namespaces stay with a deletionTimestamp (answer: the object) until someone finishes them.
 */
export function deleteObject(
  registry: Registry,
  store: Store,
  ambient: Ambient,
  target: Target,
  options: DeleteOptions,
): JsonObject {
  const { resource } = target;
  const policy = options.propagationPolicy;
  if (policy !== "" && !policies.includes(policy)) throw badPolicy(policy);
  const before = registry.read(target);
  checkPreconditions(target, before, options.preconditions);
  const finalizers = [...arrayAt(before, "metadata", "finalizers")];
  if (policy === "Foreground") finalizers.push("foregroundDeletion");
  if (policy === "Orphan") finalizers.push("orphan");
  const grace = before.kind === "Pod" ? (options.gracePeriodSeconds ?? 30) : 0;
  if (before.metadata.deletionTimestamp !== undefined && grace > 0) return before;
  if (finalizers.length === 0 && grace === 0 && before.kind !== "Namespace") {
    if (!options.dryRun) store.remove(resource, target.namespace, target.name);
    return success(target, before);
  }
  if (before.metadata.deletionTimestamp !== undefined) return before;
  const deleting = mark(before, timestamp(ambient.now() + grace * 1000), grace, finalizers);
  return options.dryRun ? deleting : store.put(resource, deleting);
}

function mark(before: KubeObject, when: string, grace: number, finalizers: Json[]): KubeObject {
  const generation = numberAt(before, ["metadata", "generation"]);
  return {
    ...before,
    metadata: {
      ...before.metadata,
      ...(generation === 0 ? {} : { generation: generation + 1 }),
      deletionTimestamp: when,
      ...(before.kind === "Namespace" ? {} : { deletionGracePeriodSeconds: grace }),
      ...(finalizers.length === 0 ? {} : { finalizers }),
    },
    ...(before.kind === "Namespace" ? { status: { phase: "Terminating" } } : {}),
  };
}

function checkPreconditions(target: Target, before: KubeObject, preconditions: JsonObject): void {
  const subject = { ...subjectOf(target), kind: target.resource.kind };
  const uid = stringAt(preconditions, "uid");
  if (uid !== "" && uid !== before.metadata.uid) {
    throw conflict(
      subject,
      `the UID in the precondition (${uid}) does not match the UID in record (${before.metadata.uid}). The object might have been deleted and then recreated`,
    );
  }
  const version = stringAt(preconditions, "resourceVersion");
  if (version !== "" && version !== before.metadata.resourceVersion) {
    throw conflict(
      subject,
      `the ResourceVersion in the precondition (${version}) does not match the ResourceVersion in record (${before.metadata.resourceVersion}). The object might have been modified`,
    );
  }
}

function badPolicy(policy: string): Error {
  const message = `Unsupported value: "${policy}": supported values: "Foreground", "Background", "Orphan", "nil"`;
  return invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, [
    { reason: "FieldValueNotSupported", message, field: "propagationPolicy" },
  ]);
}

function success(target: Target, object: KubeObject): JsonObject {
  const { name, group, kind } = subjectOf(target);
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name: name ?? "", ...(group === "" ? {} : { group }), kind, uid: stringAt(object, "metadata", "uid") },
  };
}

/** Whether the object is being deleted. */
export function isDeleting(object: KubeObject): boolean {
  return valueAt(object, "metadata", "deletionTimestamp") !== undefined;
}
