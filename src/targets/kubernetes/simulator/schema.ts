import { isObject, type Json, type JsonObject } from "./json.ts";

/**
 * What is known of a field. One table serves decoding (types, unknown fields, left-out zero values), strategic merging
 * (keys of lists) and managed fields.
 *
 * - `string`, `int`, `bool`: left out of JSON when empty, zero or false, as Go's `omitempty` does
 * - `string*`, `int*`, `bool*`: kept when present, whatever the value (pointers in Go)
 * - `int!`: always in JSON
 * - `strings`: a map of strings, left out when empty
 * - `any`: anything at all, kept as it is
 */
export type Schema =
  | "string"
  | "string*"
  | "int"
  | "int*"
  | "int!"
  | "bool"
  | "bool*"
  | "int-or-string"
  | "strings"
  | "any"
  | ObjectSchema
  | ListSchema;

/** An object with known fields. */
export interface ObjectSchema {
  readonly fields: Readonly<Record<string, Schema>>;
  /** Kept in JSON even when nothing is in it, and a node of its own in managed fields. Default false. */
  readonly pointer?: boolean;
  /** Managed as a whole. Default false. */
  readonly atomic?: boolean;
}

/** An array. */
export interface ListSchema {
  readonly list: Schema;
  /** Fields that identify an item: a strategic merge patch merges items with equal keys. Without: the array is atomic. */
  readonly keys?: readonly string[];
}

/** A value of a type that the field cannot have. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  /** Where the value is. */
  readonly path: string;
  /** What it is: `string`, `integer`, `object`, ... */
  readonly found: string;
  /** What it must be, in the words of an OpenAPI schema. */
  readonly expected: string;

  /** The message is what Go's decoder says. */
  constructor(message: string, path: string, found: string, expected: string) {
    super(message);
    this.path = path;
    this.found = found;
    this.expected = expected;
  }
}

/** How an object is decoded. */
export interface DecodeOptions {
  /** Built-in kinds lose empty and zero values; custom resources are only pruned. */
  readonly typed: boolean;
  /** Go's name of the struct in messages, such as `Deployment`. */
  readonly kind: string;
  /** Paths of unknown fields are added here; the fields themselves are dropped. */
  readonly unknown: string[];
}

const goTypes: Record<string, { accepts: string; name: string }> = {
  string: { accepts: "string", name: "string" },
  int: { accepts: "number", name: "int32" },
  bool: { accepts: "boolean", name: "bool" },
};

/** Decodes `value`; undefined means that the field is left out. Throws a {@link DecodeError} on a wrong type. */
export function decode(schema: Schema, value: Json | undefined, options: DecodeOptions, path = ""): Json | undefined {
  if (schema === "int!" && options.typed && (value === undefined || value === null)) return 0;
  if (value === undefined || schema === "any") return value;
  if (value === null) return options.typed ? undefined : null;
  if (typeof schema === "string") return decodeScalar(schema, value, options, path);
  if ("list" in schema) return decodeList(schema, value, options, path);
  return decodeFields(schema, value, options, path);
}

function mismatch(value: Json, goType: string, options: DecodeOptions, path: string): DecodeError {
  const found = Array.isArray(value) ? "array" : isObject(value) ? "object" : typeof value;
  const [root = ""] = path.split(".");
  const struct = options.kind + (root === "spec" || root === "status" ? root[0]?.toUpperCase() + root.slice(1) : "");
  const message = `json: cannot unmarshal ${found === "boolean" ? "bool" : found} into Go struct field ${struct}.${path} of type ${goType}`;
  return new DecodeError(message, path, found === "number" ? "integer" : found, openApiType(goType));
}

function openApiType(goType: string): string {
  if (goType === "int32") return "integer";
  if (goType === "bool") return "boolean";
  if (goType === "[]") return "array";
  return goType === "string" ? "string" : "object";
}

function decodeScalar(
  schema: Extract<Schema, string>,
  value: Json,
  options: DecodeOptions,
  path: string,
): Json | undefined {
  if (schema === "strings") {
    if (!isObject(value)) throw mismatch(value, "map[string]string", options, path);
    for (const item of Object.values(value)) {
      if (typeof item !== "string" && item !== null) throw mismatch(item, "string", options, path);
    }
    return options.typed && Object.keys(value).length === 0 ? undefined : value;
  }
  if (schema === "int-or-string") {
    if (typeof value === "number" || typeof value === "string") return value;
    throw mismatch(value, "intstr.IntOrString", options, path);
  }
  const kind = schema.replace(/[*!]$/, "");
  const type = goTypes[kind];
  if (type !== undefined && typeof value !== type.accepts) throw mismatch(value, type.name, options, path);
  if (kind === "int" && !Number.isInteger(value)) {
    const message = `json: cannot unmarshal number ${value} into Go struct field ${options.kind}.${path} of type int32`;
    throw new DecodeError(message, path, "number", "integer");
  }
  const droppable = options.typed && schema === kind;
  return droppable && (value === "" || value === 0 || value === false) ? undefined : value;
}

function decodeList(schema: ListSchema, value: Json, options: DecodeOptions, path: string): Json | undefined {
  if (!Array.isArray(value)) throw mismatch(value, "[]", options, path);
  if (options.typed && value.length === 0) return undefined;
  return value.map((item, index) => decode(schema.list, item, options, `${path}[${index}]`) ?? null);
}

function decodeFields(schema: ObjectSchema, value: Json, options: DecodeOptions, path: string): Json | undefined {
  if (!isObject(value)) throw mismatch(value, "struct", options, path);
  const decoded: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    const field = Object.hasOwn(schema.fields, key) ? schema.fields[key] : undefined;
    const at = path === "" ? key : `${path}.${key}`;
    if (field === undefined) {
      options.unknown.push(at);
      continue;
    }
    const result = decode(field, item, options, at);
    if (result !== undefined) decoded[key] = result;
  }
  for (const [key, field] of Object.entries(schema.fields)) {
    if (field === "int!" && options.typed && decoded[key] === undefined) decoded[key] = 0;
  }
  if (path !== "" && options.typed && schema.pointer !== true && Object.keys(decoded).length === 0) return undefined;
  return decoded;
}

/** The schema of a field of `schema`; undefined where nothing is known of it. */
export function fieldSchema(schema: Schema | undefined, key: string): Schema | undefined {
  if (schema === undefined || typeof schema === "string" || "list" in schema) return undefined;
  return Object.hasOwn(schema.fields, key) ? schema.fields[key] : undefined;
}
