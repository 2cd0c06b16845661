import { clone, equal, isObject, type Json, type JsonObject } from "./json.ts";
import { badRequest, patchNotApplicable } from "./status-errors.ts";

/*
 * JSON Patch as evanphx/json-patch v4 does it inside the API server, tried on 1.36.3. Where it is laxer than RFC 6902:
 * `test` without a value, or with null, passes on an absent member of an object that is there; `replace` of an absent
 * member adds it; `add` without a value writes null; negative indices count from the end; what stands before the first
 * slash of a pointer is ignored.
 */

/** Reads a JSON Patch document; 400 when it is none. */
export function parseJsonPatch(text: string): readonly Json[] {
  const document = parsePatch(text);
  if (document === null) return [];
  if (!Array.isArray(document)) {
    throw badRequest(`error decoding patch: ${unmarshal(document, "[]handlers.jsonPatchOp")}`);
  }
  for (const operation of document) {
    if (!isObject(operation) && operation !== null) {
      throw badRequest(`error decoding patch: ${unmarshal(operation, "handlers.jsonPatchOp")}`);
    }
  }
  return document;
}

/** Parses the body of a patch; 400 in Go's words when it is not JSON. */
export function parsePatch(text: string, prefix = "error decoding patch: "): Json {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(`${prefix}${syntaxProblem(text, error)}`);
  }
}

/** What Go says of a value of the wrong type. */
export function unmarshal(value: Json, goType: string): string {
  const found = Array.isArray(value) ? "array" : isObject(value) ? "object" : typeof value;
  return `json: cannot unmarshal ${found === "boolean" ? "bool" : found} into Go value of type ${goType}`;
}

/** A syntax error in Go's words, as far as JavaScript tells. */
export function syntaxProblem(text: string, error: unknown): string {
  const message = error instanceof Error ? error.message : "";
  const position = /position (\d+)/.exec(message)?.[1];
  const character = position === undefined ? undefined : text[Number(position)];
  if (text === "" || character === undefined) return "unexpected end of JSON input";
  return `invalid character '${character}' looking for beginning of value`;
}

/** Applies the operations to a copy; 422 without a cause when one cannot be applied. */
export function applyJsonPatch(document: JsonObject, operations: readonly Json[]): JsonObject {
  const copy = clone(document);
  for (const operation of operations) {
    if (!isObject(operation)) throw patchNotApplicable();
    apply(copy, operation);
  }
  return copy;
}

function apply(document: JsonObject, operation: JsonObject): void {
  const at = locate(document, member(operation, "path"));
  const value = operation.value ?? null;
  switch (operation.op) {
    case "test":
      test(at, value);
      break;
    case "add":
      add(at, value);
      break;
    case "replace":
      replace(at, value);
      break;
    case "remove":
      remove(at);
      break;
    case "copy":
      add(at, clone(read(locate(document, member(operation, "from")))));
      break;
    case "move":
      move(document, locate(document, member(operation, "from")), member(operation, "path"));
      break;
    default:
      throw patchNotApplicable();
  }
}

function move(document: JsonObject, from: Location, path: string): void {
  const value = read(from);
  remove(from);
  add(locate(document, path), value);
}

function member(operation: JsonObject, name: string): string {
  const value = operation[name];
  if (typeof value !== "string") throw patchNotApplicable();
  return value;
}

interface Location {
  readonly parent: JsonObject | Json[];
  readonly key: string;
}

function locate(document: JsonObject, pointer: string): Location {
  const parts = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const key = parts.pop();
  if (key === undefined) throw patchNotApplicable();
  let parent: JsonObject | Json[] = document;
  for (const part of parts) {
    const next: Json | undefined = Array.isArray(parent) ? parent[index(parent, part)] : own(parent, part);
    if (!isObject(next) && !Array.isArray(next)) throw patchNotApplicable();
    parent = next;
  }
  return { parent, key };
}

function own(parent: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(parent, key) ? parent[key] : undefined;
}

/** An existing index of the array. */
function index(array: readonly Json[], key: string): number {
  if (!/^-?\d+$/.test(key)) throw patchNotApplicable();
  const position = Number(key) < 0 ? Number(key) + array.length : Number(key);
  if (position < 0 || position >= array.length) throw patchNotApplicable();
  return position;
}

function test({ parent, key }: Location, value: Json): void {
  const found = Array.isArray(parent) ? parent[index(parent, key)] : own(parent, key);
  if (!equal(found ?? null, value)) throw patchNotApplicable();
}

function read({ parent, key }: Location): Json {
  const found = Array.isArray(parent) ? parent[index(parent, key)] : own(parent, key);
  if (found === undefined) throw patchNotApplicable();
  return found;
}

function add({ parent, key }: Location, value: Json): void {
  if (!Array.isArray(parent)) parent[key] = value;
  else if (key === "-") parent.push(value);
  else if (key === String(parent.length)) parent.push(value);
  else parent.splice(index(parent, key), 0, value);
}

function replace({ parent, key }: Location, value: Json): void {
  if (Array.isArray(parent)) parent[index(parent, key)] = value;
  else parent[key] = value;
}

function remove({ parent, key }: Location): void {
  if (Array.isArray(parent)) parent.splice(index(parent, key), 1);
  else if (own(parent, key) === undefined) throw patchNotApplicable();
  else delete parent[key];
}
