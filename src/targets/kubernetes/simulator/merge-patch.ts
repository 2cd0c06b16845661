import { clone, equal, isObject, type Json, type JsonObject } from "./json.ts";
import { fieldSchema, type Schema } from "./schema.ts";
import { badRequest } from "./status-errors.ts";

/** RFC 7396: null deletes, objects merge, everything else replaces. */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    const before = merged[key];
    if (value === null) delete merged[key];
    else if (isObject(value)) merged[key] = mergePatch(isObject(before) ? before : {}, value);
    else merged[key] = clone(value);
  }
  return merged;
}

/**
 * Strategic merge: as a merge patch, but arrays that the schema gives keys are merged item by item; `$patch: delete`
 * and `$patch: replace`, `$setElementOrder/...`, `$retainKeys` and `$deleteFromPrimitiveList/...` are known.
 */
export function strategicMergePatch(target: JsonObject, patch: JsonObject, schema: Schema | undefined): JsonObject {
  if (patch.$patch === "replace") return without(patch, "$patch");
  if (patch.$patch === "delete") return {};
  const merged = retained(target, patch.$retainKeys);
  for (const [key, value] of Object.entries(patch)) {
    if (key === "$patch" || key === "$retainKeys" || key.startsWith("$setElementOrder/")) continue;
    if (key.startsWith("$deleteFromPrimitiveList/")) {
      deleteFrom(merged, key.slice("$deleteFromPrimitiveList/".length), value);
      continue;
    }
    if (value === null) delete merged[key];
    else merged[key] = mergeField(merged[key], value, fieldSchema(schema, key));
  }
  return merged;
}

function mergeField(before: Json | undefined, value: Json, schema: Schema | undefined): Json {
  if (isObject(value)) return strategicMergePatch(isObject(before) ? before : {}, value, schema);
  const list = typeof schema === "object" && "list" in schema ? schema : undefined;
  if (!Array.isArray(value) || list?.keys === undefined) return clone(value);
  return mergeItems(Array.isArray(before) ? before : [], value, list.keys, list.list);
}

function mergeItems(before: readonly Json[], patch: readonly Json[], keys: readonly string[], item: Schema): Json[] {
  if (patch.some((entry) => isObject(entry) && entry.$patch === "replace")) {
    return patch.filter((entry) => !(isObject(entry) && entry.$patch !== undefined)).map((entry) => clone(entry));
  }
  const merged = [...before];
  for (const entry of patch) {
    if (!isObject(entry)) continue;
    const missing = keys.find((key) => entry[key] === undefined);
    if (missing !== undefined) {
      throw badRequest(`map: ${JSON.stringify(entry)} does not contain declared merge key: ${missing}`);
    }
    const at = merged.findIndex((found) => isObject(found) && keys.every((key) => equal(found[key], entry[key])));
    const found = merged[at];
    if (entry.$patch === "delete") {
      if (at >= 0) merged.splice(at, 1);
    } else if (isObject(found)) merged[at] = strategicMergePatch(found, entry, item);
    else merged.push(strategicMergePatch({}, entry, item));
  }
  return merged;
}

function without(object: JsonObject, key: string): JsonObject {
  const copy = clone(object);
  delete copy[key];
  return copy;
}

function retained(target: JsonObject, keys: Json | undefined): JsonObject {
  if (!Array.isArray(keys)) return { ...target };
  return Object.fromEntries(Object.entries(target).filter(([key]) => keys.includes(key)));
}

function deleteFrom(target: JsonObject, key: string, values: Json): void {
  const before = target[key];
  if (!Array.isArray(before) || !Array.isArray(values)) return;
  target[key] = before.filter((item) => !values.some((value) => equal(item, value)));
}
