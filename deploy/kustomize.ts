import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseAllDocuments, stringify } from "yaml";

/*
 * Renders deploy/kustomize/ from the chart, for who has no Helm: `npm run kustomize`. base/ has what is the same for all; each overlay
 * is complete. A test renders it again and compares.
 */

const CHART = join(import.meta.dirname, "chart/restartd");

/** What each overlay sets. */
const OVERLAYS = {
  "port-forward": {
    access: "port-forward",
    config: { kubernetes: { clusters: [{ name: "here", in_cluster: true }] } },
  },
  sqlite: { ...service(), store: { kind: "sqlite" } },
  postgres: {
    ...service(),
    store: { kind: "postgres", postgres: { urlSecret: { name: "restartd-db" } } },
    replicas: 2,
  },
} as const;

/** An API for the whole cluster, whose callers have tokens. */
function service() {
  return {
    access: "service",
    secrets: [{ name: "restartd-tls" }, { name: "restartd-access" }],
    config: {
      tls: {
        certificate: "/run/secrets/restartd/restartd-tls/tls.crt",
        key: { file: "/run/secrets/restartd/restartd-tls/tls.key" },
      },
      hosts: ["restartd.restartd.svc"],
      authentication: { tokens: { file: "/run/secrets/restartd/restartd-access/tokens.yaml" } },
      authorization: { file: "/run/secrets/restartd/restartd-access/policy.yaml" },
      kubernetes: { clusters: [{ name: "here", in_cluster: true }] },
    },
  } as const;
}

/** Objects that are the same in every overlay. */
const SHARED = new Set(["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]);

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string; readonly labels?: Record<string, string> };
}

/**
 * Renders all of it.
 *
 * @param helm the program.
 * @returns text by path, relative to deploy/kustomize.
 */
export function renderKustomize(helm: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const [name, values] of Object.entries(OVERLAYS)) {
    const manifests = render(helm, { image: { repository: "registry.example.com/restartd" }, ...values });
    const shared = manifests.filter(({ kind }) => SHARED.has(kind));
    const own = manifests.filter(({ kind }) => !SHARED.has(kind));
    files.set("base/restartd.yaml", text(shared));
    files.set(`overlays/${name}/restartd.yaml`, text(own));
    files.set(`overlays/${name}/kustomization.yaml`, kustomization(["../../base", "restartd.yaml"]));
  }
  files.set("base/kustomization.yaml", kustomization(["restartd.yaml"]));
  return files;
}

function render(helm: string, values: object): Manifest[] {
  const args = ["template", "restartd", CHART, "--namespace", "restartd", "--kube-version", "1.36.0", "--values", "-"];
  const rendered = execFileSync(helm, args, { encoding: "utf8", input: stringify(values) });
  const manifests = parseAllDocuments(rendered).flatMap((document): Manifest[] => document.toJS() ?? []);
  for (const { metadata, ...manifest } of manifests) {
    for (const labels of [metadata.labels, podLabels(manifest)]) {
      if (labels === undefined) continue;
      delete labels["helm.sh/chart"];
      delete labels["app.kubernetes.io/managed-by"];
    }
  }
  return manifests;
}

const podLabels = (manifest: object): Record<string, string> | undefined =>
  (manifest as { spec?: { template?: { metadata?: { labels?: Record<string, string> } } } }).spec?.template?.metadata
    ?.labels;

const text = (manifests: readonly Manifest[]): string =>
  `# Rendered from the chart by npm run kustomize.\n${manifests.map((one) => stringify(one, { lineWidth: 0 })).join("---\n")}`;

const kustomization = (resources: readonly string[]): string =>
  stringify({ apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", namespace: "restartd", resources });

if (import.meta.main) {
  const helm = process.argv[2] ?? "helm";
  const folder = resolve(import.meta.dirname, "kustomize");
  rmSync(folder, { recursive: true, force: true });
  for (const [path, content] of renderKustomize(helm)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}
