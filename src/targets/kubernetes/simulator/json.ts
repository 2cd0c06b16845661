/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | JsonObject;

/** A JSON object. Stored objects are never changed in place: whoever edits, edits a {@link clone}. */
export interface JsonObject {
  [key: string]: Json;
}

/** The metadata that every stored object has. */
export interface Metadata extends JsonObject {
  name: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
}

/** A Kubernetes object as the simulator stores it. */
export interface KubeObject extends JsonObject {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
}

/** Whether `value` is an object, and neither an array nor null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A deep copy in which nothing is shared, not even what was shared in the original (structuredClone keeps that). */
export function clone<T extends Json>(value: T): T;
export function clone(value: Json): Json {
  if (Array.isArray(value)) return value.map((item) => clone(item));
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const [key, item] of Object.entries(value)) copy[key] = clone(item);
  return copy;
}

/** The value at `path`, or undefined where any step is missing. */
export function valueAt(value: Json | undefined, ...path: string[]): Json | undefined {
  let current = value;
  for (const key of path) {
    if (!isObject(current)) return undefined;
    current = Object.hasOwn(current, key) ? current[key] : undefined;
  }
  return current;
}

/** The object at `path`; an empty one where there is none. */
export function objectAt(value: Json | undefined, ...path: string[]): JsonObject {
  const found = valueAt(value, ...path);
  return isObject(found) ? found : {};
}

/** The array at `path`; an empty one where there is none. */
export function arrayAt(value: Json | undefined, ...path: string[]): Json[] {
  const found = valueAt(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** The string at `path`; an empty one where there is none. */
export function stringAt(value: Json | undefined, ...path: string[]): string {
  const found = valueAt(value, ...path);
  return typeof found === "string" ? found : "";
}

/** The number at `path`; `fallback` (default 0) where there is none. */
export function numberAt(value: Json | undefined, path: string[], fallback = 0): number {
  const found = valueAt(value, ...path);
  return typeof found === "number" ? found : fallback;
}

/** The string-to-string map at `path` (labels, annotations); other values are left out. */
export function stringsAt(value: Json | undefined, ...path: string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [key, item] of Object.entries(objectAt(value, ...path))) {
    if (typeof item === "string") found[key] = item;
  }
  return found;
}

/** Sets the value at `path` of `target`, making objects on the way. */
export function setAt(target: JsonObject, path: string[], value: Json): void {
  let current = target;
  for (const key of path.slice(0, -1)) {
    const next = current[key];
    if (isObject(next)) current = next;
    else current = current[key] = {};
  }
  const last = path.at(-1);
  if (last !== undefined) current[last] = value;
}

/** Whether two JSON values are equal; the order of keys does not matter. */
export function equal(left: Json | undefined, right: Json | undefined): boolean {
  if (left === right) return true;
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) && left.length === right.length && left.every((item, index) => equal(item, right[index]))
    );
  }
  if (!isObject(left) || !isObject(right)) return false;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && equal(left[key], right[key]))
  );
}

const escapes: Record<string, string> = {
  "<": "\\u003c",
  ">": "\\u003e",
  "&": "\\u0026",
  "\u2028": "\\u2028",
  "\u2029": "\\u2029",
};

/** JSON as Go's encoder writes it: `<`, `>` and `&` escaped, a newline at the end. */
export function encode(value: unknown, pretty = false): string {
  const text = pretty ? JSON.stringify(value, null, 2) : JSON.stringify(value);
  return `${text.replace(/[<>&\u2028\u2029]/g, (character) => escapes[character] ?? character)}\n`;
}
