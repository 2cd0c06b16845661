import { readFileSync } from "node:fs";
import { isAlias, LineCounter, type Node, parseDocument } from "yaml";
import { type Problem, readFailure } from "../core/problem.ts";

/** Where something stands in a file, both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A YAML (or JSON) file with the places of what it says. */
export interface YamlFile {
  /** Its name, as it was given. */
  readonly file: string;
  /** What it was read from. */
  readonly bytes: Uint8Array;
  /** Its content; undefined for an empty file. */
  readonly root: Node | undefined;
  /** Where a node begins. */
  positionOf(node: Node): Position | undefined;
  /** The node itself, or the one that an alias stands for. */
  resolve(node: unknown): unknown;
}

/**
 * Reads a file of one YAML document. Key order, comments and the like are lost; keys that stand twice are left to the reader.
 *
 * @param path where the file is.
 * @param file what messages call it.
 * @returns the file, or why it cannot be read or understood: every syntax error.
 */
export function readYaml(path: string, file: string): YamlFile | readonly Problem[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    return [{ file, line: undefined, column: undefined, field: "", message: `cannot be read: ${readFailure(error)}` }];
  }
  const lineCounter = new LineCounter();
  // Pretty errors quote the text around the mistake, which may be a secret.
  const document = parseDocument(bytes.toString("utf8"), { lineCounter, prettyErrors: false, uniqueKeys: false });
  const place = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line, column: col };
  };
  const mistakes = [...document.errors, ...document.warnings];
  if (mistakes.length > 0) {
    return mistakes.map(({ pos, code, message }) => {
      const wrong = code === "MULTIPLE_DOCS" ? "must hold one YAML document, not several" : `is not YAML: ${message}`;
      return { file, ...place(pos[0]), field: "", message: wrong };
    });
  }
  return {
    file,
    bytes,
    root: document.contents ?? undefined,
    positionOf: ({ range }) => (range ? place(range[0]) : undefined),
    resolve: (node) => (isAlias(node) ? node.resolve(document) : node),
  };
}
