import { resolve } from "node:path";
import { type FieldPath, formatPath, formatProblem, type Problem } from "../core/problem.ts";
import type { SectionReader } from "../core/section-reader.ts";
import type { Position } from "./yaml.ts";

/** Where the fields of a configuration stand. */
export interface Origin {
  /** The configuration file as the operator named it; undefined when there is none. */
  readonly file: string | undefined;
  /** Folder that relative paths start from. */
  readonly folder: string;
  positionOf(path: FieldPath): Position | undefined;
}

/** What is known to be wrong with a configuration while it is read. */
export interface Report {
  readonly problems: Problem[];
  readonly warnings: Problem[];
  readonly reader: SectionReader;
}

/**
 * Starts a report.
 *
 * @param known the mistakes that are known already.
 * @param unreadable paths of the fields of which that is all there is to say.
 */
export function createReport(origin: Origin, known: readonly Problem[], unreadable: ReadonlySet<string>): Report {
  const problems = [...known];
  const settled = new Set(unreadable);
  const warnings: Problem[] = [];
  const here = (path: FieldPath, message: string): Problem => {
    const position = origin.positionOf(path);
    return { file: origin.file, line: position?.line, column: position?.column, field: formatPath(path), message };
  };
  const reader: SectionReader = {
    resolve: (path) => resolve(origin.folder, path),
    problem: (path, message) => {
      const problem = here(path, message);
      if (!settled.has(problem.field)) problems.push(problem);
      settled.add(problem.field);
    },
    warning: (path, message) => warnings.push(here(path, message)),
    problemElsewhere: (problem) => addOnce(problems, problem),
    warningElsewhere: (problem) => addOnce(warnings, problem),
    whereIs: (path) => {
      const line = origin.positionOf(path)?.line;
      return line === undefined ? "" : `line ${line}`;
    },
  };
  return { problems, warnings, reader };
}

function addOnce(problems: Problem[], problem: Problem): void {
  const text = formatProblem(problem);
  if (!problems.some((known) => formatProblem(known) === text)) problems.push(problem);
}
