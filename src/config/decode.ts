import {
  create,
  type DescField,
  type DescMessage,
  type DescOneof,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";
import { DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from "yaml";
import { nearName } from "../core/near-name.ts";
import { type FieldPath, formatPath, type Problem } from "../core/problem.ts";
import { showValue } from "../core/show-value.ts";
import { secondsOf } from "./duration.ts";
import type { Position, YamlFile } from "./yaml.ts";

/** What a file says, as far as it can be understood. */
export interface Decoded<Desc extends DescMessage> {
  /** The message, so far that the rest can be judged: a mistyped key counts as the near one, what {@link unreadable} holds is unset. */
  readonly message: MessageShape<Desc>;
  /** Every mistake: unknown keys, keys that stand twice, values of the wrong type. */
  readonly problems: readonly Problem[];
  /** Paths (as printed) of the fields with a value of the wrong type: of whatever needs them, nothing can be told. */
  readonly unreadable: ReadonlySet<string>;
  /** Where the value of a field stands, or else the nearest thing around it that is in the file. */
  positionOf(path: FieldPath): Position | undefined;
}

interface Context {
  readonly source: YamlFile;
  readonly problems: Problem[];
  readonly unreadable: Set<string>;
  readonly positions: Map<string, Position | undefined>;
}

/**
 * Reads a file as a protobuf message. The schema is the message's descriptor: keys are its field names (snake_case), a message or a
 * map is a mapping, a repeated field a list, and everything else is read as protobuf's JSON has it.
 */
export function decodeYaml<Desc extends DescMessage>(schema: Desc, source: YamlFile): Decoded<Desc> {
  const context = newContext(source);
  return decoded(context, schema, source.root === undefined ? {} : decodeMessage(context, schema, source.root, []));
}

/**
 * Reads a file that is a list.
 *
 * @param schema a message whose one field is that list. Paths begin with an index: the file does not say the field's name.
 */
export function decodeYamlList<Desc extends DescMessage>(schema: Desc, source: YamlFile): Decoded<Desc> {
  const [field] = schema.fields;
  if (field?.fieldKind !== "list") throw new Error(`${schema}: its first field must be a list`);
  const context = newContext(source);
  const items = source.root && decodeList(context, field, source.root, source.root, []);
  return decoded(context, schema, items === undefined ? {} : { [field.jsonName]: items });
}

const newContext = (source: YamlFile): Context => ({
  source,
  problems: [],
  unreadable: new Set(),
  positions: new Map(),
});

const decoded = <Desc extends DescMessage>(context: Context, schema: Desc, json: JsonObject): Decoded<Desc> => ({
  message: fromJson(schema, json),
  problems: context.problems,
  unreadable: context.unreadable,
  positionOf: (path) => {
    for (let length = path.length; length >= 0; length--) {
      const position = context.positions.get(formatPath(path.slice(0, length)));
      if (position !== undefined) return position;
    }
    return undefined;
  },
});

function decodeMessage(context: Context, desc: DescMessage, node: Node, path: FieldPath): JsonObject {
  place(context, node, path);
  const json: JsonObject = {};
  if (isNull(node)) return json;
  if (!isMap(node)) {
    // The value may be a secret that should have been a reference: it is not shown.
    reject(context, node, path, `must be a section with ${keysOf(desc)}, but is ${kindOf(node)}`);
    return json;
  }
  const taken = new Map<DescField | DescOneof, { name: string; key: Node }>();
  for (const pair of node.items) {
    const entry = entryOf(context, desc, pair, node, path);
    if (entry === undefined) continue;
    const { key, field } = entry;
    const before = taken.get(field) ?? (field.oneof && taken.get(field.oneof));
    if (before !== undefined) {
      const line = context.source.positionOf(before.key)?.line;
      const repeated = before.name === field.name;
      const message = repeated
        ? `stands twice, first on line ${line}`
        : `cannot stand beside ${before.name} (line ${line})`;
      report(context, key, [...path, field.name], message);
      continue;
    }
    taken.set(field.oneof ?? field, { name: field.name, key });
    const value = decodeField(context, field, pair, key, [...path, field.name]);
    if (value !== undefined) json[field.jsonName] = value;
  }
  return json;
}

/** The field that a key of a mapping means; for a mistyped one the near field, unless that is there itself. */
function entryOf(
  context: Context,
  desc: DescMessage,
  pair: Pair,
  mapping: YAMLMap,
  path: FieldPath,
): { key: Node; field: DescField } | undefined {
  const key = context.source.resolve(pair.key);
  if (!isScalar(key)) {
    report(context, mapping, path, `must have only ${keysOf(desc)}, but one of its keys is not text`);
    return undefined;
  }
  const name = String(key.value);
  const field = desc.fields.find((candidate) => candidate.name === name);
  if (field !== undefined) return { key, field };
  const free = desc.fields.filter((candidate) => !mapping.has(candidate.name));
  const meant = free.find(
    (candidate) =>
      candidate.name ===
      nearName(
        name,
        free.map((each) => each.name),
      ),
  );
  const known = desc.fields.map((each) => each.name).join(", ");
  const advice = meant === undefined ? `known here: ${known}` : `did you mean ${meant.name}?`;
  report(context, key, [...path, name], `is not a known key; ${advice}`);
  return meant && { key, field: meant };
}

function decodeField(
  context: Context,
  field: DescField,
  pair: Pair,
  key: Node,
  path: FieldPath,
): JsonValue | undefined {
  const value = context.source.resolve(pair.value);
  // `key:` with nothing behind it has a value of no length; the key is the better place to show.
  const node = isNode(value) && !isEmpty(value) ? value : key;
  place(context, node, path);
  if (field.fieldKind === "map") return decodeMap(context, field, value, node, path);
  if (field.fieldKind === "list") return decodeList(context, field, value, node, path);
  return decodeSingular(context, field, value, node, path);
}

/** A map from names to sections or values. One without any would be taken for one that is not there: it is a mistake. */
function decodeMap(
  context: Context,
  field: DescField & { fieldKind: "map" },
  value: unknown,
  node: Node,
  path: FieldPath,
): JsonValue | undefined {
  if (!isMap(value) || value.items.length === 0) {
    const found = isMap(value) ? "empty" : kindOf(value);
    const what = field.message === undefined ? "a value" : "a section";
    reject(context, node, path, `must have ${what} for each of some names, or be left out, but is ${found}`);
    return undefined;
  }
  const entries = new Map<string, JsonValue>();
  const lines = new Map<string, number | undefined>();
  for (const pair of value.items) {
    const key = context.source.resolve(pair.key);
    if (!isScalar(key) || key.value === "__proto__") {
      report(context, isNode(key) ? key : value, path, "must have only names as keys");
      continue;
    }
    const name = String(key.value);
    if (lines.has(name)) {
      report(context, key, [...path, name], `stands twice, first on line ${lines.get(name)}`);
      continue;
    }
    lines.set(name, context.source.positionOf(key)?.line);
    const entry = context.source.resolve(pair.value);
    const shown = isNode(entry) && !isEmpty(entry) ? entry : key;
    const read = decodeSingular(context, field, entry, shown, [...path, name]);
    if (read !== undefined) entries.set(name, read);
    place(context, shown, [...path, name]);
  }
  return Object.fromEntries(entries);
}

function decodeList(
  context: Context,
  field: DescField & { fieldKind: "list" },
  value: unknown,
  node: Node,
  path: FieldPath,
): JsonValue | undefined {
  if (isNull(value)) return undefined;
  if (!isSeq(value)) {
    reject(context, node, path, `must be a list, but is ${kindOf(value)}`);
    return undefined;
  }
  return value.items.map((each, index) => {
    const item = context.source.resolve(each);
    const itemPath = [...path, index];
    const itemNode = isNode(item) ? item : value;
    place(context, itemNode, itemPath);
    // What cannot be read keeps its place, so that the items behind it keep theirs.
    return decodeSingular(context, field, item, itemNode, itemPath) ?? zero(field);
  });
}

function zero(field: DescField & { fieldKind: "list" }): JsonValue {
  if (field.listKind === "message") return toJson(field.message, create(field.message));
  if (field.listKind === "enum") return field.enum.values[0]?.number ?? 0;
  return field.scalar === ScalarType.BOOL ? false : field.scalar === ScalarType.STRING ? "" : 0;
}

function decodeSingular(
  context: Context,
  field: DescField,
  value: unknown,
  node: Node,
  path: FieldPath,
): JsonValue | undefined {
  if (field.message !== undefined && !isLeaf(field.message)) {
    return isNode(value) ? decodeMessage(context, field.message, value, path) : {};
  }
  const written = isScalar(value) ? value.value : value;
  const duration = field.message?.typeName === DurationSchema.typeName && typeof written === "string";
  const leaf = duration ? (secondsOf(written) ?? written) : written;
  if (isJsonScalar(leaf) && readable(field, leaf)) return leaf;
  const shown = isJsonScalar(written) ? showValue(field, written) : kindOf(value);
  const wrong = leaf === null ? `must have a value: ${expected(field)}` : `must be ${expected(field)}, but is ${shown}`;
  reject(context, node, path, wrong);
  return undefined;
}

/** Whether protobuf's own JSON parser takes a value for a field. */
function readable(field: DescField, value: string | number | boolean): boolean {
  try {
    const whole = field.fieldKind === "list" ? [value] : field.fieldKind === "map" ? { key: value } : value;
    fromJson(field.parent, { [field.jsonName]: whole });
    return true;
  } catch {
    return false; // the caller reports it, in words for the operator
  }
}

function expected(field: DescField): string {
  if (field.message?.typeName === TimestampSchema.typeName) return "a time of RFC 3339, such as 2026-01-31T12:00:00Z";
  if (field.message !== undefined) return "a duration, such as 60s or 1h30m";
  if (field.enum !== undefined) return `one of ${field.enum.values.map((value) => value.name).join(", ")}`;
  switch (field.scalar) {
    case ScalarType.STRING:
      return "text (in quotes where it looks like something else)";
    case ScalarType.BOOL:
      return "true or false";
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return "a number";
    default:
      return "a whole number";
  }
}

const isLeaf = ({ typeName }: DescMessage): boolean =>
  typeName === DurationSchema.typeName || typeName === TimestampSchema.typeName;

const isJsonScalar = (value: unknown): value is string | number | boolean =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean";

const isNode = (value: unknown): value is Node => isScalar(value) || isMap(value) || isSeq(value);

const isNull = (value: unknown): boolean =>
  value === null || value === undefined || (isScalar(value) && value.value === null);

const isEmpty = (node: Node): boolean => !node.range || node.range[0] === node.range[1];

const kindOf = (value: unknown): string =>
  isMap(value) ? "a section" : isSeq(value) ? "a list" : isNull(value) ? "nothing" : "a single value";

const keysOf = (desc: DescMessage): string => `the keys ${desc.fields.map((field) => field.name).join(", ")}`;

function place(context: Context, node: Node, path: FieldPath): void {
  context.positions.set(formatPath(path), context.source.positionOf(node));
}

function report(context: Context, node: Node, path: FieldPath, message: string): void {
  const position = context.source.positionOf(node);
  const { file } = context.source;
  context.problems.push({ file, line: position?.line, column: position?.column, field: formatPath(path), message });
}

function reject(context: Context, node: Node, path: FieldPath, message: string): void {
  context.unreadable.add(formatPath(path));
  report(context, node, path, message);
}
