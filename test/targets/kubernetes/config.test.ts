import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createRegistry } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config as Sections } from "../../../gen/restart/config/v1/config_pb.ts";
import { file_restart_config_v1_config } from "../../../gen/restart/config/v1/config_pb.ts";
import { type Config, type ConfigOptions, loadConfig, makeConfig } from "../../../src/config.ts";
import { ConfigError, formatProblem } from "../../../src/core/problem.ts";
import { withDependencies } from "../../../src/core/schema.ts";
import type { SectionReader } from "../../../src/core/section-reader.ts";
import {
  type KubernetesSettings,
  kubernetesOfKubeconfig,
  readKubernetes,
} from "../../../src/targets/kubernetes/config.ts";

const validator = createValidator({ registry: createRegistry(...withDependencies([file_restart_config_v1_config])) });
const IN_A_POD = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };

const KUBECONFIG = `
current-context: admin@prod
contexts:
  - { name: admin@prod, context: { cluster: prod, user: admin } }
  - { name: dev, context: { cluster: dev, user: files } }
clusters:
  - { name: prod, cluster: { server: "https://10.0.0.1:6443" } }
  - { name: dev, cluster: { server: "http://127.0.0.1:8001" } }
users:
  - { name: admin, user: { token: hunter2 } }
  - { name: files, user: { tokenFile: creds/token } }
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-kubernetes-config-"));
  write("creds/token", "hunter2");
  write("prod.kubeconfig", KUBECONFIG);
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("readKubernetes()", () => {
  it("finds kubeconfig files beside the configuration, and settles the context", () => {
    const file = join(folder, "prod.kubeconfig");
    const { targets } = load(`
      field_manager: me
      clusters:
        - { name: prod, kubeconfig: prod.kubeconfig }
        - { name: dev, kubeconfig: ${file}, context: dev }
        - { name: here, in_cluster: true }`);
    expect(targets).toEqual({
      fieldManager: "me",
      clusters: [
        { name: "prod", source: { kubeconfig: file, context: "admin@prod" } },
        { name: "dev", source: { kubeconfig: file, context: "dev" } },
        { name: "here", source: { inCluster: true } },
      ],
    });
  });

  it("has a default field manager", () => {
    expect(load("clusters: [{ name: here, in_cluster: true }]").targets.fieldManager).toBe("restartd");
  });

  it("reports every mistake of every cluster at once, those inside kubeconfig files where they stand", () => {
    write("broken.kubeconfig", "contexts: [\n");
    write("other.yaml", "listen: 127.0.0.1:1\n");
    write("choose.kubeconfig", "contexts: [{ name: a, context: {} }, { name: b, context: {} }]\n");
    write("gone.kubeconfig", "current-context: b\ncontexts: [{ name: a, context: {} }]\n");
    write(
      "wrong.kubeconfig",
      [
        "contexts:",
        "- { name: none, context: {} }",
        "- { name: lost, context: { cluster: a, user: a } }",
        "- { name: plain, context: { cluster: plain, user: u } }",
        "- { name: odd, context: { cluster: odd, user: u } }",
        "clusters:",
        "- { name: plain, cluster: { server: 'http://u:hunter2@10.0.0.1', certificate-authority: ca.pem } }",
        "- name: odd",
        "  cluster: { certificate-authority: ca.pem, certificate-authority-data: aaaa }",
        "users:",
        "- name: u",
        "  user: { tokenFile: t, client-certificate: c, client-key: k }",
      ].join("\n"),
    );
    expect(
      mistakes(`
  clusters:
    - { name: a, kubeconfig: no.kubeconfig }
    - { name: a, kubeconfig: broken.kubeconfig }
    - { name: c, kubeconfig: other.yaml }
    - { name: d, kubeconfig: choose.kubeconfig }
    - { name: e, kubeconfig: gone.kubeconfig }
    - { name: f, kubeconfig: prod.kubeconfig, context: prod }
    - { name: g, kubeconfig: wrong.kubeconfig, context: none }
    - { name: h, kubeconfig: wrong.kubeconfig, context: lost }
    - { name: i, kubeconfig: wrong.kubeconfig, context: plain }
    - { name: j, kubeconfig: wrong.kubeconfig, context: odd }
    - { name: k, kubeconfig: creds }
    - { name: l, in_cluster: true }`),
    ).toEqual([
      "restartd.yaml:3:30: kubernetes.clusters[0].kubeconfig: no.kubeconfig cannot be read: no such file or directory",
      `restartd.yaml:4:15: kubernetes.clusters[1].name: must be unique, but is "a", the name of kubernetes.clusters[0] (line 3)`,
      "restartd.yaml:5:30: kubernetes.clusters[2].kubeconfig: other.yaml is not a kubeconfig: it has no contexts",
      `restartd.yaml:6:7: kubernetes.clusters[3]: must choose a context, because choose.kubeconfig has no current-context; it has "a", "b"`,
      `restartd.yaml:7:30: kubernetes.clusters[4].kubeconfig: the current-context of gone.kubeconfig is "b", but gone.kubeconfig has no context of that name; it has "a"`,
      `restartd.yaml:8:56: kubernetes.clusters[5].context: the context is "prod", but prod.kubeconfig has no context of that name; it has "admin@prod", "dev"`,
      "restartd.yaml:13:30: kubernetes.clusters[10].kubeconfig: creds cannot be read: illegal operation on a directory",
      "restartd.yaml:14:30: kubernetes.clusters[11].in_cluster: is true, but this is no pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT not set",
      "broken.kubeconfig:2:1: is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
      `wrong.kubeconfig:2:3: contexts[0].context.cluster: must be set: context "none" names no cluster`,
      `wrong.kubeconfig:3:37: contexts[1].context.cluster: is "a", but no cluster has that name; there is "plain", "odd"`,
      `wrong.kubeconfig:3:46: contexts[1].context.user: is "a", but no user has that name; there is "u"`,
      `wrong.kubeconfig:7:37: clusters[0].cluster.server: must be an https address (http only for 127.0.0.0/8, [::1] and localhost), but is "http://***@10.0.0.1"`,
      `wrong.kubeconfig:7:89: clusters[0].cluster.certificate-authority: is "ca.pem", which cannot be read: no such file or directory`,
      "wrong.kubeconfig:9:12: clusters[1].cluster.server: must be set to the address of the API server",
      "wrong.kubeconfig:9:73: clusters[1].cluster.certificate-authority-data: is said beside certificate-authority: leave out one of them",
      `wrong.kubeconfig:12:22: users[0].user.tokenFile: is "t", which cannot be read: no such file or directory`,
      `wrong.kubeconfig:12:45: users[0].user.client-certificate: is "c", which cannot be read: no such file or directory`,
      `wrong.kubeconfig:12:60: users[0].user.client-key: is "k", which cannot be read: no such file or directory`,
    ]);
  });

  it("says nothing more of a field that breaks a rule of the schema", () => {
    expect(mistakes('clusters: [{ name: a, kubeconfig: "" }]')).toEqual([
      'restartd.yaml:1:49: kubernetes.clusters[0].kubeconfig: must be the path of a kubeconfig file, but is ""',
    ]);
  });

  it.each(["10.0.0.1:6443", "ftp://10.0.0.1", "nonsense"])("refuses the address %s", (server) => {
    write("prod.kubeconfig", KUBECONFIG.replace("https://10.0.0.1:6443", server));
    expect(mistakes("clusters: [{ name: a, kubeconfig: prod.kubeconfig }]")).toEqual([
      `prod.kubeconfig:7:38: clusters[0].cluster.server: must be an https address, but is "${server}"`,
    ]);
  });

  it("warns once of a server whose certificate is not checked", () => {
    write("prod.kubeconfig", KUBECONFIG.replace('6443"', '6443", insecure-skip-tls-verify: true'));
    const { warnings } = load(
      "clusters: [{ name: a, kubeconfig: prod.kubeconfig }, { name: b, kubeconfig: prod.kubeconfig }]",
    );
    expect(warnings.map(formatProblem).map(local)).toEqual([
      "prod.kubeconfig:7:89: clusters[0].cluster.insecure-skip-tls-verify: is true: whoever answers in place of the API server gets our credentials",
    ]);
  });
});

describe("kubernetesOfKubeconfig()", () => {
  it("makes a cluster of every context, named after it", () => {
    const file = join(folder, "prod.kubeconfig");
    const { targets, warnings } = make("prod.kubeconfig");
    expect(targets).toEqual({
      fieldManager: "restartd",
      clusters: [
        { name: "admin@prod", source: { kubeconfig: file, context: "admin@prod" } },
        { name: "dev", source: { kubeconfig: file, context: "dev" } },
      ],
    });
    expect(warnings).toEqual([]);
  });

  it("leaves out with a warning what cannot be used", () => {
    rmSync(join(folder, "creds"), { recursive: true });
    write(
      "prod.kubeconfig",
      KUBECONFIG.replace("contexts:", "contexts:\n  - { name: my cluster, context: { cluster: prod, user: admin } }"),
    );
    const { targets, warnings } = make("prod.kubeconfig");
    expect(targets.clusters.map(({ name }) => name)).toEqual(["admin@prod"]);
    expect(warnings.map(formatProblem).map(local)).toEqual([
      `prod.kubeconfig: context "my cluster" is left out: a cluster's name is 1 to 253 printable ASCII characters without spaces`,
      `prod.kubeconfig: context "dev" is left out: prod.kubeconfig:12:39: users[1].user.tokenFile: is "creds/token", which cannot be read: no such file or directory`,
    ]);
  });

  it("refuses a file of which nothing can be used, one that is no kubeconfig, and one that is not there", () => {
    write("a", "contexts: [{ name: a, context: { cluster: c, user: u } }]");
    write("b", "{}");
    expect(() => make("a")).toThrow('context "a" is left out: ');
    expect(() => make("b")).toThrow("b: is not a kubeconfig: it has no contexts");
    expect(() => make("c")).toThrow("c: cannot be read: no such file or directory");
  });
});

const options: ConfigOptions<KubernetesSettings> = {
  validator,
  readSections: (sections: Sections, reader: SectionReader) => readKubernetes(sections, reader, IN_A_POD),
};

function load(section: string, more: Partial<typeof options> = {}): Config<KubernetesSettings> {
  return loadConfig(write("restartd.yaml", `kubernetes: ${section.includes("\n") ? section : `{ ${section} }`}`), {
    ...options,
    ...more,
  });
}

function make(file: string): Config<KubernetesSettings> {
  return makeConfig((reader) => ({ kubernetes: kubernetesOfKubeconfig(join(folder, file), reader) }), options);
}

/** What a section makes of a process outside of any cluster: its mistakes, the folder left out. */
function mistakes(section: string): string[] {
  const outside: typeof options.readSections = (sections, reader) => readKubernetes(sections, reader, {});
  try {
    load(section, { readSections: outside });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem).map(local);
  }
  throw new Error("no mistake was found");
}

function local(text: string): string {
  return text.replaceAll(`${folder}/`, "");
}

function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}
