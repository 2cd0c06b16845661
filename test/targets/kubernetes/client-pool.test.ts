import type { Http2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { Pool, request } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import type { Client } from "../../../src/targets/kubernetes/client.ts";
import { asRequest, loopbackCertificates, openClusterClient } from "../../support/cluster-client.ts";
import { startConnectProxy } from "../../support/proxy.ts";
import { http1, respond, startStreamServer, startWireServer } from "../../support/wire-server.ts";

const { authority, certified, ca } = loopbackCertificates();
let cleanup = new AsyncDisposableStack();
afterEach(async () => {
  await cleanup.disposeAsync();
  cleanup = new AsyncDisposableStack();
});
const use = async <Resource extends AsyncDisposable>(resource: Promise<Resource>): Promise<Resource> =>
  cleanup.use(await resource);

/** A server whose watches (paths `/watch...`) stay open, and which answers everything else. */
async function start(maxConcurrentStreams?: number, proxyPort?: number) {
  const watches: ServerHttp2Stream[] = [];
  const server = await use(
    startStreamServer(
      certified,
      ({ stream, path }) => {
        if (!path.startsWith("/watch")) return respond(stream, 200, {});
        stream.respond({ ":status": 200 });
        stream.write("{}\n");
        watches.push(stream);
      },
      maxConcurrentStreams === undefined ? {} : { maxConcurrentStreams },
    ),
  );
  const proxy = proxyPort === undefined ? {} : { "proxy-url": `http://127.0.0.1:${proxyPort}` };
  const opened = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca, ...proxy }));
  return { server, watches, ...opened };
}

/** Longer than any test: what waits for it, hangs. */
const HOUR_MS = 3_600_000;

async function watch(client: Client, options: Parameters<typeof asRequest>[0] = {}): Promise<AsyncIterator<string>> {
  const opened = await client.watch(asRequest({ path: "/watch", ...options }));
  if ("status" in opened) throw new Error(`the watch was refused with ${opened.status}`);
  return opened[Symbol.asyncIterator]();
}

describe("connections", () => {
  test("200 requests one after another need 1", async () => {
    const { server, send } = await start();
    for (let index = 0; index < 200; index++) await send({ method: index % 2 ? "GET" : "PATCH" });
    expect([server.streams.length, server.connections]).toEqual([200, 1]);
  });

  test("500 requests at once need a handful", async () => {
    const { server, send } = await start();
    await Promise.all(Array.from({ length: 500 }, () => send({ method: "PATCH" })));
    expect(server.streams).toHaveLength(500);
    expect(server.connections).toBeLessThanOrEqual(6);
  });

  test.each([100, 250])(
    "100 open watches hold nothing up where %i streams may be open",
    async (maxConcurrentStreams) => {
      const { server, watches, client, send } = await start(maxConcurrentStreams);
      const iterators = await Promise.all(Array.from({ length: 100 }, () => watch(client)));
      expect(watches).toHaveLength(100);
      await Promise.all(Array.from({ length: 50 }, () => send({ method: "PATCH", timeoutMs: HOUR_MS })));
      await send({ method: "PATCH", timeoutMs: HOUR_MS });
      expect(server.connections).toBeLessThanOrEqual(3);
      for (const iterator of iterators) await iterator.next();
    },
  );

  test("300 watches are open at once", async () => {
    const { server, watches, client, send } = await start();
    await Promise.all(Array.from({ length: 300 }, () => watch(client)));
    expect(watches).toHaveLength(300);
    await send({ method: "PATCH" });
    expect(server.connections).toBeLessThanOrEqual(5);
  });

  test("a quiet one is used again after seconds", async () => {
    const { server, send } = await start();
    await send();
    await delay(5_000);
    await send();
    expect(server.connections).toBe(1);
  });

  // As an API server that shuts down, or spreads its load: what is open may finish.
  const goAway = (server: { readonly sessions: Iterable<Http2Session> }) => {
    for (const session of server.sessions) session.goaway(0, 2 ** 31 - 1);
    return delay(20);
  };

  test.each(["direct", "by a proxy"])(
    "GOAWAY lets watches on the old one go on while a new one serves (%s)",
    async (way) => {
      const proxy = await use(startConnectProxy());
      const { server, watches, client, send } = await start(100, way === "direct" ? undefined : proxy.port);
      // More watches than one connection carries: the pool goes on having another.
      const iterators = await Promise.all(Array.from({ length: 130 }, () => watch(client)));
      for (const iterator of iterators) await iterator.next();
      const before = server.connections;
      await goAway(server);
      // One that crosses the GOAWAY may fail, but none waits, as it would for the watches.
      await send({ method: "PATCH", timeoutMs: HOUR_MS }).catch(() => {});
      await Promise.all(Array.from({ length: 10 }, () => send({ method: "PATCH", timeoutMs: HOUR_MS })));
      iterators.push(await watch(client, { timeoutMs: HOUR_MS }));
      expect(server.connections).toBeLessThanOrEqual(before + 2);
      for (const stream of watches) stream.write('{"late":1}\n');
      for (const iterator of iterators.slice(0, 130)) expect((await iterator.next()).value).toBe('{"late":1}');
      // Nothing is left of the old ones once their watches end.
      for (const stream of watches.slice(0, 130)) stream.end();
      for (const iterator of iterators.slice(0, 130)) expect((await iterator.next()).done).toBe(true);
      await expect.poll(() => server.sockets.size).toBeLessThanOrEqual(2);
    },
  );

  test("GOAWAY on one of two connections holds nothing up", async () => {
    const { server, client, send } = await start();
    await Promise.all(Array.from({ length: 130 }, () => watch(client)));
    const [full] = server.sessions;
    if (full === undefined) throw new Error("no connection");
    await goAway({ sessions: [full] });
    for (let index = 0; index < 80; index++) {
      const patch = { method: "PATCH", timeoutMs: HOUR_MS } as const;
      await Promise.all([watch(client, { timeoutMs: HOUR_MS }), send(patch), send(patch)]);
    }
  });

  test("what crosses a GOAWAY does not wait for the watches, and no PATCH is sent twice", async () => {
    const { server, client, send } = await start();
    let lost = 0;
    for (let index = 0; index < 30; index++) {
      await watch(client);
      for (const session of server.sessions) session.goaway(0, 2 ** 31 - 1);
      const crossing = (each: number) => async () => {
        for (let wait = 0; wait < each; wait++) await setImmediate();
        await send({ method: "PATCH", path: `/${index}/${each}`, timeoutMs: HOUR_MS }).catch(() => lost++);
      };
      await Promise.all(Array.from({ length: 12 }, (_, each) => crossing(each)()));
    }
    const patches = server.streams.filter(({ method }) => method === "PATCH").map(({ path }) => path);
    expect(new Set(patches).size).toBe(patches.length);
    expect(patches.length + lost).toBe(360);
  });

  test("an end of the client ends what is open on old ones, too", async () => {
    const { server, client } = await start();
    const iterator = await watch(client, { timeoutMs: HOUR_MS });
    await iterator.next();
    await goAway(server);
    const other = await watch(client, { timeoutMs: HOUR_MS });
    await other.next();
    await client[Symbol.asyncDispose]();
    await expect(iterator.next()).rejects.toThrow();
    await expect(other.next()).rejects.toThrow();
    await expect.poll(() => server.sockets.size).toBe(0);
  });

  test("undici by itself lets a request wait behind a watch after GOAWAY", async () => {
    const { server, watches } = await start();
    const pool = cleanup.adopt(new Pool(server.url, { connect: { ca: authority.cert } }), (each) => each.destroy());
    const opened = await request(`${server.url}/watch`, { dispatcher: pool });
    opened.body.on("error", () => {});
    await expect.poll(() => watches.length).toBe(1);
    await goAway(server);
    const pending = request(`${server.url}/x`, { dispatcher: pool }).then(() => "answered");
    expect(await Promise.race([pending, delay(300, "waits")])).toBe("waits");
    watches[0]?.end();
    opened.body.resume();
    expect(await pending).toBe("answered");
  });
});

describe("watch()", () => {
  /** The lines that come of pieces which the server writes one by one. */
  const linesOf = async (pieces: readonly (string | Buffer)[]): Promise<string[]> => {
    const server = await use(
      startWireServer(async ({ socket }) => {
        socket.setNoDelay(true);
        socket.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n");
        for (const piece of pieces) {
          socket.write(piece);
          await delay(5);
        }
        socket.end();
      }),
    );
    const { client } = await use(openClusterClient({ server: server.url }));
    const lines: string[] = [];
    const iterator = await watch(client);
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) lines.push(next.value);
    return lines;
  };
  const euro = Buffer.from("€");

  test.each<[string, (string | Buffer)[], string[]]>([
    ["split anywhere", ['{"a', '":1}', "\n{", '"b":2}\n'], ['{"a":1}', '{"b":2}']],
    ["several in one piece", ["1\n2\n3\n4", "5\n"], ["1", "2", "3", "45"]],
    ["empty lines", ["\n\n1\n", "\n", "2\n\n"], ["1", "2"]],
    ["split within a character", ["a", euro.subarray(0, 1), euro.subarray(1, 2), euro.subarray(2), "b\n"], ["a€b"]],
    ["an end in the middle of a line is no line", ["1\n", '{"cut'], ["1"]],
    ["nothing", [], []],
  ])("gives whole lines: %s", async (_name, pieces, lines) => {
    expect(await linesOf(pieces)).toEqual(lines);
  });

  test("reads a line of 10 million characters without going over it again and again", async () => {
    const begun = process.cpuUsage();
    const [line] = await linesOf(["x".repeat(10_000_000), "\n"]);
    expect(line).toHaveLength(10_000_000);
    expect(process.cpuUsage(begun).user / 1_000).toBeLessThan(2_000);
  });

  test("refuses a line that does not end", async () => {
    await expect(linesOf([Buffer.alloc(17 * 1024 * 1024, "x")])).rejects.toThrow(
      "a line of the watch is longer than 16777216 characters",
    );
  });

  test("gives a refusal as an answer", async () => {
    const server = await use(startWireServer(({ socket }) => socket.write(http1(410, { reason: "Expired" }))));
    const { client } = await use(openClusterClient({ server: server.url }));
    expect(await client.watch(asRequest())).toMatchObject({ status: 410, json: { reason: "Expired" } });
  });

  test("ends in an error when its connection does", async () => {
    const { server, client } = await start();
    const iterator = await watch(client);
    await iterator.next();
    for (const socket of server.sockets) socket.destroy();
    await expect(iterator.next()).rejects.toThrow();
  });

  test("ends in an error when nothing comes for too long", async () => {
    const { client, send } = await start();
    await send(); // the limit is for a connection, too
    const iterator = await watch(client, { timeoutMs: 1_000 });
    await iterator.next();
    await expect(iterator.next()).rejects.toMatchObject({ code: "UND_ERR_BODY_TIMEOUT" });
  });

  test.each(["HTTP/1.1", "HTTP/2"])("return() and the signal close the stream at once (%s)", async (protocol) => {
    let open = 0;
    const begin = (stream: ServerHttp2Stream | Socket) => {
      open++;
      stream.on("close", () => open--);
    };
    const server =
      protocol === "HTTP/2"
        ? await use(
            startStreamServer(certified, ({ stream }) => {
              begin(stream);
              stream.respond({ ":status": 200 });
              stream.write("1\n2\n");
            }),
          )
        : await use(
            startWireServer(({ socket }) => {
              begin(socket);
              socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n");
            }, certified),
          );
    const { client } = await use(openClusterClient({ server: server.url, "certificate-authority-data": ca }));
    const closed = () => expect.poll(() => open, { interval: 5 }).toBe(0);

    const first = await watch(client);
    expect(await first.next()).toEqual({ done: false, value: "1" });
    await first.return?.();
    await closed();

    for (const reads of [0, 1, 2]) {
      const caller = new AbortController();
      const iterator = await watch(client, { signal: caller.signal });
      for (let index = 0; index < reads; index++) await iterator.next();
      expect(open).toBe(1);
      caller.abort(new Error("enough"));
      await closed();
      if (reads > 0) await expect(iterator.next().then(() => iterator.next())).rejects.toThrow("enough");
    }
  });
});
