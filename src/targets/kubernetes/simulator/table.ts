import { arrayAt, isObject, type Json, type JsonObject, numberAt, stringAt, valueAt } from "./json.ts";
import type { Resource } from "./resources.ts";
import { StatusError } from "./status-errors.ts";

/** Turns an object or a list into what the client accepts. */
export type Render = (document: JsonObject) => JsonObject;

/** What the `Accept` header asks for: the document, a `meta.k8s.io/v1` Table, or metadata alone. 406 when nothing fits. */
export function negotiate(accept: string | string[] | undefined, resource: Resource): Render {
  const header = typeof accept === "string" && accept !== "" ? accept : "*/*";
  for (const range of header.split(",").map((part) => part.replaceAll(" ", ""))) {
    if (!/^(\*\/\*|application\/\*|application\/json)(;|$)/.test(range)) continue;
    const as = /;as=([^;]+)/.exec(range)?.[1];
    if (as !== undefined && !range.includes(";v=v1;") && !range.endsWith(";v=v1")) continue;
    if (as === undefined) return (document) => document;
    if (as === "Table") return (document) => tableOf(document, resource);
    if (as === "PartialObjectMetadata") return partial;
    if (as === "PartialObjectMetadataList") return partialList;
  }
  const message =
    "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";
  throw new StatusError(406, "NotAcceptable", message, {});
}

function partial(object: JsonObject): JsonObject {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata ?? {} };
}

function partialList(list: JsonObject): JsonObject {
  return {
    kind: "PartialObjectMetadataList",
    apiVersion: "meta.k8s.io/v1",
    metadata: list.metadata ?? {},
    items: arrayAt(list, "items").filter(isObject).map(partial),
  };
}

type Column = readonly [name: string, type: string, value: (object: JsonObject) => Json];

const count =
  (...path: string[]) =>
  (object: JsonObject) =>
    numberAt(object, path);
const name: Column = ["Name", "string", (object) => stringAt(object, "metadata", "name")];
const age: Column = ["Age", "string", (object) => ageOf(stringAt(object, "metadata", "creationTimestamp"))];

const columns: Readonly<Record<string, readonly Column[]>> = {
  Deployment: [
    name,
    ["Ready", "string", (object) => `${count("status", "readyReplicas")(object)}/${count("spec", "replicas")(object)}`],
    ["Up-to-date", "integer", count("status", "updatedReplicas")],
    ["Available", "integer", count("status", "availableReplicas")],
    age,
  ],
  StatefulSet: [
    name,
    ["Ready", "string", (object) => `${count("status", "readyReplicas")(object)}/${count("spec", "replicas")(object)}`],
    age,
  ],
  DaemonSet: [
    name,
    ["Desired", "integer", count("status", "desiredNumberScheduled")],
    ["Current", "integer", count("status", "currentNumberScheduled")],
    ["Ready", "integer", count("status", "numberReady")],
    ["Up-to-date", "integer", count("status", "updatedNumberScheduled")],
    ["Available", "integer", count("status", "numberAvailable")],
    age,
  ],
  Rollout: [
    name,
    ["Desired", "integer", count("spec", "replicas")],
    ["Current", "integer", count("status", "replicas")],
    ["Up-to-date", "integer", count("status", "updatedReplicas")],
    ["Available", "integer", count("status", "availableReplicas")],
    age,
  ],
  Pod: [
    name,
    ["Ready", "string", (object) => `${podReady(object) ? 1 : 0}/1`],
    [
      "Status",
      "string",
      (object) =>
        valueAt(object, "metadata", "deletionTimestamp") === undefined
          ? stringAt(object, "status", "phase")
          : "Terminating",
    ],
    ["Restarts", "string", () => "0"],
    age,
  ],
};

function podReady(object: JsonObject): boolean {
  return arrayAt(object, "status", "conditions").some(
    (condition) => stringAt(condition, "type") === "Ready" && stringAt(condition, "status") === "True",
  );
}

function ageOf(created: string): string {
  const seconds = Math.max(0, Math.round((performance.timeOrigin + performance.now() - Date.parse(created)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

function tableOf(document: JsonObject, resource: Resource): JsonObject {
  const chosen = columns[resource.kind] ?? [name, age];
  const objects = Array.isArray(document.items) ? document.items.filter(isObject) : [document];
  const { resourceVersion, continue: token } = isObject(document.metadata) ? document.metadata : {};
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: { resourceVersion: resourceVersion ?? "", ...(token === undefined ? {} : { continue: token }) },
    columnDefinitions: chosen.map(([title, type]) => ({
      name: title,
      type,
      format: title === "Name" ? "name" : "",
      description: "",
      priority: 0,
    })),
    rows: objects.map((object) => ({ cells: chosen.map(([, , value]) => value(object)), object: partial(object) })),
  };
}
