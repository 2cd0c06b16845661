import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import { NoAnswer } from "../../../../src/clouds/http.ts";
import { createClient } from "../../../../src/targets/kubernetes/client.ts";
import { type ClusterSource, openCredentials } from "../../../../src/targets/kubernetes/cluster/credentials.ts";
import { asRequest, loopbackCertificates, testClock } from "../../../support/cluster-client.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { startConnectProxy } from "../../../support/proxy.ts";
import { http1, respond, startStreamServer, startWireServer } from "../../../support/wire-server.ts";

const { authority, certified, ca } = loopbackCertificates();
let cleanup = new AsyncDisposableStack();
afterEach(async () => {
  vi.unstubAllEnvs();
  await cleanup.disposeAsync();
  cleanup = new AsyncDisposableStack();
});
const use = async <Resource extends AsyncDisposable>(resource: Promise<Resource>): Promise<Resource> =>
  cleanup.use(await resource);
const folderOf = () => use(temporaryFolder());

/** One cluster's client, with clocks that stand still until they are moved. */
function open(source: ClusterSource) {
  const clock = { ms: 0, wallMs: Date.parse("2026-05-04T12:00:00Z") };
  const told: string[] = [];
  const credentials = openCredentials(source, {
    monotonic: () => clock.ms,
    now: () => new Date(clock.wallMs),
    tell: (sentence) => told.push(sentence),
  });
  const client = cleanup.use(createClient(credentials, "restartd/test", testClock()));
  const get = async () => (await client.request(asRequest())).status;
  const cause = async (): Promise<string> =>
    get().then(
      (status) => `answered ${status}`,
      (error: unknown) => (error instanceof NoAnswer ? (error.cause as Error).message : String(error)),
    );
  /** Time passes, so that files are looked at again. */
  const pass = (ms = 1_001) => {
    clock.ms += ms;
    clock.wallMs += ms;
  };
  return { clock, told, get, cause, pass };
}

/** A server on plain http that notes who calls. */
async function plainServer(statusOf: (authorization: string) => number = () => 200) {
  const seen: { authorization: string; as: string }[] = [];
  const server = await use(
    startWireServer(({ head, socket }) => {
      const header = (name: string) => new RegExp(`^${name}: (.*)$`, "im").exec(head)?.[1] ?? "";
      seen.push({ authorization: header("authorization"), as: header("impersonate-user") });
      socket.write(http1(statusOf(header("authorization")), {}));
    }),
  );
  return { seen, url: server.url };
}

describe("what the check understands is what is used", () => {
  test("a merged user acts as whom the merge says, with the token beside it", async () => {
    const { url, seen } = await plainServer();
    const kubeconfig = await (await folderOf()).write(
      "kubeconfig",
      [
        "kind: Config",
        "kind: Config",
        "x-u: &u {as: limited}",
        `x-c: &c {server: "${url}"}`,
        "current-context: c",
        "contexts: [{name: c, context: {cluster: c, user: u}}]",
        "clusters: [{name: c, cluster: {<<: *c}}]",
        "users: [{name: u, user: {<<: *u, token: T}}]",
      ].join("\n"),
    );
    expect(await open({ kubeconfig }).get()).toBe(200);
    expect(seen).toEqual([{ authorization: "Bearer T", as: "limited" }]);
  });

  test("a merged authority", async () => {
    const server = await use(startStreamServer(certified, ({ stream }) => respond(stream, 200, {})));
    const text = (cluster: string) =>
      `x-c: &c {certificate-authority-data: ${ca}}\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n` +
      `clusters: [{name: c, cluster: {${cluster}server: "https://127.0.0.1:${server.port}"}}]`;
    const folder = await folderOf();
    expect(await open({ kubeconfig: await folder.write("with", text("<<: *c, ")) }).get()).toBe(200);
    expect(await open({ kubeconfig: await folder.write("without", text("")) }).cause()).toMatch(/certificate/);
  });

  test("a context without a user sends nothing of anybody", async () => {
    const { url, seen } = await plainServer();
    const text = `contexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: "${url}"}}]`;
    const kubeconfig = await (await folderOf()).write("kubeconfig", text);
    expect(await open({ kubeconfig, context: "c" }).get()).toBe(200);
    expect(seen).toEqual([{ authorization: "", as: "" }]);
  });

  test("UTF-16", async () => {
    const { url, seen } = await plainServer();
    const folder = await folderOf();
    const kubeconfig = await folder.kubeconfig({ server: url }, { token: "T" });
    await writeFile(kubeconfig, Buffer.from(`\ufeff${await readFile(kubeconfig, "utf8")}---\n`, "utf16le"));
    expect(await open({ kubeconfig }).get()).toBe(200);
    expect(seen).toEqual([{ authorization: "Bearer T", as: "" }]);
  });

  test("entries that nobody asked for may be broken", async () => {
    const { url, seen } = await plainServer();
    const text = stringify({
      contexts: [
        { name: "c", context: { cluster: "c", user: "u" } },
        { name: "empty", context: { cluster: "" } },
        { name: "none" },
      ],
      clusters: [{ name: "old", cluster: {} }, { name: "x" }, { name: "c", cluster: { server: url } }],
      users: [
        { name: "away", user: { "token-file": "/not/there", tokenFile: "/not/there" } },
        { name: "u", user: { token: "T" } },
      ],
    });
    const kubeconfig = await (await folderOf()).write("kubeconfig", text);
    expect(await open({ kubeconfig, context: "c" }).get()).toBe(200);
    expect(seen).toEqual([{ authorization: "Bearer T", as: "" }]);
  });

  test("several files", async () => {
    const { url, seen } = await plainServer();
    const folder = await folderOf();
    const first = await folder.write("a", "current-context: c\nusers: [{name: u, user: {tokenFile: token}}]\n");
    await folder.write("token", "from-a\n");
    const second = await folder.write(
      "b",
      `contexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: "${url}"}}]\nusers: [{name: u, user: {token: b}}]\n`,
    );
    const { get, pass } = open({ kubeconfig: [first, join(folder.path, "none"), second].join(delimiter) });
    expect(await get()).toBe(200);
    await folder.write("a", "current-context: c\nusers: [{name: u, user: {token: A}}]\n");
    pass();
    expect(await get()).toBe(200);
    expect(seen.map(({ authorization }) => authorization)).toEqual(["Bearer from-a", "Bearer A"]);
  });
});

describe("a file that changes into something wrong", () => {
  test("keeps the other contexts going, and says once what is wrong, and where", async () => {
    const { url } = await plainServer();
    const folder = await folderOf();
    const text = (token: string) =>
      [
        "contexts: [{name: a, context: {cluster: c, user: a}}, {name: b, context: {cluster: c, user: b}}]",
        `clusters: [{name: c, cluster: {server: "${url}"}}]`,
        "users:",
        "- {name: a, user: {token: A}}",
        `- {name: b, user: {token: ${token}}}`,
      ].join("\n");
    const kubeconfig = await folder.write("kubeconfig", text("B"));
    const [a, b] = [open({ kubeconfig, context: "a" }), open({ kubeconfig, context: "b" })];
    expect([await a.get(), await b.get()]).toEqual([200, 200]);
    await folder.write("kubeconfig", text("12345"));
    const sentence = `${kubeconfig}:5:27: users[1].user.token: must be text: put it in quotes (what it is instead is not shown)`;
    for (const ms of [1_001, 4_000, 4_000]) {
      for (const each of [a, b]) each.pass(ms);
      expect([await a.get(), await b.get()]).toEqual([200, 200]); // b by what it was
    }
    for (const each of [a, b]) each.pass(4_000);
    expect([await a.get(), await b.cause()]).toEqual([200, sentence]);
    expect([a.told, b.told]).toEqual([[], [sentence]]);
    await folder.write("kubeconfig", text("C"));
    b.pass();
    expect(await b.get()).toBe(200);
    await folder.write("kubeconfig", text("1"));
    b.pass();
    await b.get();
    expect(b.told).toEqual([sentence, sentence]);
  });
});

describe("an exec plugin", () => {
  test("is told of the cluster as client-go tells it: an authority's file as data, and the cluster's extension", async () => {
    const folder = await folderOf();
    const server = await use(startStreamServer(certified, ({ stream }) => respond(stream, 200, {})));
    await folder.write("ca.crt", authority.cert);
    await folder.write("plugin", `#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" > told\necho '{"status":{"token":"T"}}'\n`);
    const address = `https://127.0.0.1:${server.port}`;
    const cluster = {
      server: `${address}/`,
      "certificate-authority": "ca.crt",
      extensions: [
        { name: "other", extension: 1 },
        { name: "client.authentication.k8s.io/exec", extension: { audience: "a", list: [1, null] } },
      ],
    };
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: "/bin/sh",
      args: ["-c", `cd ${folder.path} && ./plugin`],
      interactiveMode: "Never",
      provideClusterInfo: true,
    };
    expect(await open({ kubeconfig: await folder.kubeconfig(cluster, { exec }) }).get()).toBe(200);
    expect(JSON.parse(await readFile(join(folder.path, "told"), "utf8"))).toEqual({
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      spec: {
        interactive: false,
        cluster: {
          server: address,
          "certificate-authority-data": Buffer.from(authority.cert).toString("base64"),
          config: { audience: "a", list: [1, null] },
        },
      },
    });
  });

  test("is not run where a token stands beside it", async () => {
    const { url, seen } = await plainServer();
    const folder = await folderOf();
    await folder.write("plugin", `#!/bin/sh\ntouch "$(dirname "$0")/ran"\n`);
    const kubeconfig = await folder.kubeconfig({ server: url }, { token: "T", exec: { command: "./plugin" } });
    expect(await open({ kubeconfig }).get()).toBe(200);
    expect(seen).toEqual([{ authorization: "Bearer T", as: "" }]);
    await expect(readFile(join(folder.path, "ran"))).rejects.toThrow("ENOENT");
  });

  test("that was removed is named, with how to get it", async () => {
    const { url } = await plainServer();
    const user = { exec: { command: "aws-that-is-not-here", installHint: "brew install aws" } };
    const { cause } = open({ kubeconfig: await (await folderOf()).kubeconfig({ server: url }, user) });
    expect(await cause()).toMatch(
      /users\[0\]\.user\.exec\.command: is "aws-that-is-not-here", which is in no folder of PATH; brew install aws$/,
    );
  });
});

describe("OIDC", () => {
  /** An issuer on loopback: each refresh token is good for one renewal. */
  async function issuer(lifeSeconds = 3_600) {
    const asked: string[] = [];
    let iat = Date.parse("2026-05-04T09:00:00Z") / 1_000; // its clock is three hours behind
    const server = createServer((request, response) => {
      const answer = (status: number, json: unknown) =>
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
      if (request.url === "/.well-known/openid-configuration") {
        answer(200, { issuer: url, token_endpoint: `${url}/token` });
        return;
      }
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        const refreshToken = new URLSearchParams(body).get("refresh_token");
        asked.push(`${request.headers.authorization ?? "nobody"} ${refreshToken}`);
        if (refreshToken !== `r${asked.length}`) {
          answer(400, { error: "invalid_grant", error_description: `hunter2 ${refreshToken}` });
          return;
        }
        iat += 1;
        const claims = { iss: url, sub: "ann", aud: "me", iat, exp: iat + lifeSeconds, n: asked.length };
        answer(200, {
          access_token: "a",
          token_type: "bearer",
          id_token: jwt(claims),
          refresh_token: `r${asked.length + 1}`,
        });
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.defer(async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return { url, asked };
  }
  const jwt = (claims: object) =>
    [{ alg: "RS256" }, claims, "s"].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const claimsOf = (authorization: string) =>
    JSON.parse(Buffer.from(authorization.split(".")[1] ?? "", "base64url").toString());
  const provider = (config: object) => ({ "auth-provider": { name: "oidc", config } });
  const at = (time: string) => Date.parse(time) / 1_000;

  test("a token that holds is used as it is", async () => {
    const { url, seen } = await plainServer();
    const token = jwt({ exp: at("2026-05-04T12:01:00Z") });
    const user = provider({ "idp-issuer-url": "http://127.0.0.1:1", "client-id": "me", "id-token": token });
    const { get, cause, pass } = open({ kubeconfig: await (await folderOf()).kubeconfig({ server: url }, user) });
    expect(await get()).toBe(200);
    expect(seen[0]?.authorization).toBe(`Bearer ${token}`);
    pass(49_999);
    expect(await get()).toBe(200);
    pass(11_000);
    expect(await cause()).toBe("oidc: the id-token has expired, and there is no refresh-token to renew it by");
    expect(seen.map(({ authorization }) => authorization)).not.toContain("");
  });

  test("is renewed by the refresh token, that too, for as long as the issuer says, whatever our clocks show", async () => {
    const { url, seen } = await plainServer();
    const { url: idp, asked } = await issuer();
    const user = provider({ "idp-issuer-url": idp, "client-id": "me", "client-secret": "s", "refresh-token": "r1" });
    const { get, pass, clock } = open({ kubeconfig: await (await folderOf()).kubeconfig({ server: url }, user) });
    const basic = `Basic ${Buffer.from("me:s").toString("base64")}`;
    for (const [ms, renewals] of [
      [0, 1],
      [1_800_000, 1],
      [1_790_001, 2],
    ] as const) {
      pass(ms);
      expect(await get()).toBe(200);
      expect(asked).toEqual([`${basic} r1`, `${basic} r2`].slice(0, renewals));
      clock.wallMs += 86_400_000;
    }
    expect(seen.map(({ authorization }) => claimsOf(authorization).n)).toEqual([1, 1, 2]);
  });

  test("a token that the API server refuses is renewed", async () => {
    const { url: idp, asked } = await issuer();
    const { url } = await plainServer((authorization) => (claimsOf(authorization).n === undefined ? 401 : 200));
    const token = jwt({ exp: at("2026-05-05T12:00:00Z") });
    const user = provider({
      "idp-issuer-url": idp,
      "client-id": "me",
      "id-token": token,
      "refresh-token": "r1",
    });
    const { get } = open({ kubeconfig: await (await folderOf()).kubeconfig({ server: url }, user) });
    expect([await get(), await get(), asked]).toEqual([401, 200, ["nobody r1"]]);
  });

  test("an issuer that refuses is named, and nothing of what it said is told; nobody is anonymous", async () => {
    const { url, seen } = await plainServer();
    const { url: idp } = await issuer();
    const user = provider({ "idp-issuer-url": idp, "client-id": "me", "refresh-token": "hunter2" });
    const { cause } = open({ kubeconfig: await (await folderOf()).kubeconfig({ server: url }, user) });
    expect(await cause()).toBe(`oidc: ${idp} did not renew the id-token (invalid_grant)`);
    expect(seen).toEqual([]);
  });
});

describe("a proxy of the environment", () => {
  const other = authority.issue({ commonName: "other", usage: "server", hosts: ["k8s.test"] });
  const cluster = (port: number) => ({ server: `https://k8s.test:${port}`, "certificate-authority-data": ca });

  test("is gone through where the kubeconfig names none, and not for what NO_PROXY names", async () => {
    const proxy = await use(startConnectProxy());
    const server = await use(startStreamServer(other, ({ stream }) => respond(stream, 200, {})));
    vi.stubEnv("HTTPS_PROXY", `http://127.0.0.1:${proxy.port}`);
    const kubeconfig = await (await folderOf()).kubeconfig(cluster(server.port));
    expect(await open({ kubeconfig }).get()).toBe(200);
    expect(proxy.tunnels).toEqual([`k8s.test:${server.port}`]);
    vi.stubEnv("NO_PROXY", ".test");
    expect(await open({ kubeconfig }).cause()).toMatch(/k8s\.test/); // which no name server knows
    expect(proxy.tunnels).toHaveLength(1);
  });

  test("does not stand in for the kubeconfig's own", async () => {
    const [own, around] = [await use(startConnectProxy()), await use(startConnectProxy())];
    const server = await use(startStreamServer(other, ({ stream }) => respond(stream, 200, {})));
    vi.stubEnv("HTTPS_PROXY", `http://127.0.0.1:${around.port}`);
    const user = { ...cluster(server.port), "proxy-url": `http://127.0.0.1:${own.port}` };
    expect(await open({ kubeconfig: await (await folderOf()).kubeconfig(user) }).get()).toBe(200);
    expect([own.tunnels.length, around.tunnels.length]).toEqual([1, 0]);
  });
});
