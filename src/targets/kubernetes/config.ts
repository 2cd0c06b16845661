import { readFileSync } from "node:fs";
import { delimiter, relative, resolve } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Config } from "../../../gen/restart/config/v1/config_pb.ts";
import {
  type KubernetesCluster,
  type KubernetesClusterSchema,
  KubernetesSchema,
} from "../../../gen/restart/config/v1/kubernetes_pb.ts";
import { authenticatorsOf } from "../../core/authenticators.ts";
import { type FieldPath, formatProblem } from "../../core/problem.ts";
import type { SectionReader } from "../../core/section-reader.ts";
import { quote } from "../../core/show-value.ts";
import { uniqueKeys } from "../../core/unique-keys.ts";
import type { ClusterSource } from "./cluster/credentials.ts";
import { kubeconfigPaths, readKubeconfig } from "./cluster/kubeconfig-file.ts";
import { checkContext } from "./cluster/material.ts";
import { type Impersonation, readImpersonation } from "./impersonate.ts";

/** One cluster that requests can choose. */
export interface ClusterSettings {
  /** What requests call it; unique. */
  readonly name: string;
  /** Where its address and our credentials are: an absolute path and a context that is in the file. */
  readonly source: ClusterSource;
  /** Who callers are to it. Default: nobody, and restartd's own account makes every request. */
  readonly impersonation?: Impersonation | undefined;
}

/** What the section `kubernetes` says. */
export interface KubernetesSettings {
  /** `fieldManager` of every write. */
  readonly fieldManager: string;
  /** The clusters, in the configuration's order. */
  readonly clusters: readonly ClusterSettings[];
}

/** Where a pod finds its cluster; without them there is no cluster around us. */
const IN_CLUSTER_VARIABLES = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"];

/**
 * Reads the section `kubernetes`: kubeconfig files have to be there, to have the context, and to say where its API server is.
 *
 * @param sections of which `kubernetes` may be missing: there are no clusters then.
 * @param environment the process's variables.
 */
export function readKubernetes(
  { kubernetes: section, authentication }: Pick<Config, "kubernetes" | "authentication">,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): KubernetesSettings {
  const { fieldManager, clusters } = section ?? create(KubernetesSchema);
  const authenticators = authenticatorsOf(authentication);
  const refuseRepeated = uniqueKeys("name", reader);
  return {
    fieldManager,
    clusters: clusters.flatMap((cluster, index) => {
      const path = ["kubernetes", "clusters", index];
      refuseRepeated(cluster.name, path);
      const at = [...path, "impersonation"];
      const impersonation = readImpersonation(cluster.impersonation, at, reader, authenticators);
      const source = readSource(cluster, path, reader, environment);
      return source === undefined ? [] : [{ name: cluster.name, source, impersonation }];
    }),
  };
}

function readSource(
  { source, context, impersonation }: KubernetesCluster,
  path: FieldPath,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>>,
): ClusterSource | undefined {
  switch (source.case) {
    case "kubeconfig": {
      const paths = kubeconfigPaths(source.value, reader.resolve);
      const impersonates = Object.keys(impersonation).length > 0;
      const chosen = readContext(paths, context, impersonates, path, reader, environment);
      return chosen === undefined ? undefined : { kubeconfig: paths.join(delimiter), context: chosen };
    }
    case "inCluster": {
      const missing = IN_CLUSTER_VARIABLES.filter((name) => !environment[name]);
      if (missing.length === 0) return { inCluster: true };
      reader.problem(
        [...path, "in_cluster"],
        `is true, but this is no pod of a cluster: ${missing.join(" and ")} not set`,
      );
      return undefined;
    }
    default:
      return undefined; // the schema wants a source, and has reported this
  }
}

/** The context to use of kubeconfig files, after a look at what it is made of. */
function readContext(
  paths: readonly string[],
  wanted: string,
  impersonates: boolean,
  path: FieldPath,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const kubeconfig = readKubeconfig(paths, readFileSync, shownPath);
  if (!("contexts" in kubeconfig)) {
    for (const problem of kubeconfig) {
      if (problem.line !== undefined) reader.problemElsewhere(problem);
      else reader.problem([...path, "kubeconfig"], `${problem.file} ${problem.message}`);
    }
    return undefined;
  }
  kubeconfig.warnings.forEach(reader.warningElsewhere);
  const { contexts, currentContext } = kubeconfig;
  const shown = paths.map(shownPath).join(delimiter);
  const context = wanted === "" ? currentContext : wanted;
  const known = `it has ${contexts.map(quote).join(", ")}`;
  if (context === undefined) {
    reader.problem(path, `must choose a context, because ${shown} has no current-context; ${known}`);
    return undefined;
  }
  if (!contexts.includes(context)) {
    const which = wanted === "" ? `the current-context of ${shown}` : "the context";
    reader.problem(
      [...path, wanted === "" ? "kubeconfig" : "context"],
      `${which} is ${quote(context)}, but ${shown} has no context of that name; ${known}`,
    );
    return undefined;
  }
  const { problems, warnings, actsAs } = checkContext(kubeconfig, context, readFileSync, environment);
  if (impersonates && actsAs) {
    const message = `cannot stand beside context ${quote(context)} of ${shown}, whose user acts as somebody else itself (as)`;
    reader.problem([...path, "impersonation"], message);
  }
  problems.forEach(reader.problemElsewhere);
  warnings.forEach(reader.warningElsewhere);
  return context;
}

/**
 * The section that `--kubeconfig FILE` stands for: every context of the file, or of several as in $KUBECONFIG, is a cluster, named after
 * it. A context that cannot be used is left out with a warning, because such files are shared with other programs; it is a mistake when
 * none is left.
 */
export function kubernetesOfKubeconfig(
  list: string,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): MessageInitShape<typeof KubernetesSchema> {
  const paths = kubeconfigPaths(list, (path) => resolve(path));
  const kubeconfig = readKubeconfig(paths, readFileSync, shownPath);
  if (!("contexts" in kubeconfig)) {
    kubeconfig.forEach(reader.problemElsewhere);
    return {};
  }
  const clusters: MessageInitShape<typeof KubernetesClusterSchema>[] = [];
  const leftOut: string[] = [];
  for (const context of kubeconfig.contexts) {
    const wrong = /^[!-~]{1,253}$/.test(context)
      ? checkContext(kubeconfig, context, readFileSync, environment).problems.map(formatProblem)
      : ["a cluster's name is 1 to 253 printable ASCII characters without spaces"];
    const value = paths.join(delimiter);
    if (wrong.length === 0) clusters.push({ name: context, source: { case: "kubeconfig", value }, context });
    else leftOut.push(`context ${quote(context)} is left out: ${wrong.join("; ")}`);
  }
  const report = clusters.length === 0 ? reader.problemElsewhere : reader.warningElsewhere;
  for (const message of leftOut) report({ file: list, line: undefined, column: undefined, field: "", message });
  return { clusters };
}

/** A path as short as it can be told to somebody who stands in the working directory. */
function shownPath(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith("..") ? path : short;
}
