import { getSystemErrorMap } from "node:util";

/** A field of the configuration: names and list indexes, from the top down. */
export type FieldPath = readonly (string | number)[];

/** One mistake of a configuration, or one thing that deserves a warning. */
export interface Problem {
  /** The file as the operator named it: the configuration, or a file that it names. Undefined for what no file says. */
  readonly file: string | undefined;
  /** Line, from 1. Undefined when the whole file is meant. */
  readonly line: number | undefined;
  /** Column, from 1. */
  readonly column: number | undefined;
  /** Path of the field, such as `kubernetes.clusters[0].name`. Empty when the whole file is meant. */
  readonly field: string;
  /** What is wrong, with the value unless it may be a secret, and what is allowed. */
  readonly message: string;
}

/** The configuration has mistakes. Its message is the report to print: a line for each of them. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** All of them, file by file, from top to bottom. */
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const sorted = sortProblems(problems);
    const head = `${problems.length === 1 ? "1 mistake" : `${problems.length} mistakes`} in the configuration:`;
    super([head, ...sorted.map((problem) => `  ${formatProblem(problem)}`)].join("\n"));
    this.problems = sorted;
  }
}

/** A problem as one line, `file:line:column: field: message`. */
export function formatProblem({ file, line, column, field, message }: Problem): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  return [place, field, message].filter((part) => part !== "").join(": ");
}

/** A path as it is printed: `kubernetes.clusters[0].name`. */
export function formatPath(path: FieldPath): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .replace(/^\./, "");
}

/** Why a file could not be read, without the path: `no such file or directory`. */
export function readFailure(error: unknown): string {
  if (error instanceof Error && "errno" in error && typeof error.errno === "number") {
    return getSystemErrorMap().get(error.errno)?.[1] ?? error.message; // Node 20 has no getSystemErrorMessage
  }
  throw error;
}

const sortProblems = (problems: readonly Problem[]): Problem[] => {
  const files = [...new Set(problems.map(({ file }) => file))];
  return problems.toSorted(
    (a, b) =>
      files.indexOf(a.file) - files.indexOf(b.file) ||
      (a.line ?? 0) - (b.line ?? 0) ||
      (a.column ?? 0) - (b.column ?? 0),
  );
};
