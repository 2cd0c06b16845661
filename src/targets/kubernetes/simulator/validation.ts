import {
  arrayAt,
  equal,
  isObject,
  type Json,
  type JsonObject,
  numberAt,
  objectAt,
  stringAt,
  stringsAt,
  valueAt,
} from "./json.ts";
import type { Resource } from "./resources.ts";
import type { Cause } from "./status-errors.ts";

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedName = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/;

const subdomainRule =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const labelRule =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const keyRule =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/** Kinds whose names are labels: they become part of host names. */
const labelNames = new Set(["Namespace", "Service"]);

function show(value: Json | undefined): string {
  return JSON.stringify(value ?? null);
}

/** "Invalid value" of a field. */
export function invalidValue(field: string, value: Json | undefined, why: string): Cause {
  return { reason: "FieldValueInvalid", message: `Invalid value: ${show(value)}: ${why}`, field };
}

function required(field: string, why = ""): Cause {
  return { reason: "FieldValueRequired", message: why === "" ? "Required value" : `Required value: ${why}`, field };
}

function forbiddenField(field: string, why: string): Cause {
  return { reason: "FieldValueForbidden", message: `Forbidden: ${why}`, field };
}

/** Every rule that a new object breaks. */
export function validateCreate(resource: Resource, object: JsonObject): Cause[] {
  return [...validateName(resource, stringAt(object, "metadata", "name")), ...validateObject(resource, object)];
}

/** Every rule that a changed object breaks, the immutable fields included. */
export function validateUpdate(resource: Resource, object: JsonObject, before: JsonObject): Cause[] {
  return [
    ...validateObject(resource, object),
    ...(resource.custom ? [] : immutableSpec(resource, object, before)),
    ...(stringAt(object, "metadata", "uid") === stringAt(before, "metadata", "uid") ? [] : immutableUid(object)),
  ];
}

function immutableUid(object: JsonObject): Cause[] {
  const cause = invalidValue("metadata.uid", valueAt(object, "metadata", "uid"), "field is immutable");
  return [cause, cause]; // a real server lists it twice
}

function validateName(resource: Resource, name: string): Cause[] {
  const field = "metadata.name";
  if (name === "") return [required(field, "name or generateName is required")];
  if (labelNames.has(resource.kind)) {
    if (name.includes(".")) return [invalidValue(field, name, "must not contain dots")];
    if (name.length > 63) return [invalidValue(field, name, "must be no more than 63 bytes")];
    return label.test(name) ? [] : [invalidValue(field, name, labelRule)];
  }
  const causes: Cause[] = [];
  if (name.length > 253) causes.push(invalidValue(field, name, "must be no more than 253 bytes"));
  if (!subdomain.test(name)) causes.push(invalidValue(field, name, subdomainRule));
  return causes;
}

function validateObject(resource: Resource, object: JsonObject): Cause[] {
  const causes = keys(object, "metadata", "metadata.annotations");
  if (resource.kind === "Rollout" && resource.group === "argoproj.io" && !isObject(object.spec)) {
    causes.push(required("spec"));
  }
  if (resource.custom) return causes;
  return [...causes, ...(kindRules[resource.kind]?.(objectAt(object, "spec")) ?? [])];
}

function keys(object: JsonObject, at: string, field: string): Cause[] {
  return Object.keys(objectAt(object, at, "annotations"))
    .filter((key) => {
      const slash = key.indexOf("/");
      return !qualifiedName.test(key.slice(slash + 1)) || (slash >= 0 && !subdomain.test(key.slice(0, slash)));
    })
    .map((key) => invalidValue(field, key, keyRule));
}

const kindRules: Readonly<Record<string, (spec: JsonObject) => Cause[]>> = {
  Deployment: (spec) => [
    ...nonNegative(spec, "replicas"),
    ...selectorRules(spec),
    ...templateRules(spec),
    ...(numberAt(spec, ["progressDeadlineSeconds"]) > numberAt(spec, ["minReadySeconds"])
      ? []
      : [
          invalidValue(
            "spec.progressDeadlineSeconds",
            spec.progressDeadlineSeconds,
            "must be greater than minReadySeconds",
          ),
        ]),
    ...(stringAt(spec, "strategy", "type") === "Recreate" && isObject(valueAt(spec, "strategy", "rollingUpdate"))
      ? [forbiddenField("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")]
      : []),
    ...oneOf("spec.strategy.type", valueAt(spec, "strategy", "type"), ["Recreate", "RollingUpdate"]),
  ],
  StatefulSet: (spec) => [
    ...nonNegative(spec, "replicas"),
    ...selectorRules(spec),
    ...templateRules(spec),
    ...(stringAt(spec, "updateStrategy", "type") === "OnDelete" &&
    isObject(valueAt(spec, "updateStrategy", "rollingUpdate"))
      ? [
          invalidValue(
            "spec.updateStrategy.rollingUpdate",
            { Partition: numberAt(spec, ["updateStrategy", "rollingUpdate", "partition"]), MaxUnavailable: null },
            "only allowed for updateStrategy 'RollingUpdate'",
          ),
        ]
      : []),
    ...oneOf("spec.updateStrategy", valueAt(spec, "updateStrategy", "type"), ["RollingUpdate", "OnDelete"]),
  ],
  DaemonSet: (spec) => [
    ...selectorRules(spec),
    ...templateRules(spec),
    ...oneOf("spec.updateStrategy", valueAt(spec, "updateStrategy", "type"), ["RollingUpdate", "OnDelete"]),
  ],
  ReplicaSet: (spec) => [...nonNegative(spec, "replicas"), ...selectorRules(spec), ...templateRules(spec)],
  Job: (spec) => templateRules(spec),
};

function nonNegative(spec: JsonObject, name: string): Cause[] {
  const value = spec[name];
  return typeof value === "number" && value < 0
    ? [invalidValue(`spec.${name}`, value, "must be greater than or equal to 0")]
    : [];
}

function oneOf(field: string, value: Json | undefined, allowed: readonly string[]): Cause[] {
  if (typeof value === "string" && allowed.includes(value)) return [];
  return [
    {
      reason: "FieldValueNotSupported",
      message: `Unsupported value: ${show(value)}: supported values: ${allowed.map(show).join(", ")}`,
      field,
    },
  ];
}

function selectorRules(spec: JsonObject): Cause[] {
  const causes: Cause[] = [];
  const wanted = stringsAt(spec, "selector", "matchLabels");
  const empty = Object.keys(wanted).length === 0 && arrayAt(spec, "selector", "matchExpressions").length === 0;
  if (empty) causes.push(required("spec.selector"));
  const labels = valueAt(spec, "template", "metadata", "labels");
  if (empty || Object.entries(wanted).some(([key, value]) => valueAt(labels, key) !== value)) {
    causes.push(invalidValue("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
  }
  return causes;
}

function templateRules(spec: JsonObject): Cause[] {
  const causes = keys(objectAt(spec, "template"), "metadata", "spec.template.annotations");
  const containers = arrayAt(spec, "template", "spec", "containers");
  if (containers.length === 0) causes.push(required("spec.template.spec.containers"));
  containers.forEach((container, index) => {
    const at = `spec.template.spec.containers[${index}]`;
    if (stringAt(container, "name") === "") causes.push(required(`${at}.name`));
    if (stringAt(container, "image") === "") causes.push(required(`${at}.image`));
  });
  return causes;
}

const statefulSetMutable = [
  ...["replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"],
  ...["persistentVolumeClaimRetentionPolicy", "minReadySeconds"],
];

function immutableSpec(resource: Resource, object: JsonObject, before: JsonObject): Cause[] {
  const spec = objectAt(object, "spec");
  const old = objectAt(before, "spec");
  switch (resource.kind) {
    case "Deployment":
    case "DaemonSet":
    case "ReplicaSet":
      return immutable("spec.selector", spec.selector, old.selector);
    case "StatefulSet": {
      const rest = (from: JsonObject) =>
        Object.fromEntries(Object.entries(from).filter(([key]) => !statefulSetMutable.includes(key)));
      if (equal(rest(spec), rest(old))) return [];
      return [
        forbiddenField(
          "spec",
          "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ),
      ];
    }
    case "Job":
      return jobTemplate(object, before);
    default:
      return [];
  }
}

/** A suspended Job that never started may change its template's metadata: 200, and nothing runs. */
function jobTemplate(object: JsonObject, before: JsonObject): Cause[] {
  const idle = valueAt(before, "spec", "suspend") === true && valueAt(before, "status", "startTime") === undefined;
  if (!idle)
    return immutable("spec.template", valueAt(object, "spec", "template"), valueAt(before, "spec", "template"));
  return immutable(
    "spec.template.spec",
    valueAt(object, "spec", "template", "spec"),
    valueAt(before, "spec", "template", "spec"),
  );
}

function immutable(field: string, value: Json | undefined, old: Json | undefined): Cause[] {
  return equal(value, old) ? [] : [invalidValue(field, value, "field is immutable")];
}
