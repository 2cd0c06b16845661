import { constants } from "node:http2";
import { connect } from "node:net";
import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { AnswerTooLarge, NoAnswer } from "../../../src/clouds/http.ts";
import { createAuthority } from "../../cluster/certificates.ts";
import { loopbackCertificates, openClusterClient, TOKEN } from "../../support/cluster-client.ts";
import { http1, respond, startStreamServer, startWireServer, type WireRequest } from "../../support/wire-server.ts";
import { within } from "../../support/within.ts";

const { authority, certified, ca } = loopbackCertificates();
let cleanup = new AsyncDisposableStack();
afterEach(async () => {
  await cleanup.disposeAsync();
  cleanup = new AsyncDisposableStack();
});
const use = async <Resource extends AsyncDisposable>(resource: Promise<Resource>): Promise<Resource> =>
  cleanup.use(await resource);

const failure = async (work: Promise<unknown>): Promise<NoAnswer> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(NoAnswer);
  return error as NoAnswer;
};

describe("request()", () => {
  test("is these bytes over HTTP/1.1", async () => {
    const server = await use(startWireServer(({ socket }) => socket.write(http1(200, {}))));
    const { send } = await use(openClusterClient({ server: server.url }));
    await send({
      method: "PATCH",
      path: "/apis/apps/v1/namespaces/shop/deployments/web",
      query: { fieldManager: "a b&c=d/é", dryRun: undefined, timeout: "1ms" },
      headers: { "audit-id": "id-1" },
      contentType: "application/json-patch+json",
      body: [{ op: "test", path: "/é" }],
    });
    await send();
    expect(server.requests.map(({ head, body }) => ({ head: head.split("\r\n"), body }))).toEqual([
      {
        head: [
          "PATCH /apis/apps/v1/namespaces/shop/deployments/web?fieldManager=a+b%26c%3Dd%2F%C3%A9&timeout=1ms HTTP/1.1",
          `host: 127.0.0.1:${server.port}`,
          "connection: keep-alive",
          `Authorization: Bearer ${TOKEN}`,
          "accept: application/json",
          "user-agent: restartd/test",
          "content-type: application/json-patch+json",
          "audit-id: id-1",
          "content-length: 28",
        ],
        body: '[{"op":"test","path":"/é"}]',
      },
      {
        head: [
          "GET /x HTTP/1.1",
          `host: 127.0.0.1:${server.port}`,
          "connection: keep-alive",
          `Authorization: Bearer ${TOKEN}`,
          "accept: application/json",
          "user-agent: restartd/test",
        ],
        body: "",
      },
    ]);
  });

  test("is these headers over HTTP/2", async () => {
    const headers: object[] = [];
    const server = await use(
      startStreamServer(certified, (request) => {
        headers.push({ ...Object.fromEntries(Object.entries(request.headers)), body: request.body });
        respond(request.stream, 200, {});
      }),
    );
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    await send({ method: "PATCH", path: "/p", query: { a: "1" }, headers: { "audit-id": "id-1" }, body: { x: 1 } });
    expect(headers).toEqual([
      {
        ":authority": `127.0.0.1:${server.port}`,
        ":method": "PATCH",
        ":path": "/p?a=1",
        ":scheme": "https",
        authorization: `Bearer ${TOKEN}`,
        accept: "application/json",
        "user-agent": "restartd/test",
        "content-type": "application/json",
        "audit-id": "id-1",
        "content-length": "7",
        body: '{"x":1}',
      },
    ]);
  });

  test("keeps the path of a server's address", async () => {
    const server = await use(startWireServer(({ socket }) => socket.write(http1(200, {}))));
    const { send } = await use(openClusterClient({ server: `${server.url}/k8s/clusters/c-1/` }));
    await send({ path: "/api" });
    expect(server.requests.map(({ target }) => target)).toEqual(["/k8s/clusters/c-1/api"]);
  });

  test("gives the answer, whatever its status", async () => {
    const server = await use(
      startWireServer(({ socket }) =>
        socket.write("HTTP/1.1 503 X\r\nRetry-After: 3\r\nWarning: a\r\nwarning: b\r\ncontent-length: 4\r\n\r\nbusy"),
      ),
    );
    const { send } = await use(openClusterClient({ server: server.url }));
    expect(await send()).toEqual({
      status: 503,
      headers: { "retry-after": "3", warning: "a, b", "content-length": "4" },
      json: undefined,
      text: "busy",
    });
  });

  test("keeps the first 2,048 characters of an answer's text", async () => {
    const server = await use(startWireServer(({ socket }) => socket.write(http1(200, { a: "x".repeat(10_000) }))));
    const { send } = await use(openClusterClient({ server: server.url }));
    const { text, json } = await send();
    expect([text.length, json]).toEqual([2_048, { a: "x".repeat(10_000) }]);
  });

  test.each([301, 302, 303, 307, 308])("does not follow a %i, to itself or to elsewhere", async (status) => {
    const elsewhere = await use(startWireServer(({ socket }) => socket.write(http1(200, {}))));
    const server = await use(
      startWireServer(({ socket }) => socket.write(http1(status, {}, `location: ${elsewhere.url}/x\r\n`))),
    );
    const { send } = await use(openClusterClient({ server: server.url }));
    for (const method of ["GET", "PATCH"] as const) {
      expect((await send({ method })).status).toBe(status);
    }
    expect([server.requests.length, elsewhere.connections]).toEqual([2, 0]);
  });

  test("refuses an answer over its limit, and goes on", async () => {
    const server = await use(
      startStreamServer(certified, ({ stream, path }) =>
        respond(stream, 200, path === "/big" ? "x".repeat(100_000) : 1),
      ),
    );
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    const error = await failure(send({ method: "PATCH", path: "/big", maxBytes: 50_000 }));
    expect([error.sent, error.cause]).toEqual([true, new AnswerTooLarge(200, 50_000)]);
    expect((await send()).json).toBe(1);
    expect(server.connections).toBe(1);
  });
});

describe("NoAnswer.sent is false", () => {
  const unsent = async (cluster: object, code: string | RegExp, timeoutMs = 5_000) => {
    const { send } = await use(openClusterClient(cluster));
    for (const method of ["GET", "PATCH"] as const) {
      const error = await failure(send({ method, timeoutMs }));
      expect([error.sent, error.message]).toEqual([false, "the request could not be sent"]);
      expect((error.cause as { code?: string }).code ?? (error.cause as Error).message).toMatch(code);
      expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain(TOKEN);
    }
  };
  const tlsServer = (tls = certified) => use(startStreamServer(tls, ({ stream }) => respond(stream, 200, {})));

  test("where nobody listens", async () => {
    const server = await startWireServer(() => {});
    await server[Symbol.asyncDispose]();
    await unsent({ server: server.url }, /^ECONNREFUSED$/);
  });

  test("where the name is unknown", () => unsent({ server: "https://nowhere.invalid" }, /^(ENOTFOUND|EAI_AGAIN)$/));

  test("where the authority is unknown", async () => {
    const other = Buffer.from(createAuthority("another authority").cert).toString("base64");
    const server = await tlsServer();
    await unsent({ server: server.url, "certificate-authority-data": other }, /^UNABLE_TO_VERIFY_LEAF_SIGNATURE$/);
    expect(server.streams).toEqual([]);
  });

  test("where no authority is configured", async () => {
    await unsent({ server: (await tlsServer()).url }, /^UNABLE_TO_VERIFY_LEAF_SIGNATURE$/);
  });

  test("where the certificate is another host's", async () => {
    const server = await tlsServer(authority.issue({ commonName: "other", usage: "server", hosts: ["other.test"] }));
    await unsent({ server: server.url, "certificate-authority-data": ca }, /^ERR_TLS_CERT_ALTNAME_INVALID$/);
  });

  test("where the certificate has expired", async () => {
    const expired = authority.issue({ commonName: "x", usage: "server", hosts: ["127.0.0.1"], expired: true });
    const server = await tlsServer(expired);
    await unsent({ server: server.url, "certificate-authority-data": ca }, /^CERT_HAS_EXPIRED$/);
  });

  test("where no TLS is spoken", async () => {
    const server = await use(startWireServer(() => {}));
    for (const socket of server.sockets) socket.destroy();
    await unsent({ server: server.url.replace("http", "https") }, "there was no connection within 300 ms", 300);
  });

  test("where the handshake is cut off", async () => {
    const server = await use(startWireServer(() => {}));
    const { send } = await use(openClusterClient({ server: server.url.replace("http", "https") }));
    const pending = failure(send({ method: "PATCH" }));
    await expect.poll(() => server.sockets.size).toBe(1);
    for (const socket of server.sockets) socket.resetAndDestroy();
    expect((await pending).sent).toBe(false);
  });

  test.each([403, 407, 502])("where a proxy refuses CONNECT with %i", async (status) => {
    const proxy = await use(startWireServer(({ socket }) => socket.end(http1(status, {}))));
    await unsent(
      { server: "https://127.0.0.1:1", "proxy-url": proxy.url.replace("//", "//name:secret@") },
      /^UND_ERR_ABORTED$/,
    );
    expect(proxy.requests[0]?.head.split("\r\n")).toEqual(
      expect.arrayContaining([
        "CONNECT 127.0.0.1:1 HTTP/1.1",
        `proxy-authorization: Basic ${Buffer.from("name:secret").toString("base64")}`,
      ]),
    );
    expect(proxy.requests.map(({ head }) => head).join()).not.toContain(TOKEN);
  });

  test("where a proxy does not answer", async () => {
    const proxy = await use(startWireServer(() => {}));
    await unsent(
      { server: "https://127.0.0.1:1", "proxy-url": proxy.url },
      "there was no connection within 300 ms",
      300,
    );
  });

  test("where the proxy is away", async () => {
    const proxy = await startWireServer(() => {});
    await proxy[Symbol.asyncDispose]();
    await unsent({ server: "https://127.0.0.1:1", "proxy-url": proxy.url }, /^ECONNREFUSED$/);
  });
});

describe("NoAnswer.sent is true over HTTP/1.1", () => {
  const json = "content-type: application/json\r\n";
  const endings: Record<string, (request: WireRequest) => void> = {
    "reset before an answer": ({ socket }) => socket.resetAndDestroy(),
    "end before an answer": ({ socket }) => socket.end(),
    "end in the head": ({ socket }) => socket.end("HTTP/1.1 200 OK\r\nconte"),
    garbage: ({ socket }) => socket.end("SSH-2.0-OpenSSH\r\n"),
    "reset in the body": ({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\n${json}content-length: 10\r\n\r\n{"a"`, () => socket.resetAndDestroy());
    },
    "truncated body": ({ socket }) => socket.end(`HTTP/1.1 200 OK\r\n${json}content-length: 10\r\n\r\n{"a"`),
    "truncated chunks": ({ socket }) =>
      socket.end(`HTTP/1.1 200 OK\r\n${json}transfer-encoding: chunked\r\n\r\n5\r\n{"a"}\r\n`),
  };
  test.each(Object.entries(endings))("%s", async (_name, answer) => {
    const server = await use(startWireServer(answer));
    const { send } = await use(openClusterClient({ server: server.url }));
    const error = await failure(send({ method: "PATCH", body: { secret: "in the body" } }));
    expect([error.sent, error.message]).toEqual([true, "the connection ended before the answer was whole"]);
    expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toMatch(/tok-1|in the body/);
    expect(server.requests).toHaveLength(1);
  });

  test("also where the server reads nothing, because bytes can have left", async () => {
    const server = await use(
      startWireServer(() => {
        throw new Error("not reached: the body never comes whole");
      }),
    );
    const { send } = await use(openClusterClient({ server: server.url }));
    const pending = failure(send({ method: "PATCH", body: "x".repeat(10_000_000) }));
    await expect.poll(() => server.sockets.size).toBe(1);
    for (const socket of server.sockets) {
      socket.pause();
      socket.resetAndDestroy();
    }
    expect((await pending).sent).toBe(true);
  });
});

describe("NoAnswer.sent is true over HTTP/2", () => {
  test.each(["NGHTTP2_INTERNAL_ERROR", "NGHTTP2_CANCEL", "NGHTTP2_NO_ERROR", "NGHTTP2_ENHANCE_YOUR_CALM"] as const)(
    "RST_STREAM %s before an answer and in its body",
    async (code) => {
      const server = await use(
        startStreamServer(certified, ({ stream, path }) => {
          if (path === "/body") {
            stream.respond({ ":status": 200, "content-length": 100 });
            stream.write("{", () => stream.close(constants[code]));
          } else {
            stream.close(constants[code]);
          }
        }),
      );
      const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
      for (const path of ["/head", "/body"]) {
        const error = await failure(send({ method: "PATCH", path, body: {} }));
        expect(error.sent).toBe(true);
        expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain(TOKEN);
      }
      expect(server.streams).toHaveLength(2);
      expect(server.connections).toBe(1);
    },
  );

  test("the connection is reset in the body", async () => {
    const server = await use(
      startStreamServer(certified, ({ stream }) => {
        stream.respond({ ":status": 200 });
        stream.write("{", () => {
          for (const socket of server.sockets) socket.destroy();
        });
      }),
    );
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    const error = await failure(send({ method: "PATCH", body: {} }));
    expect(error.sent).toBe(true);
    expect(server.streams).toHaveLength(1);
  });
});

describe("timeoutMs", () => {
  // undici looks at the clock of HTTP/1.1 every half second.
  test.each([
    ["HTTP/1.1", 2_600],
    ["HTTP/2", 1_300],
  ])("bounds the wait for the head and each wait for more of the body (%s)", async (protocol, atMost) => {
    const server =
      protocol === "HTTP/2"
        ? await use(
            startStreamServer(certified, ({ stream, path }) => {
              if (path === "/head") return;
              if (path === "/warm") return respond(stream, 200, {});
              stream.respond({ ":status": 200 });
              stream.write("{");
            }),
          )
        : await use(
            startWireServer(({ socket, target }) => {
              if (target === "/warm") socket.write(http1(200, {}));
              if (target === "/body") socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{");
            }, certified),
          );
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    for (const [path, code] of [
      ["/head", "UND_ERR_HEADERS_TIMEOUT"],
      ["/body", "UND_ERR_BODY_TIMEOUT"],
    ] as const) {
      await send({ path: "/warm" }); // the limit is for a connection, too
      const before = performance.now();
      const error = await within(atMost, failure(send({ method: "PATCH", path, timeoutMs: 1_000 })));
      expect([error.sent, error.cause]).toMatchObject([true, { code }]);
      expect(performance.now() - before).toBeGreaterThan(900);
    }
  });

  test("a connection that died without a word is replaced once a request over it has timed out", async () => {
    const server = await use(startStreamServer(certified, ({ stream }) => respond(stream, 200, {})));
    let dead = false;
    const gate = await use(
      startWireServer(({ socket }) => {
        const upstream = connect(server.port, "127.0.0.1");
        cleanup.defer(() => void upstream.destroy());
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.removeAllListeners("data");
        const mine = !dead;
        socket.on("data", (chunk) => (mine && dead ? undefined : upstream.write(chunk)));
        upstream.on("data", (chunk) => (mine && dead ? undefined : socket.write(chunk)));
      }),
    );
    const { send } = await use(
      openClusterClient({ server: server.url, "certificate-authority-data": ca, "proxy-url": gate.url }),
    );
    await send();
    dead = true;
    expect((await failure(send({ method: "PATCH", timeoutMs: 300 }))).sent).toBe(true);
    // undici pings it, for a second at least.
    expect((await send({ method: "PATCH", path: "/after", timeoutMs: 3_000 })).status).toBe(200);
    expect(server.streams.filter(({ method }) => method === "PATCH")).toEqual([{ method: "PATCH", path: "/after" }]);
  });
});
