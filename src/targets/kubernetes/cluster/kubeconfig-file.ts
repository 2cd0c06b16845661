import { existsSync } from "node:fs";
import { delimiter, dirname } from "node:path";
import { type Problem, readFailure } from "../../../core/problem.ts";
import { quote } from "../../../core/show-value.ts";
import {
  fieldOf,
  itemsOf,
  type KubeconfigSource,
  problemAt,
  problemsOf,
  readKubeconfigYaml,
  textOf,
  type Value,
} from "./kubeconfig-yaml.ts";

/** What some kubeconfig files say together. */
export interface Kubeconfig {
  /** Names of the contexts, in the files' order. */
  readonly contexts: readonly string[];
  /** The `current-context`, if one is said. It need not be among {@link contexts}. */
  readonly currentContext: string | undefined;
  /** What deserves a line in the log. */
  readonly warnings: readonly Problem[];
  /** Finds one of {@link contexts} with its cluster and its user; undefined where it has none, with the problems. */
  find(context: string, problems: Problem[]): KubeconfigEntry | undefined;
}

/** A context's cluster and user. */
export interface KubeconfigEntry {
  /** The item of `clusters`; what is said of it stands in its `cluster`. */
  readonly cluster: Value;
  /** The item of `users`, with its `user`. Undefined for a context that names none: it is anonymous. */
  readonly user: Value | undefined;
}

/** Reads a file. Throws what the system says. */
export type ReadFile = (path: string) => Uint8Array;

/**
 * The paths in `a:b`, as in $KUBECONFIG; a file whose own name looks like that is itself.
 *
 * @param absolute makes a path absolute, where it is not.
 */
export function kubeconfigPaths(list: string, absolute: (path: string) => string = (path) => path): readonly string[] {
  const whole = absolute(list);
  const paths = existsSync(whole)
    ? [whole]
    : list
        .split(delimiter)
        .filter((path) => path !== "")
        .map(absolute);
  return [...new Set(paths)];
}

/**
 * Reads kubeconfig files as one, as client-go does: the first that has a context, cluster or user of a name has it alone, and of several
 * files those that are not there are left out.
 *
 * @param paths where they are.
 * @param shown what messages call a file.
 * @returns what they say, or why they say nothing.
 */
export function readKubeconfig(
  paths: readonly string[],
  read: ReadFile,
  shown: (path: string) => string = (path) => path,
): Kubeconfig | readonly Problem[] {
  const about = (path: string, message: string): Problem => ({
    file: shown(path),
    line: undefined,
    column: undefined,
    field: "",
    message,
  });
  const sources: KubeconfigSource[] = [];
  const problems: Problem[] = [];
  const missing: Problem[] = [];
  for (const path of paths) {
    try {
      const source = readKubeconfigYaml(read(path), shown(path), dirname(path));
      if ("folder" in source) sources.push(source);
      else problems.push(...source);
    } catch (error) {
      const isMissing = paths.length > 1 && (error as NodeJS.ErrnoException).code === "ENOENT";
      (isMissing ? missing : problems).push(about(path, `cannot be read: ${readFailure(error)}`));
    }
  }
  if (problems.length > 0 || sources.length === 0) {
    return [...problems, ...missing];
  }
  for (const { root } of sources) refuseOtherKind(root, problems);
  const contexts = namesOf(sources, "contexts", problems);
  if (problems.length > 0) {
    return problems;
  }
  if (contexts.length === 0) {
    return paths.map((path) => about(path, "is not a kubeconfig: it has no contexts"));
  }
  return {
    contexts,
    currentContext: currentOf(sources),
    warnings: [...missing, ...sources.flatMap(({ warnings }) => warnings)],
    find: (context, wrong) => find(sources, context, wrong),
  };
}

/** What a file may say that it is. Most say it, and kubectl takes one that says nothing. */
const IS = { apiVersion: "v1", kind: "Config" } as const;

/** Refuses a file that says that it is something else. */
function refuseOtherKind(root: Value | undefined, problems: Problem[]): void {
  for (const [field, wanted] of Object.entries(IS)) {
    const value = problemsOf(problems, () => textOf(root, field));
    const at = fieldOf(root, field);
    if (value === undefined || value === "" || value === wanted || at === undefined) continue;
    problems.push(problemAt(at, `must be ${wanted}, but is ${quote(value)}: this is no kubeconfig`));
  }
}

const SINGULAR = { contexts: "context", clusters: "cluster", users: "user" } as const;

type List = keyof typeof SINGULAR;

function currentOf(sources: readonly KubeconfigSource[]): string | undefined {
  const found = sources.map(({ root }) => problemsOf([], () => textOf(root, "current-context")));
  return found.find((name) => name !== undefined && name !== "");
}

function find(sources: readonly KubeconfigSource[], context: string, problems: Problem[]): KubeconfigEntry | undefined {
  const before = problems.length;
  const item = named(sources, "contexts", context, problems);
  if (item === undefined) return undefined;
  const cluster = follow(sources, item, "clusters", problems);
  if (cluster === undefined && problems.length === before) {
    const message = `must be set: context ${quote(context)} names no cluster`;
    problems.push(problemAt(item, message, ["context", "cluster"]));
  }
  const user = follow(sources, item, "users", problems);
  return cluster === undefined || problems.length > before ? undefined : { cluster, user };
}

/** Finds the cluster or user that a context names; undefined where it names none, or one that is not there: that is a problem. */
function follow(
  sources: readonly KubeconfigSource[],
  context: Value,
  list: "clusters" | "users",
  problems: Problem[],
): Value | undefined {
  const kind = SINGULAR[list];
  return problemsOf(problems, () => {
    const body = fieldOf(context, "context");
    const wanted = textOf(body, kind);
    const field = fieldOf(body, kind);
    if (wanted === "" || field === undefined) return undefined;
    const found = named(sources, list, wanted, problems);
    if (found === undefined) {
      const known = namesOf(sources, list, []).map(quote).join(", ");
      const message = `is ${quote(wanted)}, but no ${kind} has that name; there is ${known || "none"}`;
      problems.push(problemAt(field, message));
    }
    return found;
  });
}

/** The item of a list with a name, in the first file that has one. */
function named(sources: readonly KubeconfigSource[], list: List, name: string, problems: Problem[]): Value | undefined {
  for (const { root } of sources) {
    const [first, second] = listOf(root, list, problems).filter((item) => nameOf(item) === name);
    if (second !== undefined) {
      const message = `is ${quote(name)} as in an item above: kubectl refuses that too, because either may be meant`;
      problems.push(problemAt(second, message, ["name"]));
    }
    if (first !== undefined) return first;
  }
  return undefined;
}

function namesOf(sources: readonly KubeconfigSource[], list: List, problems: Problem[]): readonly string[] {
  const names = sources.flatMap(({ root }) => listOf(root, list, problems).map(nameOf));
  return [...new Set(names.filter((name) => name !== ""))];
}

const listOf = (root: Value | undefined, list: List, problems: Problem[]): readonly Value[] =>
  problemsOf(problems, () => itemsOf(fieldOf(root, list))) ?? [];

/** An item's name; empty where it has none that can be asked for. */
const nameOf = (item: Value): string => problemsOf([], () => textOf(item, "name")) ?? "";
