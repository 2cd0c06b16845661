import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { need } from "../e2e/tools.ts";
import { ROOT } from "../support/command.ts";
import type { ControlPlane } from "./attach.ts";
import { assets } from "./modules.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();
const helm = need("helm");
const CHART = join(ROOT, "deploy/chart/restartd");
const NAMESPACE = "chart";

/** As the namespace of a careful team: what is not `restricted` is refused, and said. */
const RESTRICTED = {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: {
    name: NAMESPACE,
    labels: {
      "pod-security.kubernetes.io/enforce": "restricted",
      "pod-security.kubernetes.io/warn": "restricted",
    },
  },
};

describe.skipIf(shared === undefined || helm.missing)("the chart on a real API server", () => {
  const cluster = shared as ControlPlane;
  const template = (...args: string[]): string => {
    const all = ["template", "rd", CHART, "--namespace", NAMESPACE, "--kube-version", "1.36.0", ...args];
    const { stdout, stderr, status } = spawnSync(helm.path, all, { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    return stdout;
  };
  const apply = (input: string, ...args: string[]) => cluster.kubectl(["apply", "-f", "-", ...args], { input });

  beforeAll(async () => {
    for (const crd of assets("helm"))
      expect(await cluster.kubectl(["apply", "--server-side", "-f", crd])).toMatchObject({ code: 0 });
    expect(await apply(stringify(RESTRICTED))).toMatchObject({ code: 0 });
    for (const name of ["shop", "blog"]) await cluster.kubectl(["create", "namespace", name]);
  });
  afterAll(async () => {
    await cluster.kubectl(["delete", "namespace", NAMESPACE, "--wait=false"]);
    await cluster.kubectl(["delete", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/instance=rd"]);
  });

  it.each(globSync("deploy/chart/restartd/ci/*.yaml", { cwd: ROOT }))(
    "is accepted with %s under restricted pod security",
    async (values) => {
      const done = await apply(template("--values", join(ROOT, values)), "--dry-run=server");
      expect(done.stderr).toBe("");
      expect(done.code).toBe(0);
      expect(done.stdout).toMatch(/^deployment\.apps\/rd created \(server dry run\)$/m);
    },
  );

  it.each(["port-forward", "sqlite", "postgres"])("is accepted as kustomize's overlay %s", async (overlay) => {
    const built = await cluster.kubectl(["kustomize", join(ROOT, "deploy/kustomize/overlays", overlay)]);
    expect(built).toMatchObject({ code: 0, stderr: "" });
    const here = built.stdout.replaceAll(/namespace: restartd$/gm, `namespace: ${NAMESPACE}`);
    expect(await apply(here, "--dry-run=server")).toMatchObject({ code: 0, stderr: "" });
  });

  it("starts once with another argument, by the command of backup.md", async () => {
    const page = readFileSync(join(ROOT, "docs/operations/backup.md"), "utf8");
    const command = /```sh\nkubectl (patch [^\n]+)\n```/.exec(page)?.[1] ?? "";
    const args = (command.match(/(?:'[^']*'|[^ '])+/g) ?? []).map((word) => word.replaceAll("'", ""));
    const values = join(ROOT, "deploy/chart/restartd/ci/sqlite-values.yaml");
    const deployment = template("--values", values, "--show-only", "templates/deployment.yaml");
    expect(await apply(deployment)).toMatchObject({ code: 0, stderr: "" });
    const patch = args.map((word) => (word === "restartd" ? "rd" : word));
    const patched = await cluster.kubectl([...patch, "--namespace", NAMESPACE, "--output=json"]);
    expect(patched).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(patched.stdout).spec.template.spec.containers[0].args).toEqual([
      "--config",
      "/etc/restartd/restartd.yaml",
      "--accept-restore",
    ]);
  });

  it("knows a pod that is not restricted: a negative control", async () => {
    const loose = template("--values", join(ROOT, "deploy/chart/restartd/ci/sqlite-values.yaml")).replaceAll(
      "allowPrivilegeEscalation: false",
      "allowPrivilegeEscalation: true",
    );
    expect((await apply(loose, "--dry-run=server")).stderr).toContain("would violate PodSecurity");
  });

  it.each<[mode: string, args: string[], may: string[], mayNot: string[]]>([
    [
      "watch",
      [],
      ["patch deployments.apps", "get deployments.apps", "watch statefulsets.apps"],
      ["update deployments.apps", "get secrets", "delete pods", "impersonate users/ann"],
    ],
    [
      "patch",
      ["--set", "rbac.mode=patch"],
      ["patch deployments.apps"],
      ["get deployments.apps", "update deployments.apps", "get secrets"],
    ],
    [
      "impersonate",
      ["--set", "rbac.mode=impersonate", "--set", "rbac.impersonate.users={ann}"],
      ["impersonate users/ann", "list deployments.apps"],
      ["impersonate users/bob", "patch deployments.apps", "get secrets"],
    ],
    ["none", ["--set", "rbac.mode=none"], [], ["patch deployments.apps", "get deployments.apps"]],
  ])("gives a real service account what rbac.mode %s says", async (_, args, may, mayNot) => {
    await cluster.kubectl(["delete", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/instance=rd"]);
    const rendered = template("--set", "image.repository=r", ...args);
    const rbac = rendered
      .split(/^---$/m)
      .filter((text) => /^kind: (ServiceAccount|ClusterRole|ClusterRoleBinding)$/m.test(text));
    expect(await apply(rbac.join("---"))).toMatchObject({ code: 0 });
    const can = async (what: string) => {
      const as = `system:serviceaccount:${NAMESPACE}:rd`;
      const { stdout } = await cluster.kubectl(["auth", "can-i", ...what.split(" "), "--as", as, "-n", "shop"]);
      return stdout.trim();
    };
    for (const what of may) expect([what, await can(what)]).toEqual([what, "yes"]);
    for (const what of mayNot) expect([what, await can(what)]).toEqual([what, "no"]);
  });
});
