import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { createClient } from "../../src/targets/kubernetes/client.ts";
import { openCredentials } from "../../src/targets/kubernetes/cluster/credentials.ts";
import { readKubeconfig } from "../../src/targets/kubernetes/cluster/kubeconfig-file.ts";
import { checkContext } from "../../src/targets/kubernetes/cluster/material.ts";
import { asRequest, testClock } from "../support/cluster-client.ts";
import { temporaryFolder } from "../support/folder.ts";
import type { ControlPlane } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** Says who we are: the API server names us where we may not read. */
const FORBIDDEN = /secrets "none" is forbidden: User "([^"]+)"/;

describe.skipIf(shared === undefined)("kubeconfigs, by the real kubectl and by restartd", () => {
  const cluster = shared as ControlPlane;
  let cleanup = new AsyncDisposableStack();
  afterEach(async () => {
    await cleanup.disposeAsync();
    cleanup = new AsyncDisposableStack();
  });

  /** Whom the API server saw when kubectl called; undefined when kubectl refuses the file. */
  const byKubectl = async (files: readonly string[]): Promise<string | undefined> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const env = { PATH: process.env.PATH, HOME: "/nonexistent", KUBECONFIG: files.join(delimiter) };
    const args = ["-n", "kube-system", "get", "secret", "none", "--request-timeout=20s"];
    execFile(cluster.info.kubectl, args, { env }, (_error, _stdout, stderr) => resolve(stderr)).stdin?.end();
    return whoIn(await promise);
  };
  /** Whom it saw when restartd called; undefined when the check at start refuses the file. The use has to agree with the check. */
  const byRestartd = async (files: readonly string[]): Promise<string | undefined> => {
    const kubeconfig = readKubeconfig(files, readFileSync);
    const usable =
      "contexts" in kubeconfig &&
      checkContext(kubeconfig, kubeconfig.currentContext ?? "", readFileSync, process.env).problems.length === 0;
    const credentials = openCredentials(
      { kubeconfig: files.join(delimiter) },
      { monotonic: () => performance.now(), now: () => new Date(), tell: () => {} },
    );
    await using client = createClient(credentials, "restartd/test", testClock());
    const answer = client.request(asRequest({ path: "/api/v1/namespaces/kube-system/secrets/none" }));
    if (!usable) {
      await expect(answer).rejects.toMatchObject({ sent: false, cause: { name: "CredentialsError" } });
      return undefined;
    }
    const { status, text } = await answer;
    return whoIn(status === 404 ? NOT_FOUND : status === 401 ? UNAUTHORIZED : JSON.parse(text).message);
  };

  const tokenOf = (user: string): string => {
    const credential = cluster.info.users[user];
    if (credential === undefined || !("token" in credential)) throw new Error(`${user} has no token`);
    return credential.token;
  };
  const admin = () => {
    const credential = cluster.info.users.admin;
    if (credential === undefined) throw new Error("no admin");
    return "token" in credential
      ? { token: credential.token }
      : { "client-certificate-data": base64(credential.cert), "client-key-data": base64(credential.key) };
  };
  const trusted = () => ({ server: cluster.url, "certificate-authority-data": base64(cluster.info.ca) });
  const flow = (value: unknown): string => JSON.stringify(value);
  const NAMES = "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n";
  const withUser = (user: string, before = "") =>
    `${before}${NAMES}clusters: [{name: c, cluster: ${flow(trusted())}}]\nusers: [{name: u, user: {${user}}}]\n`;
  const withCluster = (body: string, before = "") =>
    `${before}${NAMES}clusters: [{name: c, cluster: {${body}}}]\nusers: [{name: u, user: {token: ${tokenOf("reader")}}}]\n`;
  const reader = () => `token: ${tokenOf("reader")}`;

  /** What is in a file (or several), and whom the API server has to see; undefined where the file is refused. */
  type Row = readonly [name: string, files: () => string | Uint8Array | readonly string[], who: string | undefined];
  const rows: readonly Row[] = [
    ["a merged as", () => withUser(`<<: *u, ${flow(admin()).slice(1, -1)}`, "x-u: &u {as: limited}\n"), "limited"],
    [
      "a merged as, after its own",
      () => withUser(`as: x, ${flow(admin()).slice(1, -1)}, <<: *u`, "x-u: &u {as: limited}\n"),
      "limited",
    ],
    [
      "a merged as, before its own",
      () => withUser(`<<: *u, as: limited, ${flow(admin()).slice(1, -1)}`, "x-u: &u {as: x}\n"),
      "limited",
    ],
    [
      "merged from a list, the first wins",
      () => withUser(`<<: [*a, *b], ${flow(admin()).slice(1, -1)}`, "x: [&a {as: limited}, &b {as: x}]\n"),
      "limited",
    ],
    [
      "a merged authority",
      () =>
        withCluster(
          `<<: *c, server: "${cluster.url}"`,
          `x: &c {certificate-authority-data: ${base64(cluster.info.ca)}}\n`,
        ),
      "reader",
    ],
    ["a merged server", () => withCluster("<<: *c", `x: &c ${flow(trusted())}\n`), "reader"],
    [
      "keys that stand twice",
      () => withUser(`token: x, ${reader()}`, "kind: Config\nkind: Config\napiVersion: v1\n"),
      "reader",
    ],
    ["trailing ---", () => `${withUser(reader())}---\n`, "reader"],
    ["a second document", () => `${withUser(reader())}---\nusers: []\n`, "reader"],
    ["UTF-16", () => Buffer.from(`\ufeff${withUser(reader())}`, "utf16le"), "reader"],
    [
      "a token before exec",
      () =>
        withUser(
          `${reader()}, exec: {apiVersion: client.authentication.k8s.io/v1, command: not-there, interactiveMode: Never}`,
        ),
      "reader",
    ],
    [
      "an entry that nobody asked for: a cluster that is empty",
      () => withUser(reader()).replace("clusters: [", "clusters: [{name: old, cluster: {}}, "),
      "reader",
    ],
    [
      "an entry that nobody asked for: a token's file that is away",
      () => withUser(reader()).replace("users: [", "users: [{name: away, user: {tokenFile: /not/there}}, "),
      "reader",
    ],
    [
      "an entry that nobody asked for: a context without a cluster",
      () => withUser(reader()).replace("contexts: [", "contexts: [{name: empty, context: {cluster: ''}}, "),
      "reader",
    ],
    [
      "several files",
      () => [
        `current-context: ""\nusers: [{name: u, user: {${reader()}}}]\n`,
        `${NAMES}clusters: [{name: c, cluster: ${flow(trusted())}}]\nusers: [{name: u, user: {token: ${tokenOf("patcher")}}}]\n`,
      ],
      "reader",
    ],
    [
      "a certificate of two lines of base64",
      () =>
        withUser(
          flow(admin())
            .slice(1, -1)
            .replace(/data":"(.{64})/g, 'data":"$1\\n')
            .concat(', "as": "limited"'),
        ),
      "limited",
    ],
  ];
  /** What both refuse. */
  const refused: readonly (readonly [name: string, text: () => string])[] = [
    ["a file of another kind", () => withUser(reader(), "kind: Secret\n")],
    ["a file of another version", () => withUser(reader(), "apiVersion: v2\n")],
    ["a numeric token", () => withUser("token: 12345678901234567890123")],
    ["a token that is a truth value", () => withUser("token: yes")],
    ["a token with a line end", () => withUser(`token: "${tokenOf("reader")}\\n"`)],
    ["a token and a password", () => withUser(`${reader()}, username: a, password: b`)],
    ["both forms of an authority", () => withCluster(`certificate-authority: ca.crt, ${flow(trusted()).slice(1, -1)}`)],
    [
      "an authority that is no PEM",
      () => withCluster(`server: "${cluster.url}", certificate-authority-data: ${base64("none")}`),
    ],
    ["an authority that is no base64", () => withCluster(`server: "${cluster.url}", certificate-authority-data: "-"`)],
    [
      "an authority beside insecure-skip-tls-verify",
      () => withCluster(`${flow(trusted()).slice(1, -1)}, insecure-skip-tls-verify: true`),
    ],
    ["an unknown auth-provider", () => withUser("auth-provider: {name: acme}")],
    ["gcp", () => withUser("auth-provider: {name: gcp}")],
    ["a certificate without a key", () => withUser(`client-certificate-data: ${base64(cluster.info.ca)}`)],
    ["an alias of nothing", () => withUser("token: *none")],
    ["a merge of no map", () => withUser(`<<: 7, ${reader()}`)],
    [
      "a user that stands twice",
      () => withUser(reader()).replace("users: [", `users: [{name: u, user: {${reader()}}}, `),
    ],
    [
      "a plugin that is not there",
      () => withUser("exec: {apiVersion: client.authentication.k8s.io/v1, command: not-there, interactiveMode: Never}"),
    ],
    ["a proxy of another kind", () => withCluster(`${flow(trusted()).slice(1, -1)}, proxy-url: "ftp://127.0.0.1"`)],
    ["a user that is not there", () => withUser(reader()).replace("user: u}", "user: x}")],
  ];
  test.each<Row>([...rows, ...refused.map(([name, text]): Row => [name, text, undefined])])(
    "%s",
    async (_name, text, who) => {
      const folder = cleanup.use(await temporaryFolder());
      await folder.write("ca.crt", cluster.info.ca);
      const contents = text();
      const files = Array.isArray(contents) ? contents : [contents];
      const paths = files.map((_, index) => join(folder.path, `config-${index}`));
      await Promise.all(files.map((content, index) => writeFile(paths[index] ?? "", content)));
      expect({ kubectl: await byKubectl(paths), restartd: await byRestartd(paths) }).toEqual({
        kubectl: who,
        restartd: who,
      });
    },
  );

  // kubectl itself asks its terminal for a name then; client-go without one does this.
  test("a context without a user is anonymous", async () => {
    const folder = cleanup.use(await temporaryFolder());
    const kubeconfig = await folder.write(
      "config",
      `current-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: ${flow(trusted())}}]\n`,
    );
    expect(await byRestartd([kubeconfig])).toBe("system:anonymous");
  });

  test("a plugin is told of the cluster in the same words", async () => {
    const folder = cleanup.use(await temporaryFolder());
    await folder.write("ca.crt", cluster.info.ca);
    const printed = flow({
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      status: { token: tokenOf("reader") },
    });
    await folder.write(
      "plugin",
      `#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >> "${join(folder.path, "told")}"\necho '${printed}'\n`,
    );
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: "./plugin",
      interactiveMode: "Never",
      provideClusterInfo: true,
    };
    const entry = {
      server: cluster.url,
      "certificate-authority": "ca.crt",
      extensions: [{ name: "client.authentication.k8s.io/exec", extension: { audience: "a", list: [1, null, "b"] } }],
    };
    const kubeconfig = await folder.write(
      "config",
      stringify({
        "current-context": "c",
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
        clusters: [{ name: "c", cluster: entry }],
        users: [{ name: "u", user: { exec } }],
      }),
    );
    expect([await byKubectl([kubeconfig]), await byRestartd([kubeconfig])]).toEqual(["reader", "reader"]);
    const told = readFileSync(join(folder.path, "told"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
    expect(told.length).toBeGreaterThanOrEqual(2);
    for (const each of told) expect(each).toEqual(told[0]);
    expect(told[0].spec.cluster).toMatchObject({ config: { audience: "a", list: [1, null, "b"] } });
  });
});

const NOT_FOUND = "not found";
const UNAUTHORIZED = "unauthorized";

/** Whom an API server saw that said this; undefined where none was asked. */
function whoIn(said: string): string | undefined {
  const user = FORBIDDEN.exec(said)?.[1];
  if (user !== undefined) return user;
  if (/not found/.test(said) && /"none"|^not found$/.test(said)) return "somebody who may";
  return /[Uu]nauthorized|must be logged in/.test(said) ? "nobody" : undefined;
}
