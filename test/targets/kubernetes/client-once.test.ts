import { once } from "node:events";
import { constants, type Http2Session, type ServerHttp2Stream } from "node:http2";
import { connect } from "node:net";
import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { Agent, request } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import { NoAnswer } from "../../../src/clouds/http.ts";
import { createClient } from "../../../src/targets/kubernetes/client.ts";
import { asRequest, loopbackCertificates, openClusterClient, testClock } from "../../support/cluster-client.ts";
import { http1, respond, startStreamServer, startWireServer } from "../../support/wire-server.ts";

const { authority, certified, ca } = loopbackCertificates();
let cleanup = new AsyncDisposableStack();
afterEach(async () => {
  await cleanup.disposeAsync();
  cleanup = new AsyncDisposableStack();
});
const use = async <Resource extends AsyncDisposable>(resource: Promise<Resource>): Promise<Resource> =>
  cleanup.use(await resource);

const PATCH = { method: "PATCH", body: { a: 1 } } as const;

/** Longer than any test: what waits for it, hangs. */
const HOUR_MS = 3_600_000;

const failure = async (work: Promise<unknown>): Promise<NoAnswer> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(NoAnswer);
  return error as NoAnswer;
};

/** A way in which an HTTP/2 server says that it has not processed a request. */
const REFUSALS: Record<string, (stream: ServerHttp2Stream, session: Http2Session) => void> = {
  "GOAWAY with a lower last stream": (_stream, session) => session.goaway(constants.NGHTTP2_NO_ERROR, 1),
  "RST_STREAM REFUSED_STREAM": (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM),
};

describe("a PATCH is never sent twice", () => {
  test.each(Object.entries(REFUSALS))("HTTP/2: %s", async (_name, refuse) => {
    const server = await use(
      startStreamServer(certified, ({ stream }) => respond(stream, 200, {}), {
        onStream(stream, headers) {
          const { session } = stream;
          if (headers[":method"] !== "PATCH" || session === undefined) return false;
          refuse(stream, session);
          return true;
        },
      }),
    );
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    await send(); // stream 1
    let onSend = 0;
    const error = await failure(
      send({
        ...PATCH,
        onSend: () => {
          onSend++;
        },
      }),
    );
    expect(error.sent).toBe(true);
    expect(error.cause).toEqual(
      new Error("the connection closed while the request was on its way; it is not sent again"),
    );
    expect(onSend).toBe(1);
    // The client goes on, and the next PATCH is one more.
    expect((await send()).status).toBe(200);
    await failure(send(PATCH));
    expect(server.streams.filter(({ method }) => method === "PATCH")).toHaveLength(2);
  });

  test.each(Object.entries(REFUSALS))("undici by itself does send one again: %s", async (_name, refuse) => {
    let refused = 0;
    const server = await use(
      startStreamServer(certified, ({ stream }) => respond(stream, 200, {}), {
        onStream(stream, headers) {
          const { session } = stream;
          if (headers[":method"] !== "PATCH" || refused > 0 || session === undefined) return false;
          refused++;
          refuse(stream, session);
          return true;
        },
      }),
    );
    const dispatcher = cleanup.adopt(new Agent({ connect: { ca: authority.cert } }), (agent) => agent.destroy());
    await (await request(`${server.url}/x`, { dispatcher })).body.text(); // stream 1
    const answer = await request(`${server.url}/x`, { method: "PATCH", body: "{}", dispatcher });
    expect(answer.statusCode).toBe(200);
    expect(server.streams.map(({ method }) => method)).toEqual(["GET", "PATCH", "PATCH"]);
  });

  test("HTTP/2: GOAWAY while many are on their way and more are queued", async () => {
    let patches = 0;
    const server = await use(
      startStreamServer(
        certified,
        ({ stream, session }) => {
          patches++;
          // Some are answered, then the server goes away, with more than its limit of streams open and waiting.
          if (patches === 7) session.goaway(constants.NGHTTP2_NO_ERROR, 9);
          else respond(stream, 200, {});
        },
        { maxConcurrentStreams: 20 },
      ),
    );
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, (_, index) => send({ ...PATCH, path: `/x/${index}` })),
    );
    const paths = server.streams.map(({ path }) => path);
    expect(new Set(paths).size).toBe(paths.length);
    const unsent = results.filter((result) => result.status === "rejected" && !result.reason.sent);
    expect(unsent).toEqual([]);
    expect(results.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(50);
  });

  test.each(["HTTP/1.1", "HTTP/2"])("%s: the connection closes once the request was read", async (protocol) => {
    const seen: string[] = [];
    const server =
      protocol === "HTTP/2"
        ? await use(
            startStreamServer(certified, ({ path, session }) => {
              seen.push(path);
              session.destroy();
            }),
          )
        : await use(
            startWireServer(({ target, socket }) => {
              seen.push(target);
              socket.destroy();
            }, certified),
          );
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    for (let index = 0; index < 20; index++) {
      expect((await failure(send({ ...PATCH, path: `/${index}` }))).sent).toBe(true);
    }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => `/${index}`));
  });

  test("HTTP/1.1: the server ends a kept-alive connection just as it is used again", async () => {
    // The classic race: the end is on its way while the request is.
    const server = await use(
      startWireServer(({ target, socket }) => {
        socket.write(http1(200, {}));
        if (target.startsWith("/last")) void setImmediate().then(() => socket.end());
      }),
    );
    const { send } = await use(openClusterClient({ server: server.url }));
    let lost = 0;
    for (let index = 0; index < 50; index++) {
      await send({ path: `/last/${index}` });
      if (index % 3 === 1) await setImmediate();
      if (index % 3 === 2) await delay(1);
      await send({ ...PATCH, path: `/patch/${index}` }).catch((error: NoAnswer) => {
        expect(error.sent).toBe(true);
        lost++;
      });
    }
    const patches = server.requests.filter(({ method }) => method === "PATCH").map(({ target }) => target);
    expect(new Set(patches).size).toBe(patches.length);
    expect(patches.length + lost).toBeGreaterThanOrEqual(50);
  });

  test("holds back a dispatcher that starts a request twice", async () => {
    let starts = 0;
    const dispatcher = new Agent();
    const twice = dispatcher.compose(() => (_options, handler) => {
      const controller = { abort() {}, pause() {}, resume() {}, aborted: false, paused: false, reason: null };
      try {
        handler.onRequestStart?.(controller, null);
        starts++;
        handler.onRequestStart?.(controller, null);
        starts++;
      } catch (error) {
        handler.onResponseError?.(controller, error as Error);
      }
      return true;
    });
    const client = createClient(
      {
        connection: async () => ({ server: "http://127.0.0.1:1", dispatcher: twice, headers: {}, http1: true }),
        rejected() {},
        [Symbol.asyncDispose]: () => dispatcher.destroy(),
      },
      "restartd/test",
      testClock(),
    );
    cleanup.use(client);
    expect((await failure(client.request(asRequest(PATCH)))).sent).toBe(true);
    expect(starts).toBe(1);
  });
});

describe.each(["HTTP/1.1", "HTTP/2"])("onSend, over %s", (protocol) => {
  const start = async () => {
    const paths: string[] = [];
    const server =
      protocol === "HTTP/2"
        ? await use(
            startStreamServer(certified, ({ path, stream }) => {
              paths.push(path);
              respond(stream, 200, {});
            }),
          )
        : await use(
            startWireServer(({ target, socket }) => {
              paths.push(target);
              socket.write(http1(200, {}));
            }, certified),
          );
    return {
      server,
      paths,
      ...(await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }))),
    };
  };
  const veto = new Error("the store cannot be written");
  const refuse = () => {
    throw veto;
  };

  test.each(["has yet to be made", "is reused"])(
    "what it throws is thrown and nothing is sent; the connection %s",
    async (when) => {
      const { server, paths, send } = await start();
      if (when === "is reused") await send({ path: "/before" });
      await expect(send({ ...PATCH, path: "/refused", onSend: refuse })).rejects.toBe(veto);
      await send({ ...PATCH, path: "/after" });
      expect(paths).toEqual(when === "is reused" ? ["/before", "/after"] : ["/after"]);
      // No connection was lost by it. (Over HTTP/1.1 undici opens another before it looks whether the first is free again.)
      expect(server.sockets.size).toBe(server.connections);
      if (protocol === "HTTP/2") expect(server.connections).toBe(1);
    },
  );

  test("is called once, before the server has anything", async () => {
    const { paths, send } = await start();
    const then: string[][] = [];
    await send({
      ...PATCH,
      onSend: () => {
        then.push([...paths]);
      },
    });
    expect(then).toEqual([[]]);
  });

  test("is not called for what surely is not sent", async () => {
    const { server, send } = await start();
    await server[Symbol.asyncDispose]();
    let calls = 0;
    const error = await failure(
      send({
        ...PATCH,
        onSend: () => {
          calls++;
        },
      }),
    );
    expect([error.sent, calls]).toEqual([false, 0]);
  });
});

describe("the signal", () => {
  /** Accepts connections and says nothing, so that a TLS handshake never ends. */
  const silent = () => use(startWireServer(() => {}));

  test.each(["GET", "PATCH"] as const)(
    "ends a %s that waits for a connection at once, and it is not sent later",
    async (method) => {
      const server = await use(startWireServer(({ socket }) => socket.write(http1(200, {})), certified));
      // The handshake begins when the proxy in between lets it.
      const open = Promise.withResolvers<void>();
      const gate = await use(
        startWireServer(async ({ socket }) => {
          await open.promise;
          const upstream = connect(server.port, "127.0.0.1");
          await once(upstream, "connect");
          socket.write("HTTP/1.1 200 OK\r\n\r\n");
          socket.removeAllListeners("data");
          socket.pipe(upstream).pipe(socket);
        }),
      );
      const { send } = await use(
        openClusterClient({ server: server.url, "certificate-authority-data": ca, "proxy-url": gate.url }),
      );
      const caller = new AbortController();
      const pending = failure(send({ method, path: "/held", signal: caller.signal, timeoutMs: HOUR_MS }));
      await expect.poll(() => gate.requests.length).toBe(1);
      caller.abort(new Error("gone"));
      const error = await pending;
      expect([error.sent, error.cause]).toEqual([false, new Error("gone")]);
      open.resolve();
      expect((await send({ path: "/next" })).status).toBe(200);
      expect(server.requests.map(({ target }) => target)).toEqual(["/next"]);
    },
  );

  test("waits no longer than its limit for a connection, behind others too", async () => {
    const { port } = await silent();
    const { send } = await use(openClusterClient({ server: `https://127.0.0.1:${port}` }));
    const all = Promise.all(Array.from({ length: 20 }, () => failure(send({ ...PATCH, timeoutMs: 300 }))));
    // One after the other they would wait for twice as long: a machine that stands still holds up this clock too.
    const errors = await Promise.race([all, delay(3_000, [], { ref: false })]);
    expect(new Set(errors.map(({ sent }) => sent))).toEqual(new Set([false]));
    expect(errors[0]?.cause).toEqual(new Error("there was no connection within 300 ms"));
  });

  test.each(["HTTP/1.1", "HTTP/2"])(
    "does not end a PATCH that has left, but ends a GET at once (%s)",
    async (protocol) => {
      const came = new EventTarget();
      const wait = () =>
        new Promise<void>((resolve) => came.addEventListener("request", () => resolve(), { once: true }));
      const closed: string[] = [];
      const options = { "certificate-authority-data": ca };
      const server =
        protocol === "HTTP/2"
          ? await use(
              startStreamServer(certified, ({ method, stream }) => {
                stream.on("close", () => closed.push(method));
                came.dispatchEvent(new Event("request"));
                if (method === "PATCH") void delay(100).then(() => respond(stream, 200, { done: true }));
              }),
            )
          : await use(
              startWireServer(({ method, socket }) => {
                socket.on("close", () => closed.push(method));
                came.dispatchEvent(new Event("request"));
                if (method === "PATCH") void delay(100).then(() => socket.write(http1(200, { done: true })));
              }, certified),
            );
      const { send } = await use(openClusterClient({ server: server.url, ...options }));
      const caller = new AbortController();
      const arrived = wait();
      const patch = send({ ...PATCH, signal: caller.signal });
      await arrived;
      caller.abort();
      expect((await patch).json).toEqual({ done: true });

      const other = new AbortController();
      const again = wait();
      const get = failure(send({ signal: other.signal, timeoutMs: HOUR_MS }));
      await again;
      other.abort(new Error("gone"));
      expect((await get).cause).toEqual(new Error("gone"));
      await expect.poll(() => closed).toContain("GET");
    },
  );

  test("an aborted one sends nothing", async () => {
    const server = await use(startWireServer(({ socket }) => socket.write(http1(200, {}))));
    const { send } = await use(openClusterClient({ server: server.url }));
    const error = await failure(send({ ...PATCH, signal: AbortSignal.abort(new Error("gone")) }));
    expect([error.sent, error.cause, server.connections]).toEqual([false, new Error("gone"), 0]);
  });

  test("keeps no listener of 1,000 requests", async () => {
    const server = await use(startStreamServer(certified, ({ stream }) => respond(stream, 200, {})));
    const { send } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    const { signal } = new AbortController();
    const listeners = new Set<unknown>();
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners.add(args[1]);
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners.delete(args[1]);
      remove(...args);
    };
    for (let index = 0; index < 10; index++) {
      await Promise.all(Array.from({ length: 100 }, (_, each) => send(each % 2 ? { signal } : { ...PATCH, signal })));
    }
    await expect.poll(() => listeners.size).toBe(0);
  });
});
