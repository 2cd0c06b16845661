import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { renderKustomize } from "../../deploy/kustomize.ts";
import { need } from "../e2e/tools.ts";
import { ROOT } from "../support/command.ts";

const helm = need("helm");
const CHART = join(ROOT, "deploy/chart/restartd");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

// biome-ignore lint/suspicious/noExplicitAny: manifests of many kinds
type Manifest = any;

const IMAGE = { image: { repository: "registry.example.com/restartd" } };
const AUTHENTICATED = { config: { authentication: { tokens: { file: "t" } }, tls: { terminated_by_proxy: true } } };

function run(values: object, ...args: string[]) {
  const all = ["template", "rd", CHART, "--namespace", "ops", "--kube-version", "1.36.0", "--values", "-", ...args];
  return spawnSync(helm.path, all, { encoding: "utf8", input: stringify({ ...IMAGE, ...values }) });
}

function render(values: object = {}, ...args: string[]): Manifest[] {
  const { stdout, stderr, status } = run(values, ...args);
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout).flatMap((document): Manifest => document.toJS() ?? []);
}

const of = (manifests: Manifest[], kind: string): Manifest[] => manifests.filter((one) => one.kind === kind);
const configOf = (manifests: Manifest[]): Manifest => parse(of(manifests, "ConfigMap")[0].data["restartd.yaml"]);

describe("deploy/chart files", () => {
  it("has its defaults, rules and dashboard in step with their originals", () => {
    expect(read("deploy/chart/restartd/files/defaults.yaml")).toBe(read("deploy/chart/restartd/values.yaml"));
    expect(read("deploy/chart/restartd/files/rules.yaml")).toBe(read("deploy/prometheus/rules.yaml"));
    expect(read("deploy/chart/restartd/files/dashboard.json")).toBe(read("deploy/grafana/restartd.json"));
  });

  it("has the version of the program", () => {
    const { version } = JSON.parse(read("package.json")) as { version: string };
    expect(parse(read("deploy/chart/restartd/Chart.yaml"))).toMatchObject({ version, appVersion: version });
  });
});

describe.skipIf(helm.missing)("the chart", () => {
  it.each(globSync("deploy/chart/restartd/ci/*.yaml", { cwd: ROOT }))("is linted with %s", (values) => {
    const { stdout, status } = spawnSync(helm.path, ["lint", "--strict", CHART, "--values", join(ROOT, values)], {
      encoding: "utf8",
    });
    expect(stdout).toContain("0 chart(s) failed");
    expect(status).toBe(0);
  });

  it("renders one pod on loopback with its own disk, which nobody outside can call", () => {
    const all = render();
    expect(all.map(({ kind }) => kind).sort()).toEqual([
      "ClusterRole",
      "ClusterRoleBinding",
      "ConfigMap",
      "Deployment",
      "PersistentVolumeClaim",
      "ServiceAccount",
    ]);
    expect(configOf(all)).toEqual({
      listen: "127.0.0.1:8080",
      admin: { listen: "0.0.0.0:8081" },
      store: { sqlite: { path: "/var/lib/restartd/restartd.db" } },
    });
    const { spec } = of(all, "Deployment")[0];
    const [container] = spec.template.spec.containers;
    expect(spec).toMatchObject({ replicas: 1, strategy: { type: "Recreate" } });
    expect(spec.template.spec.automountServiceAccountToken).toBe(false);
    expect(container.name).toBe("restartd");
    expect(container.env).toEqual([{ name: "NODE_OPTIONS", value: "--max-old-space-size=384" }]);
    expect(of(all, "PersistentVolumeClaim")[0].metadata.annotations).toEqual({ "helm.sh/resource-policy": "keep" });
    expect(of(all, "ClusterRole")[0].rules).toEqual([
      {
        apiGroups: ["apps"],
        resources: ["deployments", "statefulsets", "daemonsets"],
        verbs: ["get", "list", "watch", "patch"],
      },
    ]);
    for (const { metadata, kind } of all) if (!kind.startsWith("Cluster")) expect(metadata.namespace).toBe("ops");
  });

  it.each([
    ["1Gi", 768],
    ["1048576Ki", 768],
    ["268435456", 192],
    ["500M", 357],
  ])("leaves Node three quarters of a limit of %s", (memory, heap) => {
    const [{ spec }] = of(render({ resources: { limits: { memory } } }), "Deployment");
    const [{ env }] = spec.template.spec.containers;
    expect(env).toEqual([{ name: "NODE_OPTIONS", value: `--max-old-space-size=${heap}` }]);
  });

  it("mounts the account's token for a cluster that is reached by it alone", () => {
    const config = { kubernetes: { clusters: [{ name: "here", in_cluster: true }] } };
    expect(of(render({ config }), "Deployment")[0].spec.template.spec.automountServiceAccountToken).toBe(true);
  });

  it("runs replicas on PostgreSQL", () => {
    const all = render({ replicas: 3, store: { kind: "postgres", postgres: { urlSecret: { name: "db" } } } });
    expect(of(all, "Deployment")[0].spec.strategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: 0, maxSurge: 1 },
    });
    expect(of(all, "PodDisruptionBudget")[0].spec.maxUnavailable).toBe(1);
    expect(of(all, "PersistentVolumeClaim")).toEqual([]);
    expect(configOf(all).store).toEqual({ postgres: { url: { file: "/run/secrets/restartd-store/url" } } });
  });

  it("is reached by one HTTPRoute without a time limit", () => {
    const all = render({ ...AUTHENTICATED, access: "gateway", gateway: { parentRefs: [{ name: "public" }] } });
    expect(of(all, "HTTPRoute")[0].spec.rules[0].timeouts).toEqual({ request: "0s" });
    expect(of(all, "Service")[0].spec.ports[0].appProtocol).toBe("kubernetes.io/h2c");
    expect(configOf(all).listen).toBe("0.0.0.0:8080");
  });

  it.each<[mode: string, values: object, verbs: string[]]>([
    ["patch", {}, ["patch"]],
    ["impersonate", { impersonate: { users: ["ann"] } }, ["get", "list", "watch"]],
    ["none", {}, []],
  ])("grants what rbac.mode %s needs and no more", (mode, values, verbs) => {
    const roles = of(render({ rbac: { mode, kinds: ["deployments"], ...values } }), "ClusterRole");
    expect(
      roles
        .flatMap(({ rules }) => rules.filter(({ apiGroups }: Manifest) => apiGroups[0] === "apps"))
        .flatMap((rule) => rule.verbs),
    ).toEqual(verbs);
    const impersonating = roles.flatMap(({ rules }) =>
      rules.filter((rule: Manifest) => rule.verbs[0] === "impersonate"),
    );
    expect(impersonating).toEqual(
      mode === "impersonate"
        ? [{ apiGroups: [""], resources: ["users"], verbs: ["impersonate"], resourceNames: ["ann"] }]
        : [],
    );
  });

  it("keeps to the namespaces that it is given", () => {
    const all = render({ rbac: { namespaces: ["shop", "blog"] } });
    expect(of(all, "Role").map(({ metadata }) => metadata.namespace)).toEqual(["shop", "blog"]);
    expect(of(all, "ClusterRole")).toEqual([]);
  });

  it.each<[what: string, values: object, sentence: string]>([
    ["no repository", { image: { repository: "" } }, "image.repository must say where the image is"],
    ["two replicas of a file", { replicas: 2 }, "replicas must be 1 with store.kind sqlite"],
    ["a service without authentication", { access: "service" }, "access: service needs an authentication section"],
    [
      "too short a grace period",
      { terminationGracePeriodSeconds: 36 },
      "terminationGracePeriodSeconds must be more than 36",
    ],
    ["a longer drain", { config: { drain: { delay: "5s", limit: "40s" } } }, "must be more than 51"],
    [
      "a longer drain, in Go's words",
      { config: { drain: { delay: "500ms", limit: "1m30s" } } },
      "must be more than 97",
    ],
    ["impersonation of everybody", { rbac: { mode: "impersonate" } }, "rbac.mode impersonate needs names"],
    ["what the chart sets", { config: { listen: "0.0.0.0:1" } }, "config.listen is set by the chart"],
    ["the chart's path", { config: { store: { sqlite: { path: "x" } } } }, "config.store.sqlite.path"],
    ["an unknown key", { replica: 1 }, "additional properties 'replica' not allowed"],
    ["an unknown key within", { pdb: { enable: true } }, "additional properties 'enable' not allowed"],
    [
      "a database without an address",
      { store: { kind: "postgres" } },
      "store.postgres.urlSecret.name must name the Secret",
    ],
  ])("refuses %s", (_, values, sentence) => {
    const { stderr, status } = run(values);
    expect(status).not.toBe(0);
    expect(stderr).toContain(sentence);
  });

  it("renders without any one of its values, and with each set to null", () => {
    const paths = (value: unknown, path: string[] = []): string[][] =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.entries(value).flatMap(([key, inner]) => [[...path, key], ...paths(inner, [...path, key])])
        : [];
    const reference = render();
    for (const path of paths(parse(read("deploy/chart/restartd/values.yaml")))) {
      if (path.join(".") === "image" || path.join(".") === "image.repository") continue;
      expect([path.join("."), render({}, "--set", `${path.join(".")}=null`)]).toEqual([path.join("."), reference]);
    }
  }, 120_000);

  it("is what deploy/kustomize/ was rendered from", () => {
    for (const [path, text] of renderKustomize(helm.path))
      expect([path, read(`deploy/kustomize/${path}`)]).toEqual([path, text]);
  });
});
