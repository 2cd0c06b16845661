import { once } from "node:events";
import { connect, constants } from "node:http2";
import { connect as connectTo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EngineService } from "../../gen/restart/cse/v1/engine_service_pb.ts";
import { route } from "../../src/core/route.ts";
import { createGate } from "../../src/server/gate.ts";
import { type Fixture, FORMS, ORIGIN, send, serve, summary, validJson } from "./fixture.ts";
import { END_STREAM, FRAME, frame, headersFrame, PREFACE, resetFrame } from "./frames.ts";

let fixture: Fixture;
/** Names of what handlers were asked for. */
let asked: string[] = [];

beforeAll(async () => {
  fixture = await serve({
    restart: ({ name }) => {
      asked.push(name);
      return {};
    },
    getRollout: ({ name }) => {
      asked.push(name);
      return { name };
    },
  });
});

afterAll(() => fixture[Symbol.asyncDispose]());

const url = (): string => fixture.server.url;

describe("a content type", () => {
  const spellings = (type: string): string[] => [
    type.toUpperCase(),
    `${type}; charset=utf-8`,
    `${type};charset="UTF-8"`,
    `${type} ; charset=UTF8; foo=bar`,
  ];
  const cases = FORMS.flatMap((form) =>
    spellings(form.json).flatMap((type) => ([1, 2] as const).map((http) => ({ form, type, http, name: form.name }))),
  );

  it.each(cases)("$type is $name over HTTP/$http: understood, its deadline too", async ({ form, type, http }) => {
    if (form.name === "grpc" && http === 1) return;
    const headers = { "content-type": type, host: new URL(url()).host };
    const good = await send(http, url(), { path: form.path, headers, body: form.frame(validJson()) });
    expect(summary(form.error(good))).toBeUndefined();
    expect(good.headers["content-type"]).toMatch(new RegExp(`^${form.json.replace("+", "\\+")}$`, "i"));
    const timeout = form.timeoutHeader === "grpc-timeout" ? "0n" : "0";
    const late = await send(http, url(), {
      path: form.path,
      headers: { ...headers, [form.timeoutHeader]: timeout },
      body: form.frame(validJson()),
    });
    expect(summary(form.error(late))).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(late.headers["content-type"]).toBe(form.json);
  });

  it.each(FORMS)("$name of JSON in another charset is refused, in the same form", async (form) => {
    const headers = { "content-type": `${form.json}; charset=latin1`, host: new URL(url()).host };
    const answer = await send(2, url(), { path: form.path, headers, body: form.frame(validJson()) });
    expect(summary(form.error(answer))).toMatchObject({ reason: "UNSUPPORTED_PROTOCOL" });
  });
});

describe("JSON", () => {
  const bad = Buffer.from(validJson({ name: "X" }).replace("X", "w\u00ff"), "latin1");

  it.each(FORMS)("$name that is not UTF-8 is refused, packed or not", async (form) => {
    asked = [];
    const headers = { "content-type": form.json, host: new URL(url()).host };
    const plain = await send(2, url(), { path: form.path, headers, body: form.frame(bad) });
    expect(summary(form.error(plain))).toMatchObject({
      reason: "MALFORMED_REQUEST",
      message: "the request is not UTF-8",
    });
    const packed = await send(2, url(), {
      path: form.path,
      headers: { ...headers, [form.encodingHeader]: "gzip" },
      body: form.frame(gzipSync(bad), true),
    });
    expect(summary(form.error(packed))).toMatchObject({ reason: "MALFORMED_REQUEST" });
    expect(asked).toEqual([]);
  });

  it("keeps what is UTF-8 as it is, in pieces of one byte", async () => {
    const bytes = Buffer.from(validJson({ reason: "Ünïcode \u{1f600}" }));
    const session = connect(url());
    const stream = session.request({
      ":method": "POST",
      ":path": "/restart.kubernetes.v1.WorkloadService/Restart",
      "content-type": "application/json",
    });
    for (const byte of bytes) stream.write(Buffer.from([byte]));
    stream.end();
    const [headers] = await once(stream, "response");
    session.destroy();
    expect(headers[":status"]).toBe(200);
  });

  it.each(["%FF", "%E2%82", "%"])("in a query that is not UTF-8 is refused: %s", async (wrong) => {
    const message = encodeURIComponent(validJson({ name: "X" })).replace("X", wrong);
    const path = `/restart.kubernetes.v1.WorkloadService/GetRollout?connect=v1&encoding=json&message=${message}`;
    const answer = await send(1, url(), { method: "GET", path });
    expect(answer.status).toBe(400);
    expect(answer.body.toString()).toContain("MALFORMED_REQUEST");
    const base64 = bad.toString("base64url");
    const packed = await send(1, url(), {
      method: "GET",
      path: `/restart.kubernetes.v1.WorkloadService/GetRollout?connect=v1&encoding=json&base64=1&message=${base64}`,
    });
    expect(packed.body.toString()).toContain("MALFORMED_REQUEST");
  });

  it("with a number beyond 2^53 for a field of 64 bits is refused, never rounded", async () => {
    const jobs: bigint[] = [];
    const getEngineJob = ({ jobId }: { jobId: bigint }) => {
      jobs.push(jobId);
      return {};
    };
    const unused = () => ({});
    const methods = { getEngineJob, retryEngine: unused, getEngine: unused, listEngines: unused };
    await using server = await serve({}, { routes: [route(EngineService, methods)] });
    const ids = { projectId: "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d", engineId: "4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98" };
    const answers = async (jobId: string) => {
      const text = `${JSON.stringify(ids).slice(0, -1)},"jobId":${jobId}}`;
      const path = "/restart.cse.v1.EngineService/GetEngineJob";
      const headers = { "content-type": "application/json" };
      const post = await send(1, server.server.url, { path, headers, body: text });
      const query = `?connect=v1&encoding=json&message=${encodeURIComponent(text)}`;
      const get = await send(1, server.server.url, { method: "GET", path: path + query });
      expect(get.status).toBe(post.status);
      return { status: post.status, body: post.body.toString() };
    };
    for (const exact of ["9007199254740991", '"9007199254740993"', "12", '"12"']) {
      expect(await answers(exact)).toMatchObject({ status: 200 });
    }
    const read = jobs.map(String);
    for (const rounded of ["9007199254740993", "9007199254740992", "9223372036854775807", "1e17"]) {
      const { status, body } = await answers(rounded);
      expect({ status, body }).toMatchObject({
        status: 400,
        body: expect.stringContaining("job_id: a number beyond 2^53"),
      });
    }
    expect(jobs.map(String)).toEqual(read);
    expect(new Set(read)).toEqual(new Set(["9007199254740991", "9007199254740993", "12"]));
  });
});

/** Sends bytes over a bare connection, and answers what comes back until it is closed. */
async function raw(text: string): Promise<string> {
  const socket = connectTo(fixture.server.port, "127.0.0.1");
  socket.write(text); // and no end: a client that has nothing to say any more gets no answer, unless that is the faster
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("a target", () => {
  const rest = (body: string): string =>
    `content-type: application/json\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  const path = "/restart.kubernetes.v1.WorkloadService/Restart";

  it("in absolute form is the path in it", async () => {
    const host = `127.0.0.1:${fixture.server.port}`;
    const answer = await raw(`POST http://${host}${path} HTTP/1.1\r\nhost: ${host}\r\n${rest(validJson())}`);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    const query = `?connect=v1&encoding=json&message=${encodeURIComponent(validJson())}`;
    const read = await raw(
      `GET HTTP://localhost${path.replace("Restart", "GetRollout")}${query} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`,
    );
    expect(read).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("in absolute form at another host is refused, whatever Host says", async () => {
    asked = [];
    const host = `127.0.0.1:${fixture.server.port}`;
    const answer = await raw(`POST http://rebound.example${path} HTTP/1.1\r\nhost: ${host}\r\n${rest(validJson())}`);
    expect(answer).toContain("HOST_NOT_ALLOWED");
    expect(asked).toEqual([]);
  });
});

describe("HTTP/2", () => {
  const call = async (headers: Record<string, string>) => {
    const session = connect(url());
    const stream = session.request(headers);
    const [received] = await once(stream, "response");
    let body = "";
    for await (const chunk of stream) body += chunk;
    session.destroy();
    return { status: received[":status"], body };
  };

  it("answers an expectation that nobody knows, and CONNECT, with our error", async () => {
    const expecting = await call({ ":method": "POST", ":path": "/nothing", expect: "the impossible" });
    expect(expecting).toMatchObject({ status: 404, body: expect.stringContaining("UNKNOWN_PROCEDURE") });
    const connecting = await call({ ":method": "CONNECT", ":authority": "127.0.0.1:443" });
    expect(connecting).toMatchObject({ status: 405, body: expect.stringContaining("UNSUPPORTED_PROTOCOL") });
  });

  it("bounds headers as HTTP/1.1 does", async () => {
    asked = [];
    const headers = {
      ":method": "POST",
      ":path": "/restart.kubernetes.v1.WorkloadService/Restart",
      "content-type": "application/json",
    };
    const long = await call({ ...headers, "x-long": "x".repeat(17 * 1024) });
    expect(long).toMatchObject({ status: 431, body: expect.stringContaining("REQUEST_TOO_LARGE") });
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`x-${at}`, "x".repeat(200)]));
    expect(await call({ ...headers, ...many })).toMatchObject({ status: 431 });
    expect(asked).toEqual([]);
  });

  it.each([
    ["with CANCEL", {}, constants.NGHTTP2_CANCEL],
    ["with NO_ERROR", {}, constants.NGHTTP2_NO_ERROR],
    ["with CANCEL, and expected 100-continue", { expect: "100-continue" }, constants.NGHTTP2_CANCEL],
    ["with NO_ERROR, and expected 100-continue", { expect: "100-continue" }, constants.NGHTTP2_NO_ERROR],
  ])("begins no work for a stream that is reset already %s", async (_, expecting, code) => {
    asked = [];
    const before = fixture.lines.length;
    const headers = {
      ":method": "POST",
      ":scheme": "http",
      ":authority": "localhost",
      ":path": "/restart.kubernetes.v1.WorkloadService/Restart",
    };
    const ids = Array.from({ length: 20 }, (_, at) => 2 * at + 1);
    const streams = ids.flatMap((id) => [
      headersFrame(id, { ...headers, "content-type": "application/json", ...expecting }),
      frame(FRAME.data, END_STREAM, id, Buffer.from(validJson({ name: "reset" }))),
      resetFrame(id, code),
    ]);
    // In one piece: each stream is gone before anything of it can be begun.
    const socket = connectTo(fixture.server.port, "127.0.0.1");
    socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), ...streams]));
    const cancelled = () => fixture.lines.slice(before).filter(({ reason }) => reason === "CANCELLED");
    while (cancelled().length < ids.length) await new Promise(setImmediate);
    socket.destroy();
    expect(asked).toEqual([]);
    expect(new Set(cancelled().map(({ outcome }) => outcome))).toEqual(new Set(["not_applied"]));
  });
});

describe("a preflight", () => {
  it("from the public web lets pages of allowed origins into the private network, and no others", () => {
    const headers = {
      origin: ORIGIN,
      host: "localhost",
      "access-control-request-method": "POST",
      "access-control-request-private-network": "true",
    };
    const gate = createGate([ORIGIN]);
    const rawHeaders = ["Host", "localhost"];
    expect(gate.preflight({ method: "OPTIONS", headers, rawHeaders })).toMatchObject({
      "access-control-allow-private-network": "true",
    });
    const { "access-control-request-private-network": _, ...plain } = headers;
    expect(gate.preflight({ method: "OPTIONS", headers: plain, rawHeaders })).not.toHaveProperty(
      "access-control-allow-private-network",
    );
    expect(gate.refuse({ method: "OPTIONS", headers, rawHeaders })).toBeUndefined();
    const evil = { ...headers, origin: "https://evil.example" };
    expect(gate.refuse({ method: "OPTIONS", headers: evil, rawHeaders })).toMatchObject({ reason: "HOST_NOT_ALLOWED" });
  });
});
