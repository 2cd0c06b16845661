import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Client, credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { Failure } from "../../src/core/errors.ts";
import { type Fixture, FORMS, ORIGIN, send, serve, summary, VALID, validJson } from "./fixture.ts";

const LIST = "/restart.kubernetes.v1.WorkloadService/ListClusters";
const RESTART = "/restart.kubernetes.v1.WorkloadService/Restart";
const JSON_TYPE = { "content-type": "application/json" };

/** Everything that comes over a connection until it is closed. */
async function readAll(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  await once(socket, "close");
  return text;
}

const open = async ({ server }: Fixture): Promise<Socket> => {
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
};

/** What an answer in raw HTTP/1.1 says. */
function parse(text: string) {
  const [head = "", body = ""] = text.split("\r\n\r\n");
  const { code, details } = JSON.parse(body);
  return { status: head.split("\r\n")[0], code, reason: details[0].debug.reason };
}

describe("startServer()", () => {
  it("refuses an address that is not loopback", async () => {
    await expect(serve({}, { host: "0.0.0.0" })).rejects.toThrow(
      "cannot listen on 0.0.0.0: without authentication only loopback is listened on, such as 127.0.0.1",
    );
  });

  it("refuses a port that is taken", async () => {
    await using first = await serve();
    await expect(serve({}, { port: first.server.port })).rejects.toThrow(/EADDRINUSE/);
  });

  it("listens on ::1", async () => {
    await using fixture = await serve({}, { host: "::1" });
    expect(fixture.server.url).toBe(`http://[::1]:${fixture.server.port}`);
    expect((await send(1, fixture.server.url, { path: LIST, headers: JSON_TYPE, body: "{}" })).status).toBe(200);
  });

  it.each([
    ["Connect over HTTP/1.1", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect over HTTP/2", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" })],
    ["Connect by GET", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true })],
    ["gRPC", (baseUrl: string) => createGrpcTransport({ baseUrl })],
  ])("answers %s", async (_, transportTo) => {
    await using fixture = await serve();
    const client = createClient(WorkloadService, transportTo(fixture.server.url));
    expect(await client.getRollout(VALID)).toMatchObject({ name: "web" });
    const names: string[] = [];
    for await (const { name } of client.watchRollout(VALID)) {
      names.push(name);
    }
    expect(names).toEqual(["web"]);
  });
});

describe("a failure in gRPC", () => {
  it("has a message that grpc-js shows as it was meant", async () => {
    await using fixture = await serve({
      listClusters: () => {
        throw new Failure("CLUSTER_NOT_FOUND", "no cluster a/b: 100% \u00e9\u{1f600}?");
      },
    });
    const client = new Client(`127.0.0.1:${fixture.server.port}`, credentials.createInsecure());
    const call = (path: string): Promise<string | undefined> =>
      new Promise((resolve) => {
        const asIs = (bytes: Buffer) => bytes;
        client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), (error) => resolve(error?.details));
      });
    expect(await call(LIST)).toBe("no cluster a/b: 100% \u00e9\u{1f600}?");
    expect(await call(`${LIST}s`)).toBe(`no procedure "${LIST}s" here; did you mean ${LIST}?`);
    client.close();
  });
});

describe("a connection", () => {
  it("of HTTP/1.1 may come byte by byte", async () => {
    await using fixture = await serve();
    const socket = await open(fixture);
    socket.setNoDelay(true);
    const answer = readAll(socket);
    const request = `POST ${LIST} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
    for (const byte of request) {
      socket.write(byte);
      await new Promise(setImmediate);
    }
    expect(await answer).toMatch(/^HTTP\/1.1 200 OK\r\n[\s\S]*\r\n\r\n\{\}$/);
  });

  it("of HTTP/2 may come byte by byte", async () => {
    await using fixture = await serve();
    const socket = await open(fixture);
    const bytes: Buffer[] = [];
    socket.on("data", (chunk) => bytes.push(chunk));
    for (const byte of Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1")) {
      socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    while (bytes.length === 0) {
      await once(socket, "data");
    }
    expect(Buffer.concat(bytes)[3]).toBe(4); // a frame of SETTINGS
    socket.destroy();
  });

  it("may carry one request after the other", async () => {
    await using fixture = await serve();
    const socket = await open(fixture);
    const answer = readAll(socket);
    const request = `POST ${LIST} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n`;
    socket.write(`${request}\r\n{}${request}Connection: close\r\n\r\n{}`);
    expect((await answer).match(/200 OK/g)).toHaveLength(2);
  });

  it("goes on after a request that was refused before all of it was read", async () => {
    await using fixture = await serve();
    const socket = await open(fixture);
    const answer = readAll(socket);
    const body = validJson({ name: "x".repeat(500_000) });
    const head = `POST ${RESTART} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
    socket.write(`${head}Content-Length: 2\r\nConnection: close\r\n\r\n{}`);
    expect((await answer).match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 429", "HTTP/1.1 400"]);
  });

  it("that says nothing is closed", async () => {
    await using fixture = await serve({}, { limits: { headersTimeoutMs: 50 } });
    expect(await readAll(await open(fixture))).toBe("");
  });

  it.each([
    ["does not end its headers", "POST / HTTP/1.1\r\nHost: lo", "408 Request Timeout", "DEADLINE_EXCEEDED"],
    ["does not speak HTTP", "EHLO example.com\r\n\r\n", "400 Bad Request", "MALFORMED_REQUEST"],
    [
      "has too many headers",
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
      "431 Request Header Fields Too Large",
      "REQUEST_TOO_LARGE",
    ],
    ["names no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "403 Forbidden", "HOST_NOT_ALLOWED"],
  ])("that %s is told so, and logged", async (_, text, status, reason) => {
    await using fixture = await serve({}, { limits: { headersTimeoutMs: 100 } });
    const socket = await open(fixture);
    const answer = readAll(socket);
    socket.write(text);
    expect(parse(await answer)).toMatchObject({ status: `HTTP/1.1 ${status}`, reason });
    expect(await fixture.line((line) => line.msg === "call")).toMatchObject({ reason, outcome: "not_applied" });
  });

  it("of HTTP/2 is closed when it is idle, and never while a stream is open", async () => {
    const ended = Promise.withResolvers<void>();
    await using fixture = await serve(
      {
        async *watchRollout() {
          yield {};
          await ended.promise;
        },
      },
      { limits: { idleTimeoutMs: 1_500 } },
    );
    const session = connectHttp2(fixture.server.url);
    const stream = session.request({
      ":method": "POST",
      ":path": "/restart.kubernetes.v1.WorkloadService/WatchRollout",
      "content-type": "application/connect+json",
    });
    stream.end(FORMS[1]?.frame(validJson()));
    await once(stream, "data");
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(session.closed).toBe(false);
    ended.resolve();
    stream.resume();
    await once(session, "close");
  });

  it("of HTTP/2 whose client has vanished is closed", async () => {
    await using fixture = await serve({}, { limits: { pingIntervalMs: 20, pingTimeoutMs: 20 } });
    const socket = await open(fixture);
    socket.write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1"));
    socket.resume();
    await once(socket, "close");
    expect(await fixture.line((line) => line.msg === "http/2 client vanished")).toMatchObject({ level: "debug" });
  });

  it("of HTTP/2 carries no more calls at a time than allowed", async () => {
    await using fixture = await serve({}, { limits: { maxConcurrentStreams: 7 } });
    const session = connectHttp2(fixture.server.url);
    const [settings] = await once(session, "remoteSettings");
    expect(settings.maxConcurrentStreams).toBe(7);
    session.destroy();
  });
});

describe("a client that goes away", () => {
  it.each([1, 2] as const)("fires the handler's signal over HTTP/%s, and is logged", async (http) => {
    const begun = Promise.withResolvers<void>();
    const told = Promise.withResolvers<unknown>();
    await using fixture = await serve({
      async listClusters(_, { signal }) {
        begun.resolve();
        await once(signal, "abort");
        told.resolve(signal.reason);
        throw signal.reason;
      },
    });
    if (http === 1) {
      const request = httpRequest(`${fixture.server.url}${LIST}`, { method: "POST", headers: JSON_TYPE, agent: false });
      request.on("error", () => {});
      request.end("{}");
      await begun.promise;
      request.destroy();
    } else {
      const session = connectHttp2(fixture.server.url);
      session.request({ ":method": "POST", ":path": LIST, ...JSON_TYPE }).end("{}");
      await begun.promise;
      session.destroy();
    }
    expect(await told.promise).toMatchObject({ rawMessage: "the client went away" });
    expect(await fixture.line((line) => line.msg === "call")).toMatchObject({
      code: "canceled",
      reason: "CANCELLED",
      outcome: "not_applied",
    });
  });

  it.each([1, 2] as const)("ends the stream that it was reading over HTTP/%s", async (http) => {
    const ended = Promise.withResolvers<void>();
    await using fixture = await serve({
      async *watchRollout({ name }) {
        try {
          for (;;) {
            yield { name, message: "x".repeat(10_000) };
            await new Promise(setImmediate);
          }
        } finally {
          ended.resolve();
        }
      },
    });
    const transport = createConnectTransport({ baseUrl: fixture.server.url, httpVersion: http === 1 ? "1.1" : "2" });
    const leave = new AbortController();
    const reading = (async () => {
      for await (const { name } of createClient(WorkloadService, transport).watchRollout(VALID, leave)) {
        expect(name).toBe("web");
        leave.abort();
      }
    })();
    await expect(reading).rejects.toThrow("[canceled]");
    await ended.promise;
    expect(await fixture.line((line) => line.msg === "call")).toMatchObject({ reason: "CANCELLED" });
  });

  it("is not waited for when it does not read: the stream pauses", async () => {
    let made = 0;
    await using fixture = await serve({
      async *watchRollout() {
        for (;;) {
          made++;
          yield { message: "x".repeat(100_000) };
        }
      },
    });
    const session = connectHttp2(fixture.server.url);
    const stream = session.request({
      ":method": "POST",
      ":path": "/restart.kubernetes.v1.WorkloadService/WatchRollout",
      "content-type": "application/connect+json",
    });
    stream.end(FORMS[1]?.frame(validJson()));
    await once(stream, "response");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(made).toBeLessThan(10);
    session.destroy();
  });
});

describe("a stream whose deadline passes", () => {
  it("ends though its handler is deaf and never stops to talk", async () => {
    const ended = Promise.withResolvers<void>();
    await using fixture = await serve({
      async *watchRollout() {
        try {
          for (;;) {
            await new Promise((resolve) => setTimeout(resolve, 5));
            yield {};
          }
        } finally {
          ended.resolve();
        }
      },
    });
    const answer = await send(2, fixture.server.url, {
      path: "/restart.kubernetes.v1.WorkloadService/WatchRollout",
      headers: { "content-type": "application/connect+json", "connect-timeout-ms": "150" },
      body: FORMS[1]?.frame(validJson()) ?? "",
    });
    expect(summary(FORMS[1]?.error(answer))).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    await ended.promise;
  });

  it("does not end at once when the deadline is further off than Node's timers reach", async () => {
    await using fixture = await serve();
    const answer = await send(2, fixture.server.url, {
      path: "/restart.kubernetes.v1.WorkloadService/WatchRollout",
      headers: { "content-type": "application/grpc+json", "grpc-timeout": "99999999H" },
      body: FORMS[1]?.frame(validJson()) ?? "",
    });
    expect(FORMS[2]?.error(answer)).toBeUndefined();
  });
});

describe("CORS", () => {
  it("lets the pages of an allowed origin call, and read our headers", async () => {
    await using fixture = await serve({
      restart: (_, { responseHeader }) => {
        responseHeader.set("restart-warning", "PARTITIONED");
        return {};
      },
    });
    const preflight = await send(1, fixture.server.url, {
      method: "OPTIONS",
      path: RESTART,
      headers: {
        origin: ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,connect-protocol-version",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      "access-control-allow-origin": ORIGIN,
      "access-control-allow-methods": "POST, GET",
      "access-control-allow-headers": expect.stringMatching(/Content-Type.*Connect-Protocol-Version/i),
      "access-control-max-age": "7200",
      vary: "Origin",
    });
    const headers = { ...JSON_TYPE, origin: ORIGIN };
    const answer = await send(1, fixture.server.url, { path: RESTART, headers, body: validJson() });
    expect(answer.headers).toMatchObject({
      "restart-warning": "PARTITIONED",
      "access-control-expose-headers": expect.stringMatching(
        /grpc-status.*operation-name, restart-warning, WWW-Authenticate$/i,
      ),
    });
  });

  it.each([
    ["localhost:8080", "http://localhost:8080", 200],
    ["127.0.0.1", "http://127.0.0.1", 200],
    ["[::1]:8080", "https://[::1]:8080", 200], // behind what speaks TLS for us
    ["localhost:8080", "http://localhost:8081", 403],
    ["localhost:8080", "http://127.0.0.1:8080", 403],
    ["localhost:8080", "http://localhost:8080.evil.example", 403],
    ["rebound.example:8080", "http://rebound.example:8080", 403],
  ])("at host %s gives origin %s status %i: its own pages alone", async (host, origin, status) => {
    await using fixture = await serve();
    for (const http of [1, 2] as const) {
      const headers = { ...JSON_TYPE, host, origin };
      const answer = await send(http, fixture.server.url, { path: RESTART, headers, body: validJson() });
      expect([http, answer.status]).toEqual([http, status]);
    }
  });

  it.each([
    ["cross-site", 403],
    ["same-site", 403],
    ["same-origin", 200],
    ["none", 200],
  ])("gives a POST of a %s page without an origin status %i", async (site, status) => {
    await using fixture = await serve();
    const headers = { ...JSON_TYPE, "sec-fetch-site": site };
    const answer = await send(1, fixture.server.url, { path: RESTART, headers, body: validJson() });
    expect(answer.status).toBe(status);
    if (status === 403) expect(summary(FORMS[0]?.error(answer))?.reason).toBe("HOST_NOT_ALLOWED");
  });

  it("refuses the preflight of any other, and an origin without a name", async () => {
    await using fixture = await serve();
    for (const origin of ["https://evil.example", "null", `${ORIGIN}.evil.example`]) {
      const answer = await send(1, fixture.server.url, {
        method: "OPTIONS",
        path: RESTART,
        headers: { origin, "access-control-request-method": "POST" },
      });
      expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([403, undefined]);
    }
  });
});

describe("Host", () => {
  it.each(["localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "[::1]:8080"])("%s is allowed", async (host) => {
    await using fixture = await serve();
    for (const http of [1, 2] as const) {
      const headers = { ...JSON_TYPE, host };
      expect((await send(http, fixture.server.url, { path: LIST, headers, body: "{}" })).status).toBe(200);
    }
  });

  it.each(["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "localhost:99999"])(
    "%s is refused, before the body is read",
    async (host) => {
      await using fixture = await serve();
      for (const http of [1, 2] as const) {
        const request = { path: RESTART, headers: { ...JSON_TYPE, host }, body: "{", open: true };
        const answer = await send(http, fixture.server.url, request);
        expect(answer.status).toBe(403);
        expect(summary(FORMS[0]?.error(answer))).toMatchObject({ reason: "HOST_NOT_ALLOWED" });
      }
    },
  );
});

describe("the log", () => {
  it("has a line per call, with what the handler knew of it and nothing of what was said", async () => {
    await using fixture = await serve();
    const path = "/restart.kubernetes.v1.WorkloadService/GetRollout?connect=v1&encoding=json&message=";
    const message = encodeURIComponent(validJson());
    await send(2, fixture.server.url, { method: "GET", path: path + message, headers: { authorization: "secret" } });
    expect(await fixture.line((line) => line.msg === "call")).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      method: "restart.kubernetes.v1.WorkloadService/GetRollout",
      protocol: "connect",
      http: "2.0",
      peer: expect.stringMatching(/^127.0.0.1:\d+$/),
      outcome: "not_applied",
      code: "ok",
      duration_ms: expect.any(Number),
      msg: "call",
    });
  });
});
