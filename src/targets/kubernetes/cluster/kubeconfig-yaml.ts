import { isDeepStrictEqual } from "node:util";
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseAllDocuments,
  visit,
} from "yaml";
import { type FieldPath, formatPath, type Problem } from "../../../core/problem.ts";

/** What a kubeconfig file says, with the places of it. */
export interface KubeconfigSource {
  /** What messages call the file. */
  readonly file: string;
  /** What its relative paths are relative to. */
  readonly folder: string;
  /** All of it; undefined where it is empty. */
  readonly root: Value | undefined;
  /** What deserves a line in the log. */
  readonly warnings: readonly Problem[];
}

/** One value of a kubeconfig, and where it stands. */
export interface Value {
  readonly node: Node;
  readonly path: FieldPath;
  readonly document: Document;
}

/** One YAML document, as far as its values need it. */
interface Document {
  readonly file: string;
  readonly folder: string;
  /** The node that an alias stands for, or the node itself; undefined for what is no value. */
  resolve(node: unknown): Node | undefined;
  json(node: Node): unknown;
  place(node: Node): { readonly line: number | undefined; readonly column: number | undefined };
  /** Keys and values of maps, merge keys followed. */
  readonly fields: WeakMap<Node, ReadonlyMap<string, Node>>;
}

/** Thrown while a value is looked for that cannot be: caught by {@link problemsOf} alone. */
class Unreadable extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** What the library's sentences quote of the text, at their end. */
const QUOTATION = /(?<! ): .*|(?<=escape sequence) .*/s;

/**
 * Reads a kubeconfig as kubectl does: YAML 1.1 or JSON in UTF-8 or UTF-16, the first document alone, keys that stand twice (the last one
 * holds), anchors and merge keys.
 *
 * @param bytes what is in the file.
 * @param file what messages call it.
 * @returns what it says, or why it is none. Nothing quotes it: it holds secrets.
 */
export function readKubeconfigYaml(
  bytes: Uint8Array,
  file: string,
  folder: string,
): KubeconfigSource | readonly Problem[] {
  const whole = (message: string): Problem => ({ file, line: undefined, column: undefined, field: "", message });
  const text = decode(bytes);
  if (text === undefined) {
    return [whole("is not text in UTF-8 or UTF-16")];
  }
  const lines = new LineCounter();
  const place = (offset: number | undefined) => {
    const found = offset === undefined ? undefined : lines.linePos(offset);
    return { line: found?.line, column: found?.col };
  };
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false, // they quote the text around the mistake
    uniqueKeys: false,
    version: "1.1",
    // kubectl's reader (go-yaml v2) leaves dates and numbers of base 60 as text.
    customTags: (tags) =>
      tags.filter((tag) => typeof tag === "string" || !(tag.tag.endsWith(":timestamp") || tag.format === "TIME")),
  });
  const [first, ...others] = Array.isArray(documents) ? documents : [];
  if (first === undefined) {
    return { file, folder, root: undefined, warnings: [] };
  }
  const at = (offset: number, message: string): Problem => ({ file, ...place(offset), field: "", message });
  const mistakes = first.errors.map(({ pos, message }) => at(pos[0], `is not YAML: ${message.replace(QUOTATION, "")}`));
  visit(first, {
    Alias(_key, alias, above) {
      const anchor = alias.resolve(first);
      if (anchor === undefined || above.includes(anchor)) {
        const wrong = anchor === undefined ? "that is not there" : "around itself";
        mistakes.push(at(alias.range?.[0] ?? 0, `is not YAML: an alias stands for an anchor ${wrong}`));
      }
    },
  });
  if (mistakes.length > 0) {
    return mistakes;
  }
  const document: Document = {
    file,
    folder,
    resolve(node) {
      const target = isAlias(node) ? node.resolve(first) : node;
      return isMap(target) || isSeq(target) || isScalar(target) ? target : undefined;
    },
    json: (node) => node.toJS(first, { maxAliasCount: 100 }),
    place: ({ range }) => place(range?.[0]),
    fields: new WeakMap(),
  };
  const more = others.find(({ contents }) => !isEmpty(contents));
  const unread = "a second document begins here: it is not read, as kubectl does not read it";
  return {
    file,
    folder,
    root: isEmpty(first.contents) ? undefined : toValue(document, first.contents, []),
    warnings: more === undefined ? [] : [at(more.contents?.range?.[0] ?? 0, unread)],
  };
}

/** Runs what looks for values; what cannot be read in them is added to the problems, and undefined answered. */
export function problemsOf<Result>(problems: Problem[], look: () => Result): Result | undefined {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof Unreadable)) {
      throw error;
    }
    const { problem } = error;
    if (!problems.some((known) => isDeepStrictEqual(known, problem))) problems.push(problem);
    return undefined;
  }
}

/** A problem with a value, or with a field of it that is not there. */
export function problemAt({ node, path, document }: Value, message: string, field: FieldPath = []): Problem {
  return { file: document.file, ...document.place(node), field: formatPath([...path, ...field]), message };
}

/** A problem with the value of a key, or with a map for lacking it. */
export function problemIn(value: Value, key: string, message: string): Problem {
  const field = isMap(value.node) ? fieldOf(value, key) : undefined;
  return field === undefined ? problemAt(value, message, [key]) : problemAt(field, message);
}

/** The value of a key; undefined where it is not there or null. */
export function fieldOf(value: Value | undefined, key: string): Value | undefined {
  if (value === undefined) {
    return undefined;
  }
  const { node, path, document } = value;
  if (!isMap(node)) {
    throw new Unreadable(problemAt(value, "must be a map"));
  }
  const found = fieldsOf(value, node).get(key);
  const field = found && toValue(document, found, [...path, key]);
  return field === undefined || (isScalar(field.node) && field.node.value === null) ? undefined : field;
}

/** The keys of a map, with their values that are not null; none where it is not there. */
export function entriesOf(value: Value | undefined): readonly (readonly [key: string, value: Value])[] {
  if (value === undefined) {
    return [];
  }
  if (!isMap(value.node)) {
    throw new Unreadable(problemAt(value, "must be a map"));
  }
  return [...fieldsOf(value, value.node).keys()].flatMap((key) => {
    const field = fieldOf(value, key);
    return field === undefined ? [] : [[key, field] as const];
  });
}

/** The items of a list; none where it is not there. */
export function itemsOf(value: Value | undefined): readonly Value[] {
  if (value === undefined) {
    return [];
  }
  const { node, path, document } = value;
  if (!isSeq(node)) {
    throw new Unreadable(problemAt(value, "must be a list"));
  }
  return node.items.flatMap((item, index) => toValue(document, item, [...path, index]) ?? []);
}

/** The text of a key; empty where it is not there. */
export function textOf(value: Value | undefined, key: string): string {
  const field = fieldOf(value, key);
  return field === undefined ? "" : textIn(field);
}

/** A value that is text. What looks like a number or a truth value is none, as in JSON. */
export function textIn(value: Value): string {
  if (!isScalar(value.node) || typeof value.node.value !== "string") {
    throw new Unreadable(problemAt(value, "must be text: put it in quotes (what it is instead is not shown)"));
  }
  return value.node.value;
}

/** The truth value of a key; false where it is not there. */
export function flagOf(value: Value | undefined, key: string): boolean {
  const field = fieldOf(value, key);
  if (field === undefined) {
    return false;
  }
  if (!isScalar(field.node) || typeof field.node.value !== "boolean") {
    throw new Unreadable(problemAt(field, "must be true or false, without quotes"));
  }
  return field.node.value;
}

/** Any value as JSON has it. */
export function jsonOf(value: Value | undefined): unknown {
  if (value === undefined) {
    return undefined;
  }
  try {
    return value.document.json(value.node);
  } catch {
    throw new Unreadable(problemAt(value, "has too many aliases")); // the library's words, for what is small and grows without end
  }
}

function toValue(document: Document, node: unknown, path: FieldPath): Value | undefined {
  const found = document.resolve(node);
  return found && { node: found, path, document };
}

/**
 * The fields of a map. A merge key is followed where it stands, as by kubectl's reader: what comes after it overwrites what it brought,
 * and it overwrites what came before.
 */
function fieldsOf(value: Value, map: Node): ReadonlyMap<string, Node> {
  const { document } = value;
  const known = document.fields.get(map);
  if (known !== undefined) {
    return known;
  }
  if (!isMap(map)) {
    throw new Unreadable(problemAt({ ...value, node: map }, "must be a map, or a list of maps, to be merged"));
  }
  const fields = new Map<string, Node>();
  for (const { key, value: content } of map.items) {
    const name = document.resolve(key);
    if (isScalar(key) && key.type === "PLAIN" && key.source === "<<") {
      for (const source of mergedBy(document, content)) {
        for (const [field, node] of fieldsOf(value, source)) fields.set(field, node);
      }
    } else if (isScalar(name)) {
      fields.set(typeof name.value === "string" ? name.value : (name.source ?? ""), content as ParsedNode);
    }
  }
  document.fields.set(map, fields);
  return fields;
}

/** The maps that a merge key names, the one that takes precedence last. */
function mergedBy(document: Document, content: unknown): readonly Node[] {
  const found = document.resolve(content);
  const all = isSeq(found) ? found.items.map((item) => document.resolve(item)).toReversed() : [found];
  return all.filter((node) => node !== undefined);
}

function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

/** Text of bytes, by their byte order mark; undefined where it is none. */
function decode(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return undefined; // the caller says so
  }
}
