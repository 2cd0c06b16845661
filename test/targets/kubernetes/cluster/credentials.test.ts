import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { NoAnswer } from "../../../../src/clouds/http.ts";
import { type Client, createClient } from "../../../../src/targets/kubernetes/client.ts";
import {
  type ClusterSource,
  type Credentials,
  type CredentialsOptions,
  openCredentials,
} from "../../../../src/targets/kubernetes/cluster/credentials.ts";
import { unreachable } from "../../../../src/targets/kubernetes/errors.ts";
import { asRequest, loopbackCertificates, testClock } from "../../../support/cluster-client.ts";
import { type Folder, temporaryFolder } from "../../../support/folder.ts";
import { startConnectProxy, startSocksProxy } from "../../../support/proxy.ts";
import { http1, respond, startStreamServer, startWireServer, type WireRequest } from "../../../support/wire-server.ts";

const { authority, certified, ca } = loopbackCertificates();
const base64 = (text: string) => Buffer.from(text).toString("base64");
let cleanup = new AsyncDisposableStack();
afterEach(async () => {
  vi.unstubAllEnvs();
  await cleanup.disposeAsync();
  cleanup = new AsyncDisposableStack();
});
const use = async <Resource extends AsyncDisposable>(resource: Promise<Resource>): Promise<Resource> =>
  cleanup.use(await resource);

/** One cluster's credentials, with a clock that stands still until it is moved. */
interface Opened {
  readonly client: Client;
  readonly credentials: Credentials;
  readonly clock: { ms: number };
  /** Status of a GET. */
  get(): Promise<number>;
}

function open(source: ClusterSource, more: Partial<CredentialsOptions> = {}): Opened {
  const clock = { ms: 0 };
  const credentials = openCredentials(source, {
    monotonic: () => clock.ms,
    now: () => new Date(clock.ms),
    tell: () => {},
    ...more,
  });
  const client = createClient(credentials, "restartd/test", testClock());
  cleanup.use(client);
  return { client, credentials, clock, get: async () => (await client.request(asRequest())).status };
}

const folderOf = (): Promise<Folder> => use(temporaryFolder());

/** A server on plain http that notes each request's Authorization. */
async function plainServer(statusOf: (authorization: string) => number = () => 200) {
  const seen: string[] = [];
  const server = await use(
    startWireServer(({ head, socket }) => {
      const authorization = /^authorization: (.*)$/im.exec(head)?.[1] ?? "";
      seen.push(authorization);
      socket.write(http1(statusOf(authorization), {}));
    }),
  );
  return { server, seen, url: server.url };
}

/** A TLS server that notes each request's client certificate by its common name. */
async function tlsServer(answer?: (request: WireRequest) => void) {
  const seen: string[] = [];
  const server = await use(
    startWireServer(
      (request) => {
        const peer = (request.socket as TLSSocket).getPeerCertificate();
        seen.push(String(peer.subject?.CN ?? ""));
        if (answer === undefined) request.socket.write(http1(200, {}));
        else answer(request);
      },
      { ...certified, requestCert: true, rejectUnauthorized: false, ca: authority.cert },
    ),
  );
  return { server, seen, url: server.url };
}

const failureOf = async (work: Promise<unknown>): Promise<NoAnswer> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(NoAnswer);
  return error as NoAnswer;
};

describe("a token", () => {
  test("in the kubeconfig", async () => {
    const { url: server, seen } = await plainServer();
    const { get } = open({ kubeconfig: await (await folderOf()).kubeconfig({ server }, { token: "t" }) });
    await get();
    expect(seen).toEqual(["Bearer t"]);
  });

  test.each(["relative", "absolute"])(
    "in a file by its %s path, before one in the kubeconfig, without its line end",
    async (how) => {
      const folder = await folderOf();
      const { url: server, seen } = await plainServer();
      const file = await folder.write("token", "from-file\r\n");
      const user = { token: "inline", tokenFile: how === "relative" ? "token" : file };
      const { get } = open({ kubeconfig: await folder.kubeconfig({ server }, user) });
      await get();
      expect(seen).toEqual(["Bearer from-file"]);
    },
  );

  test("in a file that is rotated is used a second later, over the same connection", async () => {
    const folder = await folderOf();
    const { server, url, seen } = await plainServer();
    await folder.write("token", "one\n");
    const { get, clock } = open({ kubeconfig: await folder.kubeconfig({ server: url }, { tokenFile: "token" }) });
    await get();
    await folder.write("token", "two\n");
    clock.ms = 1_000;
    await get();
    clock.ms = 1_001;
    await get();
    expect([seen, server.connections]).toEqual([["Bearer one", "Bearer one", "Bearer two"], 1]);
  });

  test("that is refused is read anew for the next request", async () => {
    const folder = await folderOf();
    const { url: server, seen } = await plainServer((authorization) => (authorization === "Bearer new" ? 200 : 401));
    await folder.write("token", "old");
    const { get } = open({ kubeconfig: await folder.kubeconfig({ server }, { tokenFile: "token" }) });
    expect(await get()).toBe(401);
    await folder.write("token", "new");
    expect([await get(), seen]).toEqual([200, ["Bearer old", "Bearer new"]]);
  });

  test("that is refused late does not throw away the new one", async () => {
    const folder = await folderOf();
    const { url: server } = await plainServer();
    await folder.write("token", "old");
    const { credentials, clock } = open({ kubeconfig: await folder.kubeconfig({ server }, { tokenFile: "token" }) });
    const old = await credentials.connection();
    await folder.write("token", "new");
    clock.ms = 2_000;
    const fresh = await credentials.connection();
    credentials.rejected(old);
    expect(await credentials.connection()).toBe(fresh);
  });
});

describe("a client certificate", () => {
  const issue = (commonName: string) => authority.issue({ commonName, usage: "client" });

  test("in the kubeconfig", async () => {
    const { url: server, seen } = await tlsServer();
    const { cert, key } = issue("alice");
    const user = { "client-certificate-data": base64(cert), "client-key-data": base64(key) };
    const kubeconfig = await (await folderOf()).kubeconfig({ server, "certificate-authority-data": ca }, user);
    await open({ kubeconfig }).get();
    expect(seen).toEqual(["alice"]);
  });

  test("in files that are rotated is used on a new connection, while requests on the old one finish", async () => {
    const folder = await folderOf();
    const held: WireRequest[] = [];
    const { server, url, seen } = await tlsServer((request) => held.push(request));
    const put = async (commonName: string) => {
      const { cert, key } = issue(commonName);
      await folder.write("client.crt", cert);
      await folder.write("client.key", key);
    };
    await put("one");
    const user = { "client-certificate": "client.crt", "client-key": "client.key" };
    const { get, clock, client } = open({
      kubeconfig: await folder.kubeconfig({ server: url, "certificate-authority-data": ca }, user),
    });
    const first = get();
    await expect.poll(() => held.length).toBe(1);
    await put("two");
    clock.ms = 2_000;
    const second = get();
    await expect.poll(() => held.length).toBe(2);
    for (const { socket } of held) socket.write(http1(200, {}));
    expect(await Promise.all([first, second])).toEqual([200, 200]);
    expect(seen).toEqual(["one", "two"]);
    // The old pool is gone once it has nothing to do.
    await expect.poll(() => server.sockets.size).toBe(1);

    // What hangs on an old connection holds up no end.
    const third = failureOf(get());
    await expect.poll(() => held.length).toBe(3);
    await put("three");
    clock.ms = 4_000;
    const fourth = failureOf(get());
    await expect.poll(() => held.length).toBe(4);
    await client[Symbol.asyncDispose]();
    expect((await Promise.all([third, fourth])).map(({ sent }) => sent)).toEqual([true, true]);
  });

  test("that does not go with its key, while it is being rotated, fails no request", async () => {
    const folder = await folderOf();
    const { url: server, seen } = await tlsServer();
    const [one, two] = [issue("one"), issue("two")];
    await folder.write("client.crt", one.cert);
    await folder.write("client.key", one.key);
    const user = { "client-certificate": "client.crt", "client-key": "client.key" };
    const { get, clock } = open({
      kubeconfig: await folder.kubeconfig({ server, "certificate-authority-data": ca }, user),
    });
    await get();
    await folder.write("client.crt", two.cert);
    clock.ms = 2_000;
    await get();
    await folder.write("client.key", two.key);
    clock.ms = 4_000;
    await get();
    expect(seen).toEqual(["one", "one", "two"]);
  });

  test("of an exec plugin", async () => {
    const folder = await folderOf();
    const { url: server, seen } = await tlsServer();
    const { cert, key } = issue("from-plugin");
    const status = { clientCertificateData: cert, clientKeyData: key };
    await folder.write("credential", JSON.stringify({ kind: "ExecCredential", status }));
    const user = { exec: { command: "cat", args: [join(folder.path, "credential")] } };
    await open({ kubeconfig: await folder.kubeconfig({ server, "certificate-authority-data": ca }, user) }).get();
    expect(seen).toEqual(["from-plugin"]);
  });
});

describe("an exec plugin", () => {
  const plugin = (folder: Folder, text: string) => folder.write("plugin", `#!/bin/sh\n${text}\n`);
  const TOKEN = `{"status":{"token":"'$(cat "$(dirname "$0")/token")'","expirationTimestamp":"1970-01-01T00:01:00Z"}}`;

  test("is asked once, again when its token has expired, and when it was refused", async () => {
    const folder = await folderOf();
    const { url: server, seen } = await plainServer((authorization) => (authorization === "Bearer three" ? 401 : 200));
    await plugin(folder, `echo x >> "$(dirname "$0")/asked"; echo '${TOKEN}'`);
    await folder.write("token", "one");
    const { get, clock } = open({ kubeconfig: await folder.kubeconfig({ server }, { exec: { command: "./plugin" } }) });
    await get();
    await folder.write("token", "two");
    clock.ms = 59_000;
    await get();
    clock.ms = 61_000;
    await get();
    await folder.write("token", "three");
    clock.ms = 121_000; // what it gave had expired by our clock already, which may be wrong: it is asked a minute later
    expect(await get()).toBe(401);
    await folder.write("token", "four");
    expect(await get()).toBe(200);
    expect(seen).toEqual(["Bearer one", "Bearer one", "Bearer two", "Bearer three", "Bearer four"]);
  });

  test("that fails is the operator's to mend, and its words are the log's", async () => {
    const folder = await folderOf();
    const { url: server, seen } = await plainServer();
    await plugin(folder, "echo 'token hunter2 is no more' ; echo 'please log in' >&2; exit 1");
    const { client } = open({ kubeconfig: await folder.kubeconfig({ server }, { exec: { command: "./plugin" } }) });
    const error = await failureOf(client.request(asRequest({ method: "PATCH" })));
    expect(error.sent).toBe(false);
    const failure = unreachable(error, { cluster: "prod", verb: "patch", what: "x" });
    expect(failure).toMatchObject({
      reason: "CLUSTER_CREDENTIALS_REJECTED",
      outcome: "not_applied",
      message: "cluster prod: restartd's own credentials cannot be read; its operator has to renew them",
      metadata: { cluster: "prod", vendor: "kubernetes" },
      cause: { name: "CredentialsError", message: "the exec plugin ./plugin failed with 1; it says: please log in" },
    });
    expect(inspect(failure, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain("hunter2");
    expect(seen).toEqual([]);
  });

  test("is asked once by many requests at once, and once a second while it fails", async () => {
    const folder = await folderOf();
    const { url: server } = await plainServer();
    await plugin(folder, `echo x >> "$(dirname "$0")/asked"; exit 1`);
    const { get, clock } = open({ kubeconfig: await folder.kubeconfig({ server }, { exec: { command: "./plugin" } }) });
    for (const at of [0, 500, 1_000, 1_001]) {
      clock.ms = at;
      await Promise.all(Array.from({ length: 20 }, () => failureOf(get())));
    }
    const { readFile } = await import("node:fs/promises");
    expect(await readFile(join(folder.path, "asked"), "utf8")).toBe("x\nx\n");
  });
});

describe("other ways to authenticate", () => {
  test("a name and a password", async () => {
    const { url: server, seen } = await plainServer();
    const user = { username: "u", password: "p:ä" };
    await open({ kubeconfig: await (await folderOf()).kubeconfig({ server }, user) }).get();
    expect(seen).toEqual([`Basic ${base64("u:p:ä")}`]);
  });

  test("as somebody else", async () => {
    const { url, server } = await plainServer();
    const user = { token: "t", as: "ann" };
    await open({ kubeconfig: await (await folderOf()).kubeconfig({ server: url }, user) }).get();
    expect(server.requests[0]?.head).toMatch(/^Impersonate-User: ann\r?$/m);
  });

  test("as somebody in groups, each of which is a line of its own", async () => {
    const { url, server } = await plainServer();
    const user = {
      token: "t",
      as: "ann",
      "as-groups": ["a", "b, c"],
      "as-uid": "7",
      "as-user-extra": { "acme.com/team ü": ["x", "z"], none: [] },
    };
    await open({ kubeconfig: await (await folderOf()).kubeconfig({ server: url }, user) }).get();
    const head = server.requests[0]?.head ?? "";
    expect(head.split("\r\n").filter((line) => /^impersonate/i.test(line))).toEqual([
      "Impersonate-User: ann",
      "Impersonate-Group: a",
      "Impersonate-Group: b, c",
      "Impersonate-Uid: 7",
      "Impersonate-Extra-acme.com%2Fteam%20%C3%BC: x",
      "Impersonate-Extra-acme.com%2Fteam%20%C3%BC: z",
    ]);
  });

  test("as nobody else where callers are acted as, though the kubeconfig has come to say so", async () => {
    const { url, server } = await plainServer();
    const folder = await folderOf();
    const kubeconfig = await folder.kubeconfig({ server: url }, { token: "t" });
    const { get, clock } = open({ kubeconfig }, { actsAsCallers: true });
    expect(await get()).toBe(200);
    await folder.kubeconfig({ server: url }, { token: "t", as: "root" });
    clock.ms = 60_000;
    expect((await failureOf(get())).cause).toMatchObject({
      name: "CredentialsError",
      message: "the user of the kubeconfig acts as somebody else, where callers are acted as",
    });
    expect(server.requests).toHaveLength(1);
  });

  test.each(["as-groups", "as-uid", "as-user-extra"])("%s without as is refused, not ignored", async (key) => {
    const { url, server } = await plainServer();
    const said = { "as-groups": ["g"], "as-uid": "7", "as-user-extra": { a: ["b"] } }[key];
    const { get } = open({
      kubeconfig: await (await folderOf()).kubeconfig({ server: url }, { token: "t", [key]: said }),
    });
    expect((await failureOf(get())).cause).toMatchObject({
      name: "CredentialsError",
      message: expect.stringContaining(`users[0].user.${key}: must have as beside it`),
    });
    expect(server.connections).toBe(0);
  });

  test("the service account of a pod, with its rotating token", async () => {
    const root = await folderOf();
    const account = join(root.path, "var/run/secrets/kubernetes.io/serviceaccount");
    await mkdir(account, { recursive: true });
    await writeFile(join(account, "ca.crt"), authority.cert);
    await writeFile(join(account, "token"), "one\n");
    const { server } = await tlsServer();
    vi.stubEnv("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    vi.stubEnv("KUBERNETES_SERVICE_PORT", String(server.port));
    const { get, clock } = open({ inCluster: true, root: root.path });
    await get();
    await writeFile(join(account, "token"), "two\n");
    clock.ms = 1_001;
    await get();
    expect(server.requests.map(({ head }) => /^authorization: (.*)$/im.exec(head)?.[1])).toEqual([
      "Bearer one",
      "Bearer two",
    ]);
    expect(server.connections).toBe(1);
  });

  test("the service account's token is not sent in the clear, whatever the port", async () => {
    const root = await folderOf();
    const account = join(root.path, "var/run/secrets/kubernetes.io/serviceaccount");
    await mkdir(account, { recursive: true });
    await writeFile(join(account, "ca.crt"), authority.cert);
    await writeFile(join(account, "token"), "one\n");
    vi.stubEnv("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    vi.stubEnv("KUBERNETES_SERVICE_PORT", "8080");
    const { credentials } = open({ inCluster: true, root: root.path });
    expect((await credentials.connection()).server).toBe("https://127.0.0.1:8080");
  });
});

describe("the way to the server", () => {
  const other = authority.issue({ commonName: "other", usage: "server", hosts: ["k8s.test"] });

  test("an authority in a file, that is replaced", async () => {
    const folder = await folderOf();
    const { url: server } = await tlsServer();
    await folder.write("ca.crt", loopbackCertificates().authority.cert);
    const { get, clock } = open({ kubeconfig: await folder.kubeconfig({ server, "certificate-authority": "ca.crt" }) });
    expect((await failureOf(get())).cause).toMatchObject({ code: "SELF_SIGNED_CERT_IN_CHAIN" });
    await folder.write("ca.crt", authority.cert);
    clock.ms = 1_001;
    expect(await get()).toBe(200);
  });

  test("tls-server-name", async () => {
    const server = await use(startWireServer(({ socket }) => socket.write(http1(200, {})), other));
    const cluster = { server: server.url, "certificate-authority-data": ca };
    const folder = await folderOf();
    const { get, clock } = open({ kubeconfig: await folder.kubeconfig(cluster) });
    expect((await failureOf(get())).cause).toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" });
    await folder.kubeconfig({ ...cluster, "tls-server-name": "k8s.test" });
    clock.ms = 1_001;
    expect(await get()).toBe(200);
  });

  test("insecure-skip-tls-verify", async () => {
    const server = await use(startWireServer(({ socket }) => socket.write(http1(200, {})), other));
    const cluster = { server: server.url, "insecure-skip-tls-verify": true };
    expect(await open({ kubeconfig: await (await folderOf()).kubeconfig(cluster) }).get()).toBe(200);
  });

  test.each([
    ["http", startConnectProxy],
    ["socks5", startSocksProxy],
  ])("a proxy by %s, over which HTTP/2 is spoken and names are looked up there", async (scheme, startProxy) => {
    const proxy = await use(startProxy());
    const server = await use(startStreamServer(other, ({ stream }) => respond(stream, 200, {})));
    const kubeconfig = await (await folderOf()).kubeconfig({
      server: `https://k8s.test:${server.port}`,
      "certificate-authority-data": ca,
      "proxy-url": `${scheme}://127.0.0.1:${proxy.port}`,
    });
    const { get } = open({ kubeconfig });
    for (let index = 0; index < 5; index++) expect(await get()).toBe(200);
    expect([proxy.tunnels, server.connections]).toEqual([[`k8s.test:${server.port}`], 1]);
  });

  test.each([
    ["http", startConnectProxy],
    ["socks5", startSocksProxy],
  ])(
    "a proxy by %s does not loosen the check of the certificate; tls-server-name holds there too",
    async (scheme, startProxy) => {
      const proxy = await use(startProxy());
      const server = await use(startStreamServer(other, ({ stream }) => respond(stream, 200, {})));
      const cluster = {
        server: server.url,
        "certificate-authority-data": ca,
        "proxy-url": `${scheme}://127.0.0.1:${proxy.port}`,
      };
      const folder = await folderOf();
      const { get, clock } = open({ kubeconfig: await folder.kubeconfig(cluster) });
      const error = await failureOf(get());
      expect([error.sent, server.streams]).toEqual([false, []]);
      await folder.kubeconfig({ ...cluster, "tls-server-name": "k8s.test" });
      clock.ms = 1_001;
      expect(await get()).toBe(200);
    },
  );
});

describe("a kubeconfig that changes", () => {
  test("to another server and user is followed", async () => {
    const folder = await folderOf();
    const [one, two] = [await plainServer(), await plainServer()];
    const kubeconfig = await folder.kubeconfig({ server: one.url }, { token: "aa" });
    const { get, clock } = open({ kubeconfig });
    await get();
    await folder.kubeconfig({ server: two.url }, { token: "bb" });
    clock.ms = 1_001;
    await get();
    expect([one.seen, two.seen]).toEqual([["Bearer aa"], ["Bearer bb"]]);
  });

  test("by a symbolic link, as a mounted secret does, is followed, and no request fails", async () => {
    const folder = await folderOf();
    const { url: server, seen } = await plainServer();
    const put = async (name: string, token: string) => {
      await mkdir(join(folder.path, name));
      await folder.kubeconfig({ server }, { token }, `${name}/kubeconfig`);
      await symlink(name, join(folder.path, "..data-new"));
      await rename(join(folder.path, "..data-new"), join(folder.path, "..data"));
    };
    await put("v1", "one");
    await symlink("..data/kubeconfig", join(folder.path, "kubeconfig"));
    const { get, clock } = open({ kubeconfig: join(folder.path, "kubeconfig") });
    await get();
    await put("v2", "two");
    await rm(join(folder.path, "v1"), { recursive: true });
    clock.ms = 1_001;
    await get();
    expect(seen).toEqual(["Bearer one", "Bearer two"]);
  });

  const broken: Record<string, { text: string | undefined; message: string }> = {
    "that is away": { text: undefined, message: "FOLDER/kubeconfig: cannot be read: no such file or directory" },
    "that is empty": { text: "", message: "FOLDER/kubeconfig: is not a kubeconfig: it has no contexts" },
    "that is no YAML": {
      text: 'users: [{token: "hunter2',
      message: "FOLDER/kubeconfig:1:25: is not YAML: Missing closing",
    },
    "whose alias is unknown": {
      text: "password: *hunter2",
      message: "FOLDER/kubeconfig:1:11: is not YAML: an alias stands for an anchor that is not there",
    },
    "whose address is not safe": {
      text: JSON.stringify({
        "current-context": "c",
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
        clusters: [{ name: "c", cluster: { server: "http://10.0.0.1:8080" } }],
        users: [{ name: "u", user: { token: "hunter2" } }],
      }),
      message:
        'clusters[0].cluster.server: must be an https address (http only for 127.0.0.0/8, [::1] and localhost), but is "http://10.0.0.1:8080"',
    },
  };
  test.each(Object.entries(broken))(
    "to one %s serves on as it was for 10 seconds; then its requests fail",
    async (_name, { text, message }) => {
      const folder = await folderOf();
      const { url: server, seen } = await plainServer();
      const kubeconfig = await folder.kubeconfig({ server }, { token: "hunter2" });
      const { get, clock } = open({ kubeconfig });
      await get();
      if (text === undefined) await rm(kubeconfig);
      else await writeFile(kubeconfig, text);
      clock.ms = 5_000;
      expect(await get()).toBe(200);
      clock.ms = 10_000;
      expect(await get()).toBe(200);
      clock.ms = 11_001;
      const error = await failureOf(get());
      expect(error).toMatchObject({
        sent: false,
        cause: { name: "CredentialsError", message: expect.stringContaining(message.replace("FOLDER", folder.path)) },
      });
      expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain("hunter2");
      expect(seen).toHaveLength(3);
      await folder.kubeconfig({ server }, { token: "bb" });
      clock.ms = 13_000;
      expect(await get()).toBe(200);
    },
  );

  test("does not serve on with a token that the server refused", async () => {
    const folder = await folderOf();
    const { url: server } = await plainServer(() => 401);
    await folder.write("token", "old");
    const { get } = open({ kubeconfig: await folder.kubeconfig({ server }, { tokenFile: "token" }) });
    expect(await get()).toBe(401);
    await folder.write("token", "\n");
    expect((await failureOf(get())).cause).toMatchObject({
      message: expect.stringContaining('users[0].user.tokenFile: is "token", which is empty'),
    });
  });
});

describe("secrets", () => {
  test.each<[string, object, object]>([
    ["a broken key", {}, { "client-certificate-data": base64("hunter2"), "client-key-data": base64("hunter2") }],
    ["a proxy address that is none", { "proxy-url": "http://user:hunter2@[" }, { token: "hunter2" }],
    ["a proxy that is away", { "proxy-url": "http://user:hunter2@127.0.0.1:1" }, { token: "hunter2" }],
    ["a SOCKS proxy that is away", { "proxy-url": "socks5://user:hunter2@127.0.0.1:1" }, { token: "hunter2" }],
    ["a token that no header can hold", {}, { token: "hunter2\nx" }],
    ["a password that is away", {}, { username: "hunter2", password: "hunter2" }],
    ["a file that is away", {}, { tokenFile: "nowhere", token: "hunter2" }],
  ])("are in no error: %s", async (_name, cluster, user) => {
    const kubeconfig = await (await folderOf()).kubeconfig({ server: "https://127.0.0.1:1", ...cluster }, user);
    const error = await failureOf(open({ kubeconfig }).get());
    expect(error.sent).toBe(false);
    const failure = unreachable(error, { cluster: "prod", verb: "get", what: "x" });
    const { details: _, ...told } = failure;
    const shown = inspect([error, failure.message, told], {
      depth: Number.POSITIVE_INFINITY,
      showHidden: true,
      getters: true,
    });
    for (const secret of ["hunter2", base64("hunter2"), base64("hunter2:hunter2"), base64("user:hunter2")]) {
      const at = shown.indexOf(secret);
      expect(at < 0 ? "" : shown.slice(at - 200, at + 100)).toBe("");
    }
  });
});

describe("connection()", () => {
  test("costs next to nothing between two looks", async () => {
    const { credentials } = open({
      kubeconfig: await (await folderOf()).kubeconfig({ server: "https://127.0.0.1:1" }),
    });
    await credentials.connection();
    const begun = process.cpuUsage();
    for (let index = 0; index < 10_000; index++) await credentials.connection();
    expect(process.cpuUsage(begun).user / 10_000).toBeLessThan(20); // microseconds
  });

  test("rejects once it is closed", async () => {
    const { credentials } = open({
      kubeconfig: await (await folderOf()).kubeconfig({ server: "https://127.0.0.1:1" }),
    });
    await credentials[Symbol.asyncDispose]();
    await expect(credentials.connection()).rejects.toThrow("the cluster is closed");
  });
});
