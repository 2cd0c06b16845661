import { accessSync, constants } from "node:fs";
import { dirname, resolve } from "node:path";
import { isMap, isScalar, isSeq, type Node } from "yaml";
import { readYaml, type YamlFile } from "../../../config/yaml.ts";
import { isLoopbackHost } from "../../../core/loopback.ts";
import { type FieldPath, formatPath, type Problem, readFailure } from "../../../core/problem.ts";
import { quote } from "../../../core/show-value.ts";

/** A kubeconfig file, as far as its shape is concerned: what makes a connection of it is not here. */
export interface KubeconfigFile {
  /** Names of its contexts, in the file's order. */
  readonly contexts: readonly string[];
  /** Its `current-context`, if it says one. It need not be among {@link contexts}. */
  readonly currentContext: string | undefined;
  /** Judges one of {@link contexts} with its cluster and its user. */
  check(context: string): { readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };
}

/**
 * Reads a kubeconfig file.
 *
 * @param path where it is.
 * @param file what messages call it.
 * @returns the file, or why it is none.
 */
export function readKubeconfig(path: string, file: string): KubeconfigFile | readonly Problem[] {
  const source = readYaml(path, file);
  if (!("root" in source)) return source;
  const view: View = { source, folder: dirname(path) };
  const contexts = named(view, "contexts").map(({ name }) => name);
  if (contexts.length === 0) {
    return [
      { file, line: undefined, column: undefined, field: "", message: "is not a kubeconfig: it has no contexts" },
    ];
  }
  return {
    contexts: [...new Set(contexts)],
    currentContext: text(child(view, source.root, "current-context")) || undefined,
    check: (context) => checkContext(view, context),
  };
}

interface View {
  readonly source: YamlFile;
  readonly folder: string;
}

interface Named {
  readonly name: string;
  readonly item: Node;
  /** What the item says: its `context`, `cluster` or `user`. */
  readonly body: Node | undefined;
  readonly path: FieldPath;
}

interface Findings {
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

const SINGULAR = { contexts: "context", clusters: "cluster", users: "user" } as const;

function checkContext(view: View, name: string): Findings {
  const findings: Findings = { problems: [], warnings: [] };
  const context = named(view, "contexts").find((candidate) => candidate.name === name);
  if (context === undefined) throw new Error(`no context ${name}`);
  const cluster = follow(view, context, "clusters", findings);
  if (cluster !== undefined) checkCluster(view, cluster, findings);
  const user = follow(view, context, "users", findings);
  if (user !== undefined) {
    checkFile(view, user, "tokenFile", undefined, findings);
    checkFile(view, user, "client-certificate", "client-certificate-data", findings);
    checkFile(view, user, "client-key", "client-key-data", findings);
  }
  return findings;
}

/** Finds the cluster or user that a context names. */
function follow(view: View, context: Named, list: "clusters" | "users", findings: Findings): Named | undefined {
  const kind = SINGULAR[list];
  const node = child(view, context.body, kind);
  const name = text(node);
  const path = [...context.path, kind];
  if (!name) {
    findings.problems.push(
      problem(view, context.item, path, `must be set: context ${quote(context.name)} names no ${kind}`),
    );
    return undefined;
  }
  const all = named(view, list);
  const found = all.find((candidate) => candidate.name === name);
  if (found === undefined) {
    const known = all.length === 0 ? "none" : all.map((candidate) => quote(candidate.name)).join(", ");
    const message = `is ${quote(name)}, but no ${kind} of the file has that name; it has ${known}`;
    findings.problems.push(problem(view, node ?? context.item, path, message));
  }
  return found;
}

function checkCluster(view: View, cluster: Named, findings: Findings): void {
  const node = child(view, cluster.body, "server");
  const path = [...cluster.path, "server"];
  const server = text(node);
  const wrong = server ? wrongAddress(server) : "must be set to the address of the API server";
  if (wrong !== undefined) findings.problems.push(problem(view, node ?? cluster.item, path, wrong));
  const insecure = child(view, cluster.body, "insecure-skip-tls-verify");
  if (insecure !== undefined && isScalar(insecure) && insecure.value === true) {
    const message = "is true: whoever answers in place of the API server gets our credentials";
    findings.warnings.push(problem(view, insecure, [...cluster.path, "insecure-skip-tls-verify"], message));
  }
  checkFile(view, cluster, "certificate-authority", "certificate-authority-data", findings);
}

function wrongAddress(server: string): string | undefined {
  const url = URL.parse(server);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return `must be an https address, but is ${quote(server)}`;
  }
  if (url.protocol === "https:" || isLoopbackHost(url.hostname)) return undefined;
  return `must be an https address (http only for 127.0.0.0/8, [::1] and localhost), but is ${quote(server)}`;
}

/** Reports a file that the kubeconfig names and that cannot be read, unless its content stands in the kubeconfig itself. */
function checkFile(
  view: View,
  { body, path }: Named,
  key: string,
  inline: string | undefined,
  findings: Findings,
): void {
  const node = child(view, body, key);
  const name = text(node);
  if (node === undefined || !name || (inline !== undefined && text(child(view, body, inline)))) return;
  try {
    accessSync(resolve(view.folder, name), constants.R_OK);
  } catch (error) {
    const message = `is ${quote(name)}, which cannot be read: ${readFailure(error)}`;
    findings.problems.push(problem(view, node, [...path, key], message));
  }
}

function named(view: View, list: keyof typeof SINGULAR): Named[] {
  const items = child(view, view.source.root, list);
  if (!isSeq(items)) return [];
  return items.items.flatMap((each, index) => {
    const item = view.source.resolve(each);
    if (!isMap(item)) return [];
    const name = text(child(view, item, "name"));
    if (!name) return [];
    return [{ name, item, body: child(view, item, SINGULAR[list]), path: [list, index, SINGULAR[list]] }];
  });
}

function child(view: View, node: Node | undefined, key: string): Node | undefined {
  if (!isMap(node)) return undefined;
  const pair = node.items.find((candidate) => isScalar(candidate.key) && candidate.key.value === key);
  const value = view.source.resolve(pair?.value);
  return isMap(value) || isSeq(value) || isScalar(value) ? value : undefined;
}

function text(node: Node | undefined): string | undefined {
  return isScalar(node) && node.value !== null ? String(node.value) : undefined;
}

function problem({ source }: View, node: Node, path: FieldPath, message: string): Problem {
  const position = source.positionOf(node);
  return { file: source.file, line: position?.line, column: position?.column, field: formatPath(path), message };
}
