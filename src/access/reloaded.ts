import type { Registry } from "@bufbuild/protobuf";
import type { Validator } from "@bufbuild/protovalidate";
import type { NamedFile } from "../config/file.ts";
import { type FieldPath, formatProblem, type Problem } from "../core/problem.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { quote } from "../core/show-value.ts";
import type { Catalog } from "./catalog.ts";

/** What reading the sections about access takes beside them. */
export interface AccessOptions {
  /** Knows the rules that restart.config.v1 uses. */
  readonly validator: Validator;
  /** The wall clock. */
  readonly now: () => Date;
  /** Every permission that there is. */
  readonly catalog: Catalog;
  /** Knows the requests that conditions look into. */
  readonly registry: Registry;
}

/** What is made of files that are read again when they change. What is wrong with them leaves what was before. */
export interface Reloaded<Value> {
  /** Absolute paths of the files. */
  readonly files: readonly string[];
  readonly current: () => Value;
  /** Reads them again; answers what is wrong with them, in a sentence. */
  readonly reload: () => string | undefined;
}

/** A file as it was read. */
export interface Reading<Value> {
  readonly value: Value;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** What no file says stays as it is. */
export const fixed = <Value>(value: Value): Reloaded<Value> => ({
  files: [],
  current: () => value,
  reload: () => undefined,
});

/**
 * Reads a file that a field of the configuration names, at the start and whenever it changes.
 *
 * @param field where the configuration names it; a file that is not there is that field's mistake.
 */
export function reloadedFile<Value>(
  { path, file }: NamedFile,
  field: FieldPath,
  reader: SectionReader,
  read: () => Reading<Value>,
): Reloaded<Value> {
  const first = read();
  for (const problem of first.problems) {
    if (problem.line !== undefined) reader.problemElsewhere(problem);
    else reader.problem(field, `${quote(file)} ${problem.message}`);
  }
  for (const warning of first.warnings) reader.warningElsewhere(warning);
  let value = first.value;
  return {
    files: [path],
    current: () => value,
    reload() {
      const again = read();
      if (again.problems.length > 0) {
        return `${file} is wrong, and what it said before holds: ${again.problems.map(formatProblem).join("; ")}`;
      }
      value = again.value;
      return undefined;
    },
  };
}
