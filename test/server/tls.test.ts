import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { createAuthority } from "../cluster/certificates.ts";
import { temporaryFolder } from "../support/folder.ts";
import { runProgram, startProgram } from "../support/program.ts";

const TOKEN = "rsd_test";
const AUTHORIZATION = { authorization: `Bearer ${TOKEN}` };
const CLUSTERS = "/restart.kubernetes.v1.WorkloadService/ListClusters";

/** A folder with a configuration that is served over TLS, and its authority. */
async function prepare(sections: Record<string, unknown> = {}) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const authority = createAuthority("restartd test");
  const issue = async (hosts = ["localhost", "127.0.0.1"]) => {
    const { cert, key } = authority.issue({ commonName: "server", usage: "server", hosts });
    // The key first: the pair does not fit until the certificate is there too.
    await folder.write("tls.key", key);
    await folder.write("tls.crt", cert);
    return cert;
  };
  await issue();
  const kubeconfig = await folder.kubeconfig({ server: "http://127.0.0.1:1" });
  await folder.write("tokens.yaml", stringify([{ name: "test", sha256: hashOf(TOKEN) }]));
  const file = await folder.write(
    "restartd.yaml",
    stringify({
      listen: "127.0.0.1:0",
      tls: { certificate: "tls.crt", key: { file: "tls.key" } },
      authentication: { tokens: { file: "tokens.yaml" } },
      authorization: { rules: [{ name: "all", permissions: ["*"], targets: ["**"] }] },
      kubernetes: { clusters: [{ name: "a", kubeconfig }] },
      ...sections,
    }),
  );
  const parts = stack.move();
  return { folder, file, authority, issue, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

/** One call over HTTPS, by HTTP/1.1, on a connection of its own. */
async function call(url: string, ca: string, headers: Record<string, string> = {}, path = CLUSTERS) {
  const agent = new Agent({ ca, keepAlive: false });
  const request = httpsRequest(`${url}${path}`, {
    agent,
    servername: "localhost", // the certificate's name, whatever the request says
    method: "POST",
    headers: { "content-type": "application/json", ...AUTHORIZATION, ...headers },
  });
  request.end("{}");
  const [response] = await once(request, "response");
  const certificate = (response.socket as TLSSocket).getPeerCertificate();
  response.resume();
  await once(response, "end");
  return { status: response.statusCode as number, serial: certificate.serialNumber };
}

describe("TLS", () => {
  it("is spoken over HTTP/1.1 and HTTP/2 on one port, in every protocol", async () => {
    await using made = await prepare();
    await using program = await startProgram(["--config", made.file]);
    expect(program.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const { cert: ca } = made.authority;
    const headers = AUTHORIZATION;
    for (const transport of [
      createConnectTransport({ baseUrl: program.url, httpVersion: "1.1", nodeOptions: { ca } }),
      createConnectTransport({ baseUrl: program.url, httpVersion: "2", nodeOptions: { ca } }),
      createGrpcTransport({ baseUrl: program.url, nodeOptions: { ca } }),
    ]) {
      const { clusters } = await createClient(WorkloadService, transport).listClusters({}, { headers });
      expect(clusters.map(({ name }) => name)).toEqual(["a"]);
    }
  });

  it.each([
    [["h2", "http/1.1"], "h2"],
    [["http/1.1"], "http/1.1"],
    [undefined, false],
  ])("chooses by what the client offers: %j", async (offered, chosen) => {
    await using made = await prepare();
    await using program = await startProgram(["--config", made.file]);
    const { port } = new URL(program.url);
    const socket = connectTls({
      port: Number(port),
      host: "127.0.0.1",
      ca: made.authority.cert,
      ...(offered && { ALPNProtocols: [...offered] }),
    });
    await once(socket, "secureConnect");
    expect(socket.alpnProtocol).toBe(chosen);
    socket.destroy();
  });

  it("is not done without, and not below the oldest version", async () => {
    await using made = await prepare({ tls: { certificate: "tls.crt", key: { file: "tls.key" }, min_version: "1.3" } });
    await using program = await startProgram(["--config", made.file]);
    const { port } = new URL(program.url);
    const plain = connectTcp(Number(port), "127.0.0.1");
    plain.on("error", () => {});
    let answered = "";
    plain.on("data", (chunk: Buffer) => {
      answered += chunk.toString("latin1");
    });
    plain.write(`POST ${CLUSTERS} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`);
    await once(plain, "close");
    expect(answered).not.toContain("HTTP/1.1");
    const old = connectTls({ port: Number(port), host: "127.0.0.1", ca: made.authority.cert, maxVersion: "TLSv1.2" });
    const [error] = await once(old, "error");
    expect(String(error)).toMatch(/alert protocol version/i);
  });

  it("takes the names of the certificate, and no others but for probes", async () => {
    await using made = await prepare();
    await using program = await startProgram(["--config", made.file]);
    const ca = made.authority.cert;
    expect((await call(program.url, ca, { host: "localhost" })).status).toBe(200);
    expect((await call(program.url, ca, { host: "localhost:9999" })).status).toBe(200);
    for (const host of ["evil.example", "127.0.0.2", "localhost.evil.example", "xlocalhost"]) {
      expect((await call(program.url, ca, { host })).status).toBe(403);
      expect((await call(program.url, ca, { host }, "/grpc.health.v1.Health/Check")).status).toBe(200);
      expect((await call(program.url, ca, { host }, "/grpc.health.v1.Health/List")).status).toBe(403);
    }
    expect((await call(program.url, ca, { "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await call(program.url, ca, { origin: "https://evil.example" })).status).toBe(403);
  });

  it("takes the names that the configuration says in place of them", async () => {
    await using made = await prepare({ hosts: ["restartd.example.com", "::1"] });
    await using program = await startProgram(["--config", made.file]);
    const ca = made.authority.cert;
    for (const host of [
      "restartd.example.com",
      "RESTARTD.example.com:443",
      "restartd.example.com.",
      "[::1]:8443",
      "[0:0::1]",
    ]) {
      expect((await call(program.url, ca, { host })).status).toBe(200);
    }
    expect((await call(program.url, ca, { host: "localhost" })).status).toBe(403);
  });

  it("has a new certificate without a call dropped; what does not fit leaves the one of before", async () => {
    await using made = await prepare();
    await using program = await startProgram(["--config", made.file]);
    const ca = made.authority.cert;
    const before = await call(program.url, ca);
    const session = connectHttp2(program.url, { ca });
    await new Promise((resolve) => session.ping(resolve));
    const other = createAuthority("other").issue({ commonName: "x", usage: "server", hosts: ["localhost"] });
    await made.folder.write("tls.crt", other.cert); // not the key's
    const wrong = await program.line(({ msg }) => msg === "the certificate of before is served on");
    expect(wrong.detail).toContain('"tls.crt" is not the certificate of the key');
    expect((await call(program.url, ca)).serial).toBe(before.serial);
    await made.issue();
    await program.line(({ msg }) => msg === "a new certificate is served");
    const after = await call(program.url, ca);
    expect(after.status).toBe(200);
    expect(after.serial).not.toBe(before.serial);
    // The connection of before goes on.
    const stream = session.request({
      ":method": "POST",
      ":path": CLUSTERS,
      "content-type": "application/json",
      ...AUTHORIZATION,
    });
    stream.end("{}");
    const [headers] = await once(stream, "response");
    expect(headers[":status"]).toBe(200);
    stream.resume();
    session.close();
    await once(session, "close");
  });

  it("ends with the program, connections without a handshake first", async () => {
    await using made = await prepare();
    await using program = await startProgram(["--config", made.file]);
    const { port } = new URL(program.url);
    const silent = connectTcp(Number(port), "127.0.0.1");
    silent.on("error", () => {});
    await once(silent, "connect");
    const session = connectHttp2(program.url, { ca: made.authority.cert });
    // With TLS 1.3 a client is connected before the server knows: only an answer shows that its handshake is over there too.
    await new Promise((resolve) => session.ping(resolve));
    // A process that ends while the client's goodbye is on its way resets the connection: no call is on it.
    session.on("error", () => {});
    const closed = [silent, session].map((open) => new Promise((resolve) => open.once("close", resolve)));
    expect(await program.stop()).toBe(0);
    await Promise.all(closed);
  });
});

describe("what is unsafe does not start", () => {
  const NO_ACCESS = { authentication: undefined, authorization: undefined };

  it.each([
    [
      "listening beyond loopback without authentication",
      { listen: "0.0.0.0:0", ...NO_ACCESS },
      /listen: must be a loopback address .* as long as calls are not authenticated, but is "0\.0\.0\.0:0"/,
    ],
    [
      "listening beyond loopback without TLS",
      { listen: "[::]:0", tls: undefined },
      /listen: must be a loopback address as long as there is no tls: tokens would be sent in clear/,
    ],
    [
      "a proxy without names",
      { tls: { terminated_by_proxy: true } },
      /tls\.terminated_by_proxy: must have hosts beside it/,
    ],
    [
      "a proxy without authentication",
      { tls: { terminated_by_proxy: true }, hosts: ["a.example"], ...NO_ACCESS },
      /tls\.terminated_by_proxy: must have authentication beside it/,
    ],
    [
      "a proxy and a certificate",
      { tls: { terminated_by_proxy: true, certificate: "tls.crt" }, hosts: ["a.example"] },
      /tls: must have nothing beside terminated_by_proxy/,
    ],
    ["a certificate without a key", { tls: { certificate: "tls.crt" } }, /tls: must have certificate and key/],
    ["nothing", { tls: {} }, /tls: must have certificate and key, or terminated_by_proxy: true/],
    [
      "an old version",
      { tls: { certificate: "tls.crt", key: { file: "tls.key" }, min_version: "1.1" } },
      /min_version: must be "1\.2" or "1\.3"/,
    ],
    [
      "no file",
      { tls: { certificate: "no.crt", key: { file: "tls.key" } } },
      /tls\.certificate: "no\.crt" cannot be read: no such file/,
    ],
    [
      "no certificate",
      { tls: { certificate: "tls.key", key: { file: "tls.key" } } },
      /tls\.certificate: "tls\.key" must begin with a certificate in PEM/,
    ],
    [
      "no key",
      { tls: { certificate: "tls.crt", key: { file: "tls.crt" } } },
      /the key must be a private key in PEM, without a passphrase \(what it is instead is not shown\)/,
    ],
    [
      "another's key",
      { tls: { certificate: "tls.crt", key: { file: "other.key" } } },
      /"tls\.crt" is not the certificate of the key/,
    ],
    [
      "a certificate that has ended",
      { tls: { certificate: "old.crt", key: { file: "old.key" } } },
      /"old\.crt" has ended on/,
    ],
    [
      "a host with a port",
      { hosts: ["a.example:443"] },
      /hosts\[0\]: must be a host name or an address without a port/,
    ],
    ["a host in capitals", { hosts: ["A.example"] }, /hosts\[0\]: must be a host name or an address/],
    ["a host twice", { hosts: ["a.example", "a.example"] }, /hosts: must not name a host twice/],
  ])("%s", async (_, sections, wrong) => {
    await using made = await prepare(sections);
    const other = made.authority.issue({ commonName: "other", usage: "server", hosts: ["localhost"] });
    const old = made.authority.issue({ commonName: "old", usage: "server", hosts: ["localhost"], expired: true });
    await writeFile(`${made.folder.path}/other.key`, other.key);
    await writeFile(`${made.folder.path}/old.key`, old.key);
    await writeFile(`${made.folder.path}/old.crt`, old.cert);
    const { code, stderr } = await runProgram(["--config", made.file]);
    expect(stderr).toMatch(wrong);
    expect(stderr).not.toContain("PRIVATE KEY");
    expect(code).toBe(2);
  });

  it("beside --listen on the command line, which is named", async () => {
    await using made = await prepare(NO_ACCESS);
    const { code, stderr } = await runProgram(["--config", made.file, "--listen", "0.0.0.0:0"]);
    expect(stderr).toMatch(/--listen: must be a loopback address/);
    expect(code).toBe(2);
  });
});

describe("terminated_by_proxy", () => {
  it("speaks plain HTTP to the names that the proxy has", async () => {
    await using made = await prepare({ tls: { terminated_by_proxy: true }, hosts: ["restartd.example.com"] });
    await using program = await startProgram(["--config", made.file]);
    expect(program.url).toMatch(/^http:/);
    const ask = async (host: string) => {
      const headers = { "content-type": "application/json", host, ...AUTHORIZATION };
      const request = httpRequest(`${program.url}${CLUSTERS}`, { method: "POST", agent: false, headers });
      request.end("{}");
      const [response] = await once(request, "response");
      response.resume();
      return response.statusCode;
    };
    expect(await ask("restartd.example.com")).toBe(200);
    expect(await ask("127.0.0.1")).toBe(403);
  });
});

describe("listening beyond loopback", () => {
  it("is for servers that ask who calls and encrypt", async () => {
    await using made = await prepare({ listen: "0.0.0.0:0" });
    await using program = await startProgram(["--config", made.file]);
    const { port } = new URL(program.url);
    expect((await call(`https://127.0.0.1:${port}`, made.authority.cert)).status).toBe(200);
  });
});
