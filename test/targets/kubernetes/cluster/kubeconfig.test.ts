import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { formatProblem, type Problem } from "../../../../src/core/problem.ts";
import { readEntry } from "../../../../src/targets/kubernetes/cluster/kubeconfig-entry.ts";
import { kubeconfigPaths, readKubeconfig } from "../../../../src/targets/kubernetes/cluster/kubeconfig-file.ts";
import { checkContext } from "../../../../src/targets/kubernetes/cluster/material.ts";
import { createAuthority } from "../../../cluster/certificates.ts";

const authority = createAuthority("kubeconfig test");
const [alice, bob] = [
  authority.issue({ commonName: "alice", usage: "client" }),
  authority.issue({ commonName: "bob", usage: "client" }),
];
const base64 = (text: string) => Buffer.from(text).toString("base64");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-kubeconfig-"));
  write("ca.crt", authority.cert);
  write("alice.crt", alice.cert);
  write("alice.key", alice.key);
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode });
  return path;
}

const shown = (path: string) => path.replace(`${folder}/`, "");

function read(...paths: string[]) {
  const kubeconfig = readKubeconfig(paths, readFileSync, shown);
  if (!("contexts" in kubeconfig)) throw new Error(kubeconfig.map(formatProblem).join("\n"));
  return kubeconfig;
}

/** A problem without its column. */
const inLine = (problem: Problem): string => formatProblem(problem).replace(/^(config:\d+):\d+/, "$1");

/** What is wrong with a context, and what deserves a warning. */
function judge(text: string, context = "c", environment: Record<string, string> = {}) {
  const kubeconfig = readKubeconfig([write("config", text)], readFileSync, shown);
  if (!("contexts" in kubeconfig)) return { problems: kubeconfig.map(inLine), warnings: [] };
  const { problems, warnings } = checkContext(kubeconfig, context, readFileSync, environment);
  return {
    problems: problems.map(inLine),
    warnings: [...kubeconfig.warnings, ...warnings].map(inLine),
  };
}

/** What is understood of a context without problems. */
function understood(text: string, context = "c") {
  const problems: Problem[] = [];
  const found = read(write("config", text)).find(context, problems);
  const entry = found && readEntry(found, { problems, warnings: [] });
  expect(problems.map(formatProblem)).toEqual([]);
  return entry;
}

const CONTEXT = "contexts: [{name: c, context: {cluster: c, user: u}}]\n";
const CLUSTER = 'clusters: [{name: c, cluster: {server: "https://10.0.0.1"}}]\n';

/** A kubeconfig whose user or cluster has these fields. */
const withUser = (user: string) => `${CONTEXT}${CLUSTER}users:\n- name: u\n  user: {${user}}\n`;
const withCluster = (cluster: string) =>
  `${CONTEXT}users: [{name: u, user: {}}]\nclusters:\n- name: c\n  cluster: {server: "https://10.0.0.1", ${cluster}}\n`;

describe("a kubeconfig is read as kubectl reads it", () => {
  test.each([
    ["a merge key", "x-u: &u {as: limited}\n", "<<: *u, token: T"],
    [
      "a merge key of several, the first before the others",
      "x-u: &u {as: limited}\nx-v: &v {as: x}\n",
      "<<: [*u, *v], token: T",
    ],
    ["a merge key of one that merges", "x-u: &u {as: limited}\nx-v: &v {<<: *u}\n", "<<: *v, token: T"],
    ["a merge key before its own", "x-u: &u {as: x}\n", "<<: *u, as: limited, token: T"],
    // go-yaml takes keys in their order: this is kubectl's own reading.
    ["a merge key after its own", "x-u: &u {as: limited}\n", "as: x, token: T, <<: *u"],
    ["a key that stands twice", "", "as: x, token: x, as: limited, token: T"],
    ["aliases", "x-as: &a limited\nx-t: &t T\n", "as: *a, token: *t"],
    ["a quoted merge key, which is none", "x-u: &u {as: x}\n", '"<<": *u, as: limited, token: T'],
  ])("%s", (_what, before, user) => {
    expect(understood(before + withUser(user))).toMatchObject({
      as: { "Impersonate-User": "limited" },
      proof: { kind: "token", token: "T" },
    });
  });

  test("a user that is an alias, a merged cluster, kind: Config twice", () => {
    const text = [
      "kind: Config",
      "kind: Config",
      "x-c: &c {server: https://10.0.0.9, certificate-authority: ca.crt}",
      "contexts: [{name: c, context: {cluster: c, user: u}}]",
      "clusters: [{name: c, cluster: {<<: *c, tls-server-name: k8s.test}}]",
      "x-u: &u {token: T}",
      "users: [{name: u, user: *u}]",
    ].join("\n");
    expect(understood(text)).toMatchObject({
      server: "https://10.0.0.9",
      serverName: "k8s.test",
      ca: { file: "ca.crt" },
      proof: { token: "T" },
    });
    expect(judge(text).problems).toEqual([]);
  });

  test.each<[string, (text: string) => string | Uint8Array]>([
    ["UTF-16, little end first", (text) => Buffer.from(`\ufeff${text}`, "utf16le")],
    ["UTF-16, big end first", (text) => Buffer.from(`\ufeff${text}`, "utf16le").swap16()],
    ["UTF-8 with a byte order mark", (text) => `\ufeff${text}`],
    ["Windows' line ends", (text) => text.replaceAll("\n", "\r\n")],
    ["documents' marks", (text) => `---\n${text}\n---\n`],
    ["three marks and no more", (text) => `${text}---`],
    ["an end of the document", (text) => `${text}...\n`],
  ])("%s", (_what, encode) => {
    const path = write("config", encode(withUser("token: T")));
    expect(read(path)).toMatchObject({ contexts: ["c"], warnings: [] });
  });

  test("a second document is not read, and told of", () => {
    const { problems, warnings } = judge(`${withUser("token: T")}---\nusers: []\n`);
    expect([problems, warnings]).toEqual([
      [],
      ["config:7: a second document begins here: it is not read, as kubectl does not read it"],
    ]);
  });

  test("JSON", () => {
    const text = JSON.stringify({
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [{ name: "c", cluster: { server: "https://10.0.0.1" } }],
      users: [{ name: "u", user: { token: "T" } }],
    });
    expect(understood(text)?.proof).toEqual({ kind: "token", token: "T" });
  });

  test("dates and numbers of base 60 are text", () => {
    expect(understood(withUser("token: 1:30, as: 2026-11-30"))).toMatchObject({
      proof: { token: "1:30" },
      as: { "Impersonate-User": "2026-11-30" },
    });
  });

  test("a context without a user is anonymous, and so is a user of whom nothing is said", () => {
    const anonymous = { proof: { kind: "none" }, certificate: undefined, as: undefined };
    for (const context of ["cluster: c", "cluster: c, user: null", 'cluster: c, user: ""']) {
      expect(understood(`contexts: [{name: c, context: {${context}}}]\n${CLUSTER}`)).toMatchObject(anonymous);
    }
    expect(understood(`${CONTEXT}${CLUSTER}users: [{name: u}]`)).toMatchObject(anonymous);
  });
});

describe("of several proofs, client-go's", () => {
  test.each<[string, string, object]>([
    ["a token before exec", "token: T, exec: {command: not-there}", { kind: "token", token: "T" }],
    ["a token's file before exec", "tokenFile: t, exec: {command: not-there}", { kind: "token file", file: "t" }],
    ["a password before exec", "username: a, password: b, exec: {command: not-there}", { kind: "password" }],
    [
      "a certificate before exec",
      "client-certificate: alice.crt, client-key: alice.key, exec: {command: not-there}",
      { kind: "none" },
    ],
    ["a token before a provider", "token: T, auth-provider: {name: oidc}", { kind: "token" }],
  ])("%s", (_what, user, proof) => {
    expect(understood(withUser(user))?.proof).toMatchObject(proof);
  });
});

describe("what a context needs is judged at start, with its line and field", () => {
  const PLUGIN = "exec: {command: sh";
  const rows: Record<string, [text: string, ...problems: string[]]> = {
    "a token that is a number": [
      withUser("token: 12345678901234567890123"),
      "config:5: users[0].user.token: must be text: put it in quotes (what it is instead is not shown)",
    ],
    "a token that YAML 1.1 takes for a truth value": [
      withUser("token: yes"),
      "config:5: users[0].user.token: must be text: put it in quotes (what it is instead is not shown)",
    ],
    "a token that is a list": [
      withUser("token: [hunter2]"),
      "config:5: users[0].user.token: must be text: put it in quotes (what it is instead is not shown)",
    ],
    "a token with a line end": [
      withUser('token: "hunter2\\n"'),
      "config:5: users[0].user.token: must be a token: it has a line end, a blank at an end, or a letter that no header can hold",
    ],
    "a token's file that is empty": [
      withUser("tokenFile: empty"),
      'config:5: users[0].user.tokenFile: is "empty", which is empty',
    ],
    "a token's file with two lines": [
      withUser("tokenFile: lines"),
      'config:5: users[0].user.tokenFile: is "lines", which holds no token, but several lines or letters that no header can hold',
    ],
    "a token and a password": [
      withUser("token: T, username: a, password: hunter2"),
      "config:5: users[0].user: has a token and a password: leave out one of them",
    ],
    "as with a blank at an end": [
      withUser('token: T, as: "ann "'),
      "config:5: users[0].user.as: must be a name that a header can hold: ASCII letters, no blank at an end",
    ],
    "as-groups without as": [
      withUser("token: T, as-groups: [g]"),
      "config:5: users[0].user.as-groups: must have as beside it: it is said of somebody to act as",
    ],
    "an empty one of as-groups": [
      withUser('token: T, as: ann, as-groups: [g, ""]'),
      "config:5: users[0].user.as-groups[1]: must be a name that a header can hold: ASCII letters, no blank at an end",
    ],
    "merged as-uid": [
      `x-u: &u {as-uid: "7"}\n${withUser("<<: *u, token: T")}`,
      "config:1: users[0].user.as-uid: must have as beside it: it is said of somebody to act as",
    ],
    "as-user-extra of which a value is in two lines": [
      withUser('token: T, as: ann, as-user-extra: {a: ["hunter2\\nx"]}'),
      "config:5: users[0].user.as-user-extra.a[0]: must be a name that a header can hold: ASCII letters, no blank at an end",
    ],
    "a certificate without a key": [
      withUser("client-certificate: alice.crt"),
      "config:5: users[0].user.client-certificate: must have a client-key or client-key-data beside it",
    ],
    "a certificate by file and as data": [
      withUser(`client-certificate: alice.crt, client-certificate-data: ${base64(alice.cert)}, client-key: alice.key`),
      "config:5: users[0].user.client-certificate-data: is said beside client-certificate: leave out one of them",
    ],
    "a certificate that is none": [
      withUser(`client-certificate-data: ${base64("hunter2")}, client-key: alice.key`),
      expect.stringMatching(
        /^config:5: users\[0\].user.client-certificate-data: must be a certificate in PEM \(ERR_\w+\)$/,
      ),
    ],
    "somebody else's key": [
      withUser("client-certificate: alice.crt, client-key: bob.key"),
      expect.stringMatching(/^config:5: users\[0\].user.client-key: does not belong to the certificate \(ERR_\w+\)$/),
    ],
    "a key that is none": [
      withUser("client-certificate: alice.crt, client-key: lines"),
      expect.stringMatching(/^config:5: users\[0\].user.client-key: must be a key in PEM, not encrypted \(ERR_\w+\)$/),
    ],
    "a provider that nobody knows": [
      withUser("auth-provider: {name: acme}"),
      'config:5: users[0].user.auth-provider.name: must be oidc, but is "acme"',
    ],
    "a provider that kubectl has given up": [
      withUser("auth-provider: {name: gcp}"),
      'config:5: users[0].user.auth-provider.name: must be oidc, but is "gcp", which kubectl has given up too: use an exec plugin',
    ],
    "oidc without what it needs": [
      withUser("auth-provider: {name: oidc, config: {client-id: a}}"),
      "config:5: users[0].user.auth-provider.config.idp-issuer-url: must be set for oidc",
      "config:5: users[0].user.auth-provider.config: must have an id-token or a refresh-token",
    ],
    "a plugin that is not installed": [
      withUser('exec: {command: aws-that-is-not-here, installHint: "brew install aws"}'),
      'config:5: users[0].user.exec.command: is "aws-that-is-not-here", which is in no folder of PATH; brew install aws',
    ],
    "a plugin beside the kubeconfig that cannot be run": [
      withUser("exec: {command: ./lines}"),
      'config:5: users[0].user.exec.command: is "./lines", which cannot be run: permission denied',
    ],
    "a plugin without a command": [
      withUser("exec: {args: [a]}"),
      "config:5: users[0].user.exec.command: must be set to the plugin's command",
    ],
    "a plugin of a version that is no more": [
      withUser(`${PLUGIN}, apiVersion: client.authentication.k8s.io/v1alpha1}`),
      'config:5: users[0].user.exec.apiVersion: must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1, but is "client.authentication.k8s.io/v1alpha1"',
    ],
    "a plugin that wants to ask somebody": [
      withUser(`${PLUGIN}, interactiveMode: Always}`),
      "config:5: users[0].user.exec.interactiveMode: is Always: the plugin wants to ask somebody, and nobody is here",
    ],
    "a plugin with an argument that is a number": [
      withUser(`${PLUGIN}, args: [1]}`),
      "config:5: users[0].user.exec.args[0]: must be text: put it in quotes (what it is instead is not shown)",
    ],
    "a plugin beside a provider": [
      withUser(
        `${PLUGIN}}, auth-provider: {name: oidc, config: {client-id: a, idp-issuer-url: "https://x", id-token: b}}`,
      ),
      "config:5: users[0].user.auth-provider: is said beside exec: leave out one of them",
    ],
    "both forms of an authority": [
      withCluster(`certificate-authority: ca.crt, certificate-authority-data: ${base64(authority.cert)}`),
      "config:5: clusters[0].cluster.certificate-authority-data: is said beside certificate-authority: leave out one of them",
    ],
    "an authority that is no PEM": [
      withCluster(`certificate-authority-data: ${base64("hunter2")}`),
      "config:5: clusters[0].cluster.certificate-authority-data: must have a certificate in PEM in it",
    ],
    "an authority that is no base64": [
      withCluster("certificate-authority-data: hunter2"),
      "config:5: clusters[0].cluster.certificate-authority-data: must be base64 (it is not shown)",
    ],
    "an authority's file that is empty": [
      withCluster("certificate-authority: empty"),
      "config:5: clusters[0].cluster.certificate-authority: must have a certificate in PEM in it",
    ],
    "an authority beside insecure-skip-tls-verify": [
      withCluster("certificate-authority: ca.crt, insecure-skip-tls-verify: true"),
      "config:5: clusters[0].cluster.insecure-skip-tls-verify: is true beside an authority that certificates would be checked by: leave out one of them",
    ],
    "insecure-skip-tls-verify as text": [
      withCluster('insecure-skip-tls-verify: "true"'),
      "config:5: clusters[0].cluster.insecure-skip-tls-verify: must be true or false, without quotes",
    ],
    "a proxy of another kind": [
      withCluster('proxy-url: "ftp://hunter2@x"'),
      "config:5: clusters[0].cluster.proxy-url: must be the address of a proxy by http, https or socks5 (what it is instead is not shown: it may hold a password)",
    ],
    "an address with a password": [
      `${CONTEXT}users: [{name: u}]\nclusters: [{name: c, cluster: {server: "https://u:hunter2@10.0.0.1"}}]`,
      'config:3: clusters[0].cluster.server: must be an address with a path at most: no user, query or fragment, but is "https://***@10.0.0.1"',
    ],
    "a cluster that is empty": [
      `${CONTEXT}users: [{name: u}]\nclusters: [{name: c, cluster: {}}]`,
      "config:3: clusters[0].cluster.server: must be set to the address of the API server",
    ],
    "a cluster that is text": [
      `${CONTEXT}users: [{name: u}]\nclusters: [{name: c, cluster: hunter2}]`,
      "config:3: clusters[0].cluster: must be a map",
    ],
    "a context that is text": [
      `contexts: [{name: c, context: hunter2}]\n${CLUSTER}`,
      "config:1: contexts[0].context: must be a map",
    ],
    "a user that stands twice": [
      `${CONTEXT}${CLUSTER}users:\n- {name: u, user: {token: a}}\n- {name: u, user: {token: b}}`,
      'config:5: users[1].name: is "u" as in an item above: kubectl refuses that too, because either may be meant',
    ],
    "a merge of what is no map": [
      withUser("<<: hunter2, token: T"),
      "config:5: users[0].user: must be a map, or a list of maps, to be merged",
    ],
    "an alias of nothing": [
      withUser("token: *hunter2"),
      "config:5: is not YAML: an alias stands for an anchor that is not there",
    ],
    "a file of another kind": [
      `kind: Secret\n${withUser("token: T")}`,
      'config:1: kind: must be Config, but is "Secret": this is no kubeconfig',
    ],
    "a file of another version": [
      `apiVersion: v2\n${withUser("token: T")}`,
      'config:1: apiVersion: must be v1, but is "v2": this is no kubeconfig',
    ],
    "a file of no kind": [
      `kind: 1\n${withUser("token: T")}`,
      "config:1: kind: must be text: put it in quotes (what it is instead is not shown)",
    ],
    "a file that is empty": ["", "config: is not a kubeconfig: it has no contexts"],
    "a proxy of the environment": [
      `${withUser("token: T")}`,
      "$HTTPS_PROXY: must be the address of a proxy by http, https or socks5 (what it is instead is not shown: it may hold a password)",
    ],
  };
  test.each(Object.entries(rows))("%s", (name, [text, ...problems]) => {
    write("empty", "");
    write("lines", "hunter2\nx");
    write("bob.key", bob.key);
    const environment = {
      PATH: "/bin:/usr/bin",
      ...(name.includes("environment") && { HTTPS_PROXY: "ftp://hunter2@x" }),
    };
    const found = judge(text, "c", environment).problems;
    expect(found).toEqual(problems);
    expect(found.join()).not.toContain("hunter2");
  });

  test("bytes that are no text", () => {
    const path = write("config", Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xff]));
    expect(() => read(path)).toThrow("config: is not text in UTF-8 or UTF-16");
  });

  test("nothing but what the context needs: one that is broken concerns nobody else", () => {
    const text = [
      "contexts:",
      "- {name: c, context: {cluster: good, user: good}}",
      "- {name: empty, context: {cluster: '', user: good}}",
      "- {name: nothing}",
      "- 7",
      "clusters:",
      "- {name: old, cluster: {}}",
      "- {name: odd, cluster: 7}",
      '- {name: good, cluster: {server: "https://10.0.0.1"}}',
      "users:",
      "- {name: away, user: {tokenFile: /not/there, token-file: /not/there}}",
      "- {name: numeric, user: {token: 1}}",
      "- {user: {}}",
      "- {name: good, user: {token: T}}",
    ].join("\n");
    expect(judge(text)).toEqual({ problems: [], warnings: [] });
    expect(judge(text, "empty").problems).toEqual([
      'config:3: contexts[1].context.cluster: must be set: context "empty" names no cluster',
    ]);
    expect(judge(text, "nothing").problems).toEqual([
      'config:4: contexts[2].context.cluster: must be set: context "nothing" names no cluster',
    ]);
  });
});

describe("several files, as in $KUBECONFIG", () => {
  const both = () => {
    const first = write(
      "one/config",
      `current-context: ""\ncontexts: [{name: a, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: first}}]\n`,
    );
    const second = write(
      "two/config",
      `current-context: b\ncontexts: [{name: b, context: {cluster: c, user: u}}, {name: a, context: {cluster: x}}]\n` +
        `clusters: [{name: c, cluster: {server: "https://10.0.0.2", certificate-authority: ca.crt}}]\nusers: [{name: u, user: {token: second}}]\n`,
    );
    return [first, second] as const;
  };

  test("the first that has a name has it alone; paths are relative to their own file", () => {
    const kubeconfig = read(...both());
    expect([kubeconfig.contexts, kubeconfig.currentContext]).toEqual([["a", "b"], "b"]);
    for (const context of kubeconfig.contexts) {
      const problems: Problem[] = [];
      const found = kubeconfig.find(context, problems);
      expect(found && readEntry(found, { problems, warnings: [] })).toMatchObject({
        server: "https://10.0.0.2",
        ca: { file: "ca.crt", at: { document: { folder: join(folder, "two") } } },
        proof: { token: "first" },
      });
      expect(problems).toEqual([]);
    }
  });

  test("one that is not there is left out with a warning; one that is broken is not left out", () => {
    const [first, second] = both();
    const kubeconfig = read(join(folder, "none"), first, second);
    expect(kubeconfig.warnings.map(formatProblem)).toEqual(["none: cannot be read: no such file or directory"]);
    const broken = write("broken", "a: [");
    expect(() => read(first, broken, second)).toThrow("broken:1:5: is not YAML: ");
    expect(() => read(join(folder, "none"))).toThrow("none: cannot be read: no such file or directory");
  });

  test("empty names and names that stand twice are nothing; a file may have such a name", () => {
    expect(kubeconfigPaths(["", "a", "b", "a", ""].join(delimiter))).toEqual(["a", "b"]);
    const odd = write(`odd${delimiter}name`, "");
    expect(kubeconfigPaths(odd)).toEqual([odd]);
  });
});
