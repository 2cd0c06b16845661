import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Answer,
  type Connections,
  NoAnswer,
  openConnections,
  readAnswer,
  sendOnce,
} from "../../src/clouds/http.ts";
import { encodeReply, htmlReply, jsonReply, type VendorRequest } from "../../src/clouds/simulator/exchange.ts";
import { startVendorServer, type VendorServer } from "../../src/clouds/simulator/server.ts";
import { createAuthority } from "../cluster/certificates.ts";

let server: VendorServer;
let connections: Connections;
let executed: string[];
let reply = jsonReply(200, { done: true });
beforeEach(async () => {
  executed = [];
  reply = jsonReply(200, { done: true });
  connections = openConnections(undefined, 2_000);
  server = await startVendorServer((request) => {
    executed.push(`${request.method} ${request.url} ${request.body}`);
    return reply;
  });
});
afterEach(async () => {
  await connections[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const send = (method: "GET" | "POST", path = "/a", body?: string): Promise<Answer> =>
  sendOnce(
    { changes: method !== "GET", signal: new AbortController().signal, timeoutMs: 5_000 },
    async () => ({
      url: new URL(server.url + path),
      method,
      headers: { "X-Name": "value" },
      body,
      dispatcher: connections.dispatcher(method !== "GET"),
    }),
    (response) => readAnswer(response, 10_000),
  );

const failed = (work: Promise<Answer>): Promise<unknown> =>
  work.then(
    ({ status }) => `answered ${status}`,
    (error: unknown) => error,
  );

describe("startVendorServer()", () => {
  it("records a request as it came", async () => {
    await send("POST", "/a%2Fb//c?d=%20e&d=2", "ü=1");
    const [request] = server.requests;
    expect(request).toMatchObject({
      method: "POST",
      url: "/a%2Fb//c?d=%20e&d=2",
      path: "/a%2Fb//c",
      body: "ü=1",
      executed: true,
      status: 200,
    });
    expect(request?.query.getAll("d")).toEqual([" e", "2"]);
    expect(request?.headers["x-name"]).toBe("value");
    expect(request?.bytes).toEqual(Buffer.from("ü=1"));
    server.forgetRequests();
    expect(server.requests).toEqual([]);
  });

  it("answers what the handler says", async () => {
    expect(await send("GET")).toMatchObject({
      status: 200,
      json: { done: true },
      headers: { "content-type": "application/json;charset=utf-8" },
    });
    reply = htmlReply(503, "Away");
    expect(await send("GET")).toMatchObject({ status: 503, json: undefined, text: expect.stringContaining("Away") });
    reply = { status: 204, headers: { "x-request-id": "r1" } };
    expect(await send("GET")).toMatchObject({ status: 204, text: "", headers: { "x-request-id": "r1" } });
  });

  it("keeps connections for reads, and gives every change its own", async () => {
    const closes = (request: VendorRequest | undefined) => request?.headers.connection === "close";
    await send("GET");
    await send("POST");
    expect(server.requests.map(closes)).toEqual([false, true]);
  });

  it.each([
    ["before-executing", 0, undefined],
    ["after-executing", 1, undefined],
    ["while-answering", 1, 200],
  ] as const)("cuts the connection %s", async (disconnect, executions, status) => {
    const fault = server.inject({ disconnect, method: "POST" });
    await send("GET", "/untouched");
    executed = [];
    expect(await failed(send("POST"))).toMatchObject({ name: "NoAnswer", sent: true });
    expect(executed).toHaveLength(executions);
    expect(server.requests[1]).toMatchObject({ executed: executions === 1, status });
    expect(fault.hits).toBe(1);
    expect(await send("POST")).toMatchObject({ status: 200 });
  });

  it("answers in the handler's place, after it, or with what it makes of it", async () => {
    server.inject({ path: /^\/instead$/, answer: { status: 403 } });
    server.inject({ path: /^\/after$/, answer: { status: 500 }, execute: true });
    server.inject({ path: /^\/other$/, answer: (real) => ({ ...real, status: 202 }) });
    expect((await send("POST", "/instead")).status).toBe(403);
    expect((await send("POST", "/after")).status).toBe(500);
    expect(await send("POST", "/other")).toMatchObject({ status: 202, json: { done: true } });
    expect(executed).toEqual(["POST /after ", "POST /other "]);
  });

  it("has the oldest fault that matches and is not used up", async () => {
    server.inject({ times: 2, answer: { status: 401 } });
    const rest = server.inject({ times: Number.POSITIVE_INFINITY, answer: { status: 402 } });
    const statuses = async (count: number) => {
      const all = [];
      for (let i = 0; i < count; i++) all.push((await send("GET")).status);
      return all;
    };
    expect(await statuses(4)).toEqual([401, 401, 402, 402]);
    rest.remove();
    expect(await statuses(1)).toEqual([200]);
    server.inject({ answer: { status: 403 } });
    server.clearFaults();
    expect(await statuses(1)).toEqual([200]);
  });

  it("waits, and lets the world change before", async () => {
    const begun = performance.now();
    server.inject({ delayBefore: 40, delayAfter: 40, before: () => void executed.push("before"), when: () => true });
    await send("GET");
    expect(performance.now() - begun).toBeGreaterThan(75);
    expect(executed).toEqual(["before", "GET /a "]);
  });

  it("makes changes go wrong by chance, in every way, and reads never", async () => {
    const numbers = Array.from({ length: 7 }, (_, choice) => [0, (choice + 0.5) / 7, 0.1]).flat();
    server.chaos({ random: () => numbers.shift() ?? 0.001, rate: 0.5 });
    await send("GET");
    const outcomes: unknown[] = [];
    for (let i = 0; i < 7; i++) {
      executed = [];
      const outcome = await failed(send("POST"));
      outcomes.push([outcome instanceof NoAnswer ? "cut" : outcome, executed.length]);
    }
    expect(outcomes).toEqual([
      ["cut", 0],
      ["cut", 1],
      ["cut", 1],
      ["answered 502", 1],
      ["answered 200", 1],
      ["answered 200", 1],
      ["answered 429", 0],
    ]);
    server.chaos({ random: () => 0.6, rate: 0.5 });
    expect(await failed(send("POST"))).toBe("answered 200");
    server.chaos(undefined);
    expect(await failed(send("POST"))).toBe("answered 200");
  });

  it("refuses a body that is too large without a look at it", async () => {
    expect((await send("POST", "/a", "x".repeat(1_048_577))).status).toBe(413);
    expect(server.requests).toEqual([]);
  });

  it("ends while a request waits, and twice", async () => {
    server.inject({ delayBefore: 60_000 });
    const waiting = failed(send("POST"));
    while (server.requests.length === 0) await new Promise(setImmediate);
    await server[Symbol.asyncDispose]();
    expect(await waiting).toMatchObject({ name: "NoAnswer", sent: true });
    await server[Symbol.asyncDispose]();
    expect(await failed(send("POST"))).toMatchObject({ name: "NoAnswer", sent: false });
  });

  it("does not hide a mistake of the handler", async () => {
    const broken = await startVendorServer(() => {
      throw new Error("a mistake");
    });
    const answer = await fetch(broken.url).catch((error: unknown) => error);
    expect(answer).toBeInstanceOf(TypeError);
    await expect(broken[Symbol.asyncDispose]()).rejects.toMatchObject({ errors: [new Error("a mistake")] });
  });
});

describe("openConnections()", () => {
  it("judges a certificate by the authorities that it was given, and by no others", async () => {
    const authority = createAuthority("one");
    const tls = authority.issue({ commonName: "site", usage: "server", hosts: ["127.0.0.1"] });
    await using secure = await startVendorServer(() => jsonReply(200, {}), { tls });
    const statusBy = async (ca: string | undefined) => {
      await using opened = openConnections(ca, 2_000);
      const options = { changes: true, signal: new AbortController().signal, timeoutMs: 5_000 };
      const request = { url: new URL(secure.url), method: "POST" as const, headers: {} };
      const read = sendOnce(
        options,
        async () => ({ ...request, dispatcher: opened.dispatcher(true) }),
        (response) => readAnswer(response, 100),
      );
      return await failed(read);
    };
    expect(await statusBy(authority.cert)).toBe("answered 200");
    for (const ca of [undefined, createAuthority("one").cert]) {
      expect(await statusBy(ca)).toMatchObject({ name: "NoAnswer", sent: false });
    }
    expect(secure.requests).toHaveLength(1);
  });
});

describe("readAnswer()", () => {
  it.each([
    [String.raw`"\ud800"`, "\ufffd"],
    [String.raw`"a\uDFFFb\ud83d"`, "a\ufffdb\ufffd"],
    [String.raw`"\ud83d\ude00 \ud83d\ud83d\ude00"`, "\u{1f600} \ufffd\u{1f600}"],
    [String.raw`"\\ud800 \\\ud800"`, "\\ud800 \\\ufffd"],
    [String.raw`{"\udc00":"\n\u00fc"}`, { "\ufffd": "\n\u00fc" }],
    [String.raw`"\ud80"`, undefined],
    ['\ufeff{"a":1}', { a: 1 }],
  ])("makes whole characters of what %s holds: nothing else can be passed on", async (body, json) => {
    server.inject({ answer: { status: 200, body } });
    expect((await send("GET")).json).toEqual(json);
  });
});

describe("encodeReply()", () => {
  it("writes objects as JSON and leaves texts alone", () => {
    expect(encodeReply({ status: 200, body: { a: 1 }, headers: { "x-a": "b" } })).toEqual({
      status: 200,
      headers: { "content-type": "application/json;charset=utf-8", "x-a": "b" },
      body: '{"a":1}',
    });
    expect(encodeReply({ status: 200, body: "a" }).headers).toEqual({ "content-type": "text/plain;charset=utf-8" });
    expect(encodeReply({ status: 500 })).toEqual({ status: 500, headers: {}, body: "" });
  });
});
