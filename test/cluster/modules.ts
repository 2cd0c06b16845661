import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** A program that tests run, built from source by build.ts. */
export type BinaryName =
  | "connectconformance"
  | "etcd"
  | "grpcurl"
  | "helm"
  | "kube-apiserver"
  | "kube-controller-manager"
  | "kube-scheduler"
  | "kubectl"
  | "kwok"
  | "rollouts-controller";

/** One small Go module under `go/`. Each pins its own dependencies: one module for all makes Go upgrade Kubernetes' own. */
export interface GoModule {
  /** Folder under `go/`. */
  readonly name: string;
  /** What is built: the Go package of each program. */
  readonly programs: Partial<Record<BinaryName, string>>;
  /** Passed to the linker. */
  readonly ldflags: string;
  /** Files copied out of a dependency at build time, so that running the programs needs no Go. */
  readonly assets?: {
    /** The dependency that holds them. */
    readonly module: string;
    /** Path in the built folder -> path in that dependency. */
    readonly files: Readonly<Record<string, string>>;
  };
}

const stripped = "-s -w";

/** Every module, quickest first. */
export const goModules: readonly GoModule[] = [
  {
    name: "grpcurl",
    programs: { grpcurl: "github.com/fullstorydev/grpcurl/cmd/grpcurl" },
    ldflags: stripped,
  },
  {
    name: "conformance",
    programs: { connectconformance: "connectrpc.com/conformance/cmd/connectconformance" },
    ldflags: stripped,
    assets: {
      module: "connectrpc.com/conformance",
      files: Object.fromEntries(
        ["client_compat", "config", "server_compat", "service", "suite"].map((name) => [
          `proto/connectrpc/conformance/v1/${name}.proto`,
          `proto/connectrpc/conformance/v1/${name}.proto`,
        ]),
      ),
    },
  },
  {
    name: "etcd",
    programs: { etcd: "go.etcd.io/etcd/server/v3" },
    ldflags: stripped,
  },
  {
    name: "kwok",
    programs: { kwok: "sigs.k8s.io/kwok/cmd/kwok" },
    ldflags: stripped,
    assets: {
      module: "sigs.k8s.io/kwok",
      files: {
        "stages/node-initialize.yaml": "kustomize/stage/node/fast/node-initialize.yaml",
        "stages/pod-ready.yaml": "kustomize/stage/pod/fast/pod-ready.yaml",
        "stages/pod-complete.yaml": "kustomize/stage/pod/fast/pod-complete.yaml",
        "stages/pod-delete.yaml": "kustomize/stage/pod/fast/pod-delete.yaml",
      },
    },
  },
  {
    name: "kubernetes",
    programs: {
      "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
      "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
      "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
      kubectl: "k8s.io/kubernetes/cmd/kubectl",
    },
    // Without -X the server calls itself `v0.0.0-master+$Format:%H$`.
    ldflags: `${stripped} -X k8s.io/component-base/version.gitVersion=v1.36.3`,
  },
  {
    name: "argo",
    programs: { "rollouts-controller": "github.com/argoproj/argo-rollouts/cmd/rollouts-controller" },
    ldflags: stripped,
    assets: {
      module: "github.com/argoproj/argo-rollouts",
      // Named after the CustomResourceDefinition each holds.
      files: {
        "crds/analysisruns.argoproj.io.yaml": "manifests/crds/analysis-run-crd.yaml",
        "crds/analysistemplates.argoproj.io.yaml": "manifests/crds/analysis-template-crd.yaml",
        "crds/clusteranalysistemplates.argoproj.io.yaml": "manifests/crds/cluster-analysis-template-crd.yaml",
        "crds/experiments.argoproj.io.yaml": "manifests/crds/experiment-crd.yaml",
        "crds/rollouts.argoproj.io.yaml": "manifests/crds/rollout-crd.yaml",
      },
    },
  },
  {
    name: "helm",
    programs: { helm: "helm.sh/helm/v4/cmd/helm" },
    ldflags: stripped,
    assets: {
      module: "sigs.k8s.io/gateway-api",
      files: {
        "crds/httproutes.gateway.networking.k8s.io.yaml":
          "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
      },
    },
  },
];

/** Where the go.mod of a module is. */
export function sourceFolder(module: GoModule): string {
  return join(import.meta.dirname, "go", module.name);
}

/** GOOS and GOARCH of this machine, known without Go. */
export function goTarget(): { readonly os: string; readonly arch: string } {
  return { os: process.platform, arch: process.arch === "x64" ? "amd64" : process.arch };
}

/** The folder of everything built: `$XDG_CACHE_HOME/restartd`, by default `~/.cache/restartd`. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "restartd");
}

/** Where a module's programs and files are once built: its name and a key of all that goes into them. */
export function builtFolder(module: GoModule): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([module, goTarget()]));
  for (const file of ["go.mod", "go.sum"]) {
    hash.update(`\0${file}\0`).update(readFileSync(join(sourceFolder(module), file)));
  }
  return join(cacheFolder(), `${module.name}-${hash.digest("hex").slice(0, 16)}`);
}

/** Whether a module is built. Its folder appears whole or not at all (see build.ts). */
export function isBuilt(module: GoModule): boolean {
  return existsSync(builtFolder(module));
}

/** Names of those modules (of `names`; default all) that have to be built first: `node test/cluster/build.ts`. */
export function missingModules(names: readonly string[] = goModules.map((module) => module.name)): string[] {
  return goModules.filter((module) => names.includes(module.name) && !isBuilt(module)).map((module) => module.name);
}

/** Path of one program, or undefined when its module is not built. */
export function binary(name: BinaryName): string | undefined {
  return builtFile(goModules.find((module) => name in module.programs)?.name, name);
}

/** Paths of a module's assets, in the order of its table; empty when it has none or is not built. */
export function assets(moduleName: string): string[] {
  const names = Object.keys(goModules.find((module) => module.name === moduleName)?.assets?.files ?? {});
  return names.map((name) => builtFile(moduleName, name)).filter((path) => path !== undefined);
}

/** Folder of the conformance suite's own protos. */
export function conformanceProtos(): string {
  const folder = builtFile("conformance", "proto");
  if (folder === undefined) throw new Error("the conformance suite is not built: node test/e2e/setup.ts");
  return folder;
}

/** The modules a control plane needs. */
export const controlPlaneModules: readonly string[] = ["etcd", "kwok", "kubernetes", "argo"];

function builtFile(moduleName: string | undefined, file: string): string | undefined {
  const module = goModules.find((candidate) => candidate.name === moduleName);
  return module && isBuilt(module) ? join(builtFolder(module), file) : undefined;
}
