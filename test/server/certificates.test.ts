import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { createCertificateVerifier, type PeerCertificate } from "../../src/access/certificates.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { Failure } from "../../src/core/errors.ts";
import { type Authority, type Certified, createAuthority } from "../cluster/certificates.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { type Program, runProgram, startProgram } from "../support/program.ts";

const WHO_AM_I = "/restart.access.v1.AccessService/WhoAmI";
const ANN = "spiffe://td.example/ns/shop/sa/ann";
const NOON = Date.UTC(2026, 0, 31, 12);

const GOOD: PeerCertificate = {
  untrusted: undefined,
  subjectAltName: `URI:${ANN}`,
  expireTime: NOON + 1000,
  fingerprint: "AB",
};

function whyOf(more: Partial<PeerCertificate>): unknown {
  try {
    return createCertificateVerifier("td.example", () => new Date(NOON))({ ...GOOD, ...more }).principal.id;
  } catch (error) {
    if (error instanceof Failure) return error.metadata.why;
    throw error;
  }
}

describe("createCertificateVerifier()", () => {
  it.each<[string, Partial<PeerCertificate>, string]>([
    ["a good one", {}, `cert:${ANN}`],
    [
      "names of hosts beside the id",
      { subjectAltName: `DNS:a.example, URI:${ANN}, IP Address:10.0.0.1` },
      `cert:${ANN}`,
    ],
    ["another authority", { untrusted: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }, "CERTIFICATE_UNTRUSTED"],
    ["its own authority", { untrusted: "DEPTH_ZERO_SELF_SIGNED_CERT" }, "CERTIFICATE_UNTRUSTED"],
    ["a server's purpose", { untrusted: "INVALID_PURPOSE" }, "CERTIFICATE_UNTRUSTED"],
    ["an end in the past", { untrusted: "CERT_HAS_EXPIRED" }, "CERTIFICATE_EXPIRED"],
    ["an end since its connection was made", { expireTime: NOON }, "CERTIFICATE_EXPIRED"],
    ["no end that can be read", { expireTime: Number.NaN, untrusted: "CERT_HAS_EXPIRED" }, "CERTIFICATE_EXPIRED"],
    ["a place in the list of revoked ones", { untrusted: "CERT_REVOKED" }, "CERTIFICATE_REVOKED"],
    ["no name", { subjectAltName: "" }, "CERTIFICATE_IDENTITY"],
    ["no URI", { subjectAltName: "DNS:td.example" }, "CERTIFICATE_IDENTITY"],
    ["two URIs", { subjectAltName: `URI:${ANN}, URI:${ANN}` }, "CERTIFICATE_IDENTITY"],
    ["another URI beside", { subjectAltName: `URI:${ANN}, URI:https://a.example` }, "CERTIFICATE_IDENTITY"],
    ["another trust domain", { subjectAltName: "URI:spiffe://evil.example/ns/shop" }, "CERTIFICATE_IDENTITY"],
    ["a trust domain that begins alike", { subjectAltName: "URI:spiffe://td.example.evil/ns" }, "CERTIFICATE_IDENTITY"],
    ["a trust domain in capitals", { subjectAltName: "URI:spiffe://TD.example/ns" }, "CERTIFICATE_IDENTITY"],
    ["the trust domain alone", { subjectAltName: "URI:spiffe://td.example" }, "CERTIFICATE_IDENTITY"],
    ["the trust domain and a slash", { subjectAltName: "URI:spiffe://td.example/" }, "CERTIFICATE_IDENTITY"],
    ["an empty segment", { subjectAltName: "URI:spiffe://td.example/a//b" }, "CERTIFICATE_IDENTITY"],
    ["a way up", { subjectAltName: "URI:spiffe://td.example/a/../b" }, "CERTIFICATE_IDENTITY"],
    ["a user in it", { subjectAltName: "URI:spiffe://x@td.example/a" }, "CERTIFICATE_IDENTITY"],
    ["a query", { subjectAltName: `URI:${ANN}?a=b` }, "CERTIFICATE_IDENTITY"],
    ["an escape", { subjectAltName: "URI:spiffe://td.example/a%2Fb" }, "CERTIFICATE_IDENTITY"],
    [
      "a comma that Node quotes",
      { subjectAltName: `URI:"spiffe://td.example/x\\u002cURI:${ANN}"` },
      "CERTIFICATE_IDENTITY",
    ],
    ["a quoted name beside", { subjectAltName: `DNS:"a\\u002c URI:${ANN}", URI:${ANN}` }, "CERTIFICATE_IDENTITY"],
  ])("takes or refuses one with %s", (_, more, expected) => expect(whyOf(more)).toBe(expected));

  it("would be found out if it believed the name alone", () => {
    // Node hands over the name of a certificate that nobody trusts.
    const byName = ({ subjectAltName }: PeerCertificate) => /URI:([^,]+)/.exec(subjectAltName)?.[1];
    const quoted = { ...GOOD, subjectAltName: `URI:"spiffe://td.example/x\\u002cURI:${ANN}"` };
    expect(byName({ ...GOOD, untrusted: "DEPTH_ZERO_SELF_SIGNED_CERT" })).toBe(ANN);
    // Half of a quoted text, which begins with the trust domain all the same.
    expect(byName(quoted)).toContain("spiffe://td.example/x");
  });

  it("ends what began with it when it ends", () => {
    let now = NOON;
    const { lapsed } = createCertificateVerifier("td.example", () => new Date(now))(GOOD);
    expect(lapsed()).toBeUndefined();
    now += 1000;
    expect(lapsed()?.metadata).toEqual({ why: "EXPIRED", authenticator: "cert" });
  });
});

describe("client certificates", () => {
  let folder: Folder;
  let program: Program;
  let authority: Authority;
  let other: Authority;
  const files = { ca: "clients.pem", crl: "clients.crl" };

  /** The list of revoked certificates, as openssl makes it. */
  async function revoke(certificates: readonly Certified[]): Promise<void> {
    const lines = certificates.map(
      ({ cert }) => `R\t350101000000Z\t250101000000Z\t${new X509Certificate(cert).serialNumber}\tunknown\t/CN=x\n`,
    );
    await folder.write("index.txt", lines.join(""));
    await folder.write("ca.key", authority.key);
    await folder.write("ca.crt", authority.cert);
    const config = await folder.write(
      "ca.cnf",
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${folder.path}/index.txt\ndefault_md=sha256\ndefault_crl_days=30\n`,
    );
    const out = `${folder.path}/new.crl`;
    await promisify(execFile)("openssl", [
      "ca",
      "-config",
      config,
      "-gencrl",
      "-keyfile",
      `${folder.path}/ca.key`,
      "-cert",
      `${folder.path}/ca.crt`,
      "-out",
      out,
    ]);
    await folder.write(files.crl, await readFile(out, "utf8"));
  }

  beforeAll(async () => {
    folder = await temporaryFolder();
    authority = createAuthority("clients");
    other = createAuthority("others");
    const { cert, key } = authority.issue({ commonName: "server", usage: "server", hosts: ["localhost", "127.0.0.1"] });
    await folder.write("tls.crt", cert);
    await folder.write("tls.key", key);
    await folder.write(files.ca, authority.cert);
    await revoke([]);
    await folder.write("tokens.yaml", stringify([{ name: "test", sha256: hashOf("rsd_test") }]));
    const kubeconfig = await folder.kubeconfig({ server: "http://127.0.0.1:1" });
    const file = await folder.write(
      "restartd.yaml",
      stringify({
        listen: "127.0.0.1:0",
        tls: { certificate: "tls.crt", key: { file: "tls.key" } },
        authentication: { tokens: { file: "tokens.yaml" }, certificates: { ...files, trust_domain: "td.example" } },
        authorization: { rules: [{ name: "all", permissions: ["*"], targets: ["**"] }] },
        kubernetes: { clusters: [{ name: "a", kubeconfig }] },
      }),
    );
    program = await startProgram(["--config", file]);
  });

  afterAll(async () => {
    await program?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const client = (uris: readonly string[], by: Authority = authority, more: object = {}) =>
    by.issue({ commonName: "client", usage: "client", uris, ...more });

  /** Who a caller is, or the word that it is refused with. */
  async function whoAmI(
    certificate?: Certified,
    headers: Record<string, string> = {},
    path = WHO_AM_I,
  ): Promise<string> {
    const agent = new Agent({ ca: authority.cert, keepAlive: false, ...certificate });
    const request = httpsRequest(`${program.url}${path}`, {
      agent,
      method: "POST",
      servername: "localhost",
      headers: { "content-type": "application/json", ...headers },
    });
    request.end("{}");
    const [response] = await once(request, "response");
    let text = "";
    for await (const chunk of response) text += chunk;
    return /"why":"(\w+)"/.exec(text)?.[1] ?? /"principal":"([^"]+)"/.exec(text)?.[1] ?? text;
  }

  const BEARER = { authorization: "Bearer rsd_test" };

  it("say who calls, over HTTP/1.1 and HTTP/2", async () => {
    const ann = client([ANN]);
    expect(await whoAmI(ann)).toBe(`cert:${ANN}`);
    const session = connectHttp2(program.url, { ca: authority.cert, ...ann });
    const stream = session.request({ ":method": "POST", ":path": WHO_AM_I, "content-type": "application/json" });
    stream.end("{}");
    let text = "";
    for await (const chunk of stream) text += chunk;
    expect(text).toContain(`"principal":"cert:${ANN}"`);
    session.destroy();
  });

  it("are not asked of everybody", async () => {
    expect(await whoAmI()).toBe("NO_CREDENTIALS");
    expect(await whoAmI(undefined, BEARER)).toBe("token:test");
    expect(await whoAmI(undefined, {}, "/grpc.health.v1.Health/Check")).toContain("SERVING");
  });

  it("are the channel's where there is a token, and are judged all the same", async () => {
    expect(await whoAmI(client([ANN]), BEARER)).toBe("token:test");
    expect(await whoAmI(client([ANN], other), BEARER)).toBe("CERTIFICATE_UNTRUSTED");
    expect(await whoAmI(client([ANN], other), {}, "/grpc.health.v1.Health/Check")).toBe("CERTIFICATE_UNTRUSTED");
    expect(await whoAmI(client([ANN]), { authorization: "Bearer rsd_none" })).toBe("UNKNOWN_TOKEN");
  });

  it.each<[string, () => Certified, string]>([
    ["of another authority", () => client([ANN], other), "CERTIFICATE_UNTRUSTED"],
    ["that has expired", () => client([ANN], authority, { expired: true }), "CERTIFICATE_EXPIRED"],
    ["for servers", () => authority.issue({ commonName: "x", usage: "server", uris: [ANN] }), "CERTIFICATE_UNTRUSTED"],
    ["without an id", () => client([]), "CERTIFICATE_IDENTITY"],
    ["with two", () => client([ANN, `${ANN}2`]), "CERTIFICATE_IDENTITY"],
    ["of another trust domain", () => client(["spiffe://evil.example/a"]), "CERTIFICATE_IDENTITY"],
    ["with a comma in it", () => client([`spiffe://td.example/x,URI:${ANN}`]), "CERTIFICATE_IDENTITY"],
  ])("are refused that are %s", async (_, make, why) => expect(await whoAmI(make())).toBe(why));

  it("that are revoked while the server runs are refused, on connections of before as well", async () => {
    const bob = client(["spiffe://td.example/bob"]);
    expect(await whoAmI(bob)).toBe("cert:spiffe://td.example/bob");
    const session = connectHttp2(program.url, { ca: authority.cert, ...bob });
    // With TLS 1.3 a client is connected before the server knows: only an answer shows that its handshake is over there too.
    await new Promise((resolve) => session.ping(resolve));
    const away = once(session, "goaway");
    await revoke([bob]);
    await program.line(({ msg }) => msg === "clients are judged by new authorities");
    await away;
    expect(await whoAmI(bob)).toBe("CERTIFICATE_REVOKED");
    expect(await whoAmI(client([ANN]))).toBe(`cert:${ANN}`);
    session.destroy();
  });

  it.each<[string, object, RegExp]>([
    [
      "a proxy that ends TLS",
      { tls: { terminated_by_proxy: true }, hosts: ["a.example"] },
      /certificates: must have tls with a certificate beside it/,
    ],
    [
      "no authority",
      { authentication: { certificates: { ca: "tls.crt", trust_domain: "td.example" } } },
      /certificates: "tls\.crt" has no certificate of an authority/,
    ],
    [
      "no file",
      { authentication: { certificates: { ca: "no.pem", trust_domain: "td.example" } } },
      /"no\.pem" cannot be read/,
    ],
    [
      "no list",
      { authentication: { certificates: { ...files, crl: "tls.crt", trust_domain: "td.example" } } },
      /"tls\.crt" is no list of revoked/,
    ],
    [
      "no trust domain",
      { authentication: { certificates: { ca: files.ca } } },
      /trust_domain: must be the name of a trust domain/,
    ],
  ])("are not asked for with %s", async (_, more, wrong) => {
    const sections = {
      listen: "127.0.0.1:0",
      tls: { certificate: "tls.crt", key: { file: "tls.key" } },
      authentication: { certificates: { ...files, trust_domain: "td.example" } },
      authorization: { rules: [{ name: "all", permissions: ["*"], targets: ["**"] }] },
      kubernetes: { clusters: [{ name: "a", in_cluster: true }] },
      ...more,
    };
    const file = await folder.write("wrong.yaml", stringify(sections));
    const { code, stderr } = await runProgram(["--config", file], {
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: "1",
    });
    expect(stderr).toMatch(wrong);
    expect(code).toBe(2);
  });
});
