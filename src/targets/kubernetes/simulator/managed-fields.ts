import { equal, isObject, type Json, type JsonObject } from "./json.ts";
import { fieldSchema, type Schema } from "./schema.ts";

/** Who writes: one entry of `metadata.managedFields` per manager, apiVersion and subresource. */
export interface Writer {
  readonly manager: string;
  readonly apiVersion: string;
  /** `status` or `scale`; undefined for the object itself. */
  readonly subresource?: string | undefined;
  /** Time of the write. */
  readonly time: string;
  /** What a server-side apply applied: the writer owns exactly that, changed or not. Undefined for an update. */
  readonly applied?: JsonObject | undefined;
}

/** Fields of metadata that nobody manages. */
const unmanaged = new Set([
  ...["name", "namespace", "uid", "resourceVersion", "generation", "selfLink", "managedFields"],
  ...["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"],
]);

/**
 * The managed fields after `writer` turned `before` into `after`: it takes over what it changed, everyone loses what
 * is gone. An entry's time moves only when its owner changed something.
 */
export function manageFields(
  before: JsonObject | undefined,
  after: JsonObject,
  writer: Writer,
  schema: Schema | undefined,
): Json[] {
  const previous = isObject(before?.metadata) ? before.metadata.managedFields : undefined;
  const entries = Array.isArray(previous) ? previous.filter(isObject) : [];
  const set = changes(managed(before ?? {}), managed(after), schema);
  if (writer.applied !== undefined) return manageApply(entries, set, writer, schema);
  if (Object.keys(set.written).length === 0 && Object.keys(set.removed).length === 0) return entries;
  const mine = entries.find((entry) => isMine(entry, writer));
  const kept: JsonObject[] = [];
  for (const entry of entries) {
    let fields = subtract(isObject(entry.fieldsV1) ? entry.fieldsV1 : {}, set.removed);
    if (entry === mine) {
      kept.push({ ...entry, fieldsV1: union(fields, set.written), time: writer.time });
      continue;
    }
    fields = subtract(fields, set.changed);
    if (!isEmpty(fields)) kept.push({ ...entry, fieldsV1: fields });
  }
  if (mine === undefined && Object.keys(set.written).length > 0) kept.push(entryOf(writer, set.written));
  return kept;
}

function manageApply(entries: readonly JsonObject[], set: Changes, writer: Writer, schema: Schema | undefined): Json[] {
  const owned = changes({}, managed(writer.applied ?? {}), schema).written;
  const others = entries
    .filter((entry) => !isMine(entry, writer))
    .map((entry) => ({ ...entry, fieldsV1: subtract(isObject(entry.fieldsV1) ? entry.fieldsV1 : {}, set.changed) }))
    .filter((entry) => !isEmpty(entry.fieldsV1));
  const before = entries.find((entry) => isMine(entry, writer));
  const same = before !== undefined && equal(before.fieldsV1, owned) && isEmpty(set.written);
  return [...others, same ? before : entryOf(writer, owned)];
}

function operationOf(writer: Writer): string {
  return writer.applied === undefined ? "Update" : "Apply";
}

function entryOf(writer: Writer, fields: JsonObject): JsonObject {
  return {
    manager: writer.manager,
    operation: operationOf(writer),
    apiVersion: writer.apiVersion,
    time: writer.time,
    fieldsType: "FieldsV1",
    fieldsV1: fields,
    ...(writer.subresource === undefined ? {} : { subresource: writer.subresource }),
  };
}

function isMine(entry: JsonObject, writer: Writer): boolean {
  return (
    entry.manager === writer.manager &&
    entry.apiVersion === writer.apiVersion &&
    entry.subresource === writer.subresource &&
    entry.operation === operationOf(writer)
  );
}

function managed(object: JsonObject): JsonObject {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = object;
  if (!isObject(metadata)) return rest;
  const kept = Object.fromEntries(Object.entries(metadata).filter(([key]) => !unmanaged.has(key)));
  return Object.keys(kept).length === 0 ? rest : { metadata: kept, ...rest };
}

interface Changes {
  /** Every path that the writer set. */
  readonly written: JsonObject;
  /** Of those, the paths that others may hold. */
  readonly changed: JsonObject;
  /** Paths that are gone. */
  readonly removed: JsonObject;
}

function changes(before: JsonObject, after: JsonObject, schema: Schema | undefined): Changes {
  const set: Changes = { written: {}, changed: {}, removed: {} };
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    compare(before[key], after[key], fieldSchema(schema, key), set, `f:${key}`);
  }
  return set;
}

function compare(
  before: Json | undefined,
  after: Json | undefined,
  schema: Schema | undefined,
  set: Changes,
  name: string,
): void {
  if (equal(before, after)) return;
  if (after === undefined) {
    set.removed[name] = {};
    return;
  }
  const parts = members(after, schema);
  if (parts === undefined) {
    set.written[name] = {};
    set.changed[name] = {};
    return;
  }
  const old = members(before, schema) ?? new Map();
  const below: Changes = { written: {}, changed: {}, removed: {} };
  if (before === undefined && ownNode(schema)) below.written["."] = {};
  for (const key of new Set([...old.keys(), ...parts.keys()])) {
    const inner = key.startsWith("f:")
      ? (fieldSchema(schema, key.slice(2)) ?? valueSchema(schema))
      : itemSchema(schema);
    compare(old.get(key), parts.get(key), inner, below, key);
  }
  for (const kind of ["written", "changed", "removed"] as const) {
    if (Object.keys(below[kind]).length > 0) set[kind][name] = below[kind];
  }
}

/** The parts that are managed one by one; undefined for scalars and atomic lists. */
function members(value: Json | undefined, schema: Schema | undefined): Map<string, Json> | undefined {
  if (typeof schema === "object" && "atomic" in schema && schema.atomic === true) return undefined;
  if (isObject(value)) {
    if (schema === "any" && Object.keys(value).length === 0) return undefined;
    return new Map(Object.entries(value).map(([key, item]) => [`f:${key}`, item]));
  }
  const keys = typeof schema === "object" && "list" in schema ? schema.keys : undefined;
  if (!Array.isArray(value) || keys === undefined) return undefined;
  return new Map(
    value.filter(isObject).map((item) => {
      const identity = Object.fromEntries(keys.map((key) => [key, item[key] ?? null]));
      return [`k:${JSON.stringify(identity)}`, item];
    }),
  );
}

function ownNode(schema: Schema | undefined): boolean {
  if (schema === undefined || typeof schema === "string") return true;
  return "list" in schema;
}

function itemSchema(schema: Schema | undefined): Schema | undefined {
  return typeof schema === "object" && "list" in schema ? schema.list : undefined;
}

function valueSchema(schema: Schema | undefined): Schema | undefined {
  return schema === "strings" ? "string" : undefined;
}

function union(left: JsonObject, right: JsonObject): JsonObject {
  const merged = { ...left };
  for (const [key, value] of Object.entries(right)) {
    const found = merged[key];
    merged[key] = isObject(found) && isObject(value) ? union(found, value) : value;
  }
  return merged;
}

function subtract(from: JsonObject, gone: JsonObject): JsonObject {
  const left: JsonObject = {};
  for (const [key, value] of Object.entries(from)) {
    const taken = gone[key];
    if (!isObject(taken) || !isObject(value)) left[key] = value;
    else if (Object.keys(taken).length > 0) {
      const rest = subtract(value, taken);
      if (!isEmpty(rest)) left[key] = rest;
    }
  }
  return left;
}

function isEmpty(fields: JsonObject): boolean {
  return Object.keys(fields).every((key) => key === ".");
}
