import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, constants } from "node:http2";
import { connect as connectTo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { connectionsFor } from "../../src/server/descriptors.ts";
import { createPatience } from "../../src/server/patience.ts";
import { NODE, ROOT } from "../support/command.ts";
import { FORMS, send, serve, summary, validJson } from "./fixture.ts";
import { END_STREAM, FRAME, frame, headersFrame, PREFACE, resetFrame } from "./frames.ts";

const WATCH = "/restart.kubernetes.v1.WorkloadService/WatchRollout";
const CLUSTERS = "/restart.kubernetes.v1.WorkloadService/ListClusters";

/** As much as no client takes by itself. */
const LONG = "x".repeat(1024 * 1024);

/** A client of HTTP/2 that takes nothing of what is sent to it, and without a body does not end its request either. */
async function deaf(url: string, path: string, headers: Record<string, string>, body?: string | Uint8Array) {
  const session = connect(url, { settings: { initialWindowSize: 0 } });
  session.on("error", () => {});
  const stream = session.request({ ":method": "POST", ":path": path, ...headers });
  const ended = once(stream, "close").then(() => stream.rstCode);
  stream.on("error", () => {});
  if (body !== undefined) stream.end(body);
  await once(stream, "response");
  return { ended, session };
}

describe("an answer that nobody reads", () => {
  const stuck = {
    listClusters: () => ({ clusters: [{ name: LONG }] }),
    async *watchRollout() {
      for (;;) yield { name: LONG };
    },
  };
  const cases = [
    ["a call", CLUSTERS, "application/json", "{}"],
    ["a stream", WATCH, "application/connect+json", FORMS[1]?.frame(validJson()) ?? ""],
    ["a stream of gRPC", WATCH, "application/grpc+json", FORMS[2]?.frame(validJson()) ?? ""],
  ] as const;

  it.each(cases)("is reset when nothing of it is taken for too long: %s over HTTP/2", async (_, path, type, body) => {
    await using fixture = await serve(stuck, { limits: { stallMs: 100 } });
    const { ended, session } = await deaf(fixture.server.url, path, { "content-type": type }, body);
    expect(await ended).toBe(constants.NGHTTP2_CANCEL);
    expect(await fixture.line(({ msg }) => msg === "call")).toMatchObject({ reason: "CANCELLED" });
    session.destroy();
  });

  it("is reset when its request does not end either, though the answer needs no more of it", async () => {
    await using fixture = await serve({}, { limits: { stallMs: 1_200 } });
    const { ended, session } = await deaf(fixture.server.url, "/nothing", { "content-type": "application/json" });
    expect(await ended).toBe(constants.NGHTTP2_CANCEL);
    session.destroy();
  });

  it.each(cases)("holds up nobody who drains: %s over HTTP/2", async (_, path, type, body) => {
    await using fixture = await serve(stuck, { limits: { stallMs: 3_600_000, drainingStallMs: 50 } });
    const { ended, session } = await deaf(fixture.server.url, path, { "content-type": type }, body);
    expect(await fixture.server.close(3_600_000)).toBe(true);
    expect(await ended).toBeDefined();
    session.destroy();
  });

  it.each(cases.slice(0, 2))("is cut off over HTTP/1.1: %s", async (_, path, type, body) => {
    await using fixture = await serve(
      { ...stuck, listClusters: () => ({ clusters: [{ name: LONG.repeat(16) }] }) },
      { limits: { stallMs: 100 } },
    );
    const socket = connectTo(fixture.server.port, "127.0.0.1").pause();
    const head = [
      `POST ${path} HTTP/1.1`,
      "host: localhost",
      `content-type: ${type}`,
      `content-length: ${body.length}`,
    ];
    socket.write(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), Buffer.from(body)]));
    socket.on("error", () => {});
    expect(await fixture.line(({ msg }) => msg === "call")).toMatchObject({ reason: "CANCELLED" });
    socket.destroy();
  });

  it("is sent to its end to whoever takes it slowly", async () => {
    await using fixture = await serve({ listClusters: () => ({ clusters: [{ name: LONG }] }) });
    const answer = await send(2, fixture.server.url, {
      path: CLUSTERS,
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(answer.body.length).toBeGreaterThan(LONG.length);
  });
});

describe("createPatience()", () => {
  it("begins anew with each step, and is shorter while the server drains", async () => {
    let given = 0;
    const draining = new AbortController();
    const step = Promise.withResolvers<void>();
    const patience = createPatience({ stallMs: 3_600_000, drainingStallMs: 1 }, draining.signal, () => {
      given++;
      step.resolve();
    });
    await patience.during(Promise.resolve());
    const waiting = patience.during(step.promise);
    draining.abort();
    await waiting;
    expect(given).toBe(1);
  });
});

describe("a body that never comes", () => {
  it.each(FORMS.flatMap((form) => ([1, 2] as const).map((http) => ({ form, http, name: form.name }))))(
    "holds up nobody who drains, and nothing was begun: $name over HTTP/$http",
    async ({ form, http }) => {
      if (form.name === "grpc" && http === 1) return;
      await using fixture = await serve({}, { bodyTimeoutMs: 3_600_000, deadline: { defaultMs: 3e6, maxMs: 3e6 } });
      const headers = { "content-type": form.json };
      const answer = send(http, fixture.server.url, { path: form.path, headers, open: true });
      // Begun before it drains: nothing else tells when a request without a body has arrived.
      await send(http, fixture.server.url, {
        path: CLUSTERS,
        headers: { "content-type": "application/json" },
        body: "{}",
      });
      const closed = fixture.server.close(3_600_000);
      expect(summary(form.error(await answer))).toMatchObject({ reason: "SHUTTING_DOWN", outcome: "not_applied" });
      expect(await closed).toBe(true);
    },
  );
});

describe("a process", () => {
  it("ends soon after its last call, of whatever kind, however it failed", async () => {
    const child = spawn(NODE, [join(ROOT, "test/server/lifetime-server.ts")], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(child, "exit");
    const [announced] = await once(child.stdout, "data");
    const url = String(announced).trim();
    for (const form of FORMS) {
      for (const http of form.name === "grpc" ? ([2] as const) : ([1, 2] as const)) {
        for (const type of [form.json, form.proto]) {
          for (const body of [form.frame("{"), form.frame("{}"), form.frame(validJson()), form.frame("{}", true), ""]) {
            await send(http, url, { path: form.path, headers: { "content-type": type }, body });
          }
        }
        const refused = { path: WATCH, headers: { "content-type": form.json, host: "evil.example" } };
        await send(http, url, { ...refused, body: form.frame(validJson()), open: true });
        await send(http, url, { path: WATCH, headers: { "content-type": "text/plain" }, body: "?", open: true });
      }
    }
    child.stdin.end();
    // Timers of this server are of hours: one that were left would keep it until it is killed.
    const killer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    expect(await ended).toEqual([0, null]);
    clearTimeout(killer);
  });

  it("outlives clients that break the protocol, whenever garbage is collected", async () => {
    const server = join(ROOT, "test/server/lifetime-server.ts");
    const child = spawn(NODE, ["--stress-scavenge=50", server], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(child, "exit");
    const { port } = new URL(String(await once(child.stdout, "data")).trim());
    const headers = { ":method": "POST", ":scheme": "http", ":path": "/nothing" };
    const broken = Buffer.concat([
      PREFACE,
      frame(FRAME.settings, 0, 0),
      headersFrame(1, { ...headers, ":authority": "" }, END_STREAM),
      resetFrame(1, constants.NGHTTP2_CANCEL),
      headersFrame(3, { ...headers, ":authority": "localhost" }, END_STREAM),
      headersFrame(3, { "after-the-end": "1" }, END_STREAM),
    ]);
    const breakIt = async (): Promise<void> => {
      const socket = connectTo(Number(port), "127.0.0.1").on("error", () => {});
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.write(broken.subarray(0, 60)); // within the first headers
      socket.once("data", () => socket.write(broken.subarray(60)));
      await closed;
    };
    for (let round = 0; round < 30 && child.exitCode === null && child.signalCode === null; round++) {
      await Promise.all(Array.from({ length: 40 }, breakIt));
    }
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
  });
});

describe("too much at once", () => {
  it("of calls and of streams is refused, each by its own bound, and health is answered all the same", async () => {
    const held = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    await using fixture = await serve(
      {
        async listClusters() {
          begun.resolve();
          await held.promise;
          return {};
        },
      },
      { limits: { maxCalls: 1, maxStreams: 0 } },
    );
    const json = { "content-type": "application/json" };
    const first = send(2, fixture.server.url, { path: CLUSTERS, headers: json, body: "{}" });
    await begun.promise;
    for (const form of FORMS) {
      const answer = await send(2, fixture.server.url, {
        path: form.path,
        headers: { "content-type": form.json },
        body: form.frame(validJson()),
      });
      expect(summary(form.error(answer))).toMatchObject({ code: "resource_exhausted", reason: "QUEUE_FULL" });
    }
    const health = { path: "/grpc.health.v1.Health/Check", headers: json, body: "{}" };
    expect((await send(2, fixture.server.url, health)).status).toBe(200);
    held.resolve();
    expect((await first).status).toBe(200);
    await fixture.line(({ method }) => String(method).endsWith("/ListClusters"));
    expect((await send(2, fixture.server.url, { path: CLUSTERS, headers: json, body: "{}" })).status).toBe(200);
  });

  it("of connections is refused, the log says so, and there is room again when one has gone", async () => {
    await using fixture = await serve({}, { limits: { maxConnections: 2 } });
    const open = async () => {
      const socket = connectTo(fixture.server.port, "127.0.0.1");
      socket.on("error", () => {});
      await once(socket, "connect");
      return socket;
    };
    const sockets = [await open(), await open()];
    await Promise.all([open(), open()].map(async (socket) => once((await socket).resume(), "close")));
    expect(await fixture.line(({ level }) => level === "warn")).toMatchObject({
      connections: 2,
      msg: "too many connections: new ones are refused; raise the limit of open files, or add replicas",
    });
    for (const socket of sockets) {
      socket.end();
      await once(socket.resume(), "close");
    }
    const call = { path: CLUSTERS, headers: { "content-type": "application/json" }, body: "{}" };
    expect((await send(1, fixture.server.url, call)).status).toBe(200);
  });

  it.each([
    [undefined, 20_000],
    [1_048_576, 20_000],
    [1024, 768],
    [256, 192],
    [100, 50],
    [2, 1],
  ])("of connections is less than descriptors: %s leave room for %i", (limit, connections) => {
    expect(connectionsFor(limit)).toBe(connections);
  });
});
