import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { NoAnswer } from "../../../../src/clouds/http.ts";
import { type Change, feed } from "../../../../src/targets/kubernetes/cluster/feed.ts";
import { type Asked, answer, newStream, type Reply, refusal, type Stream, scriptedClient } from "../scripted-client.ts";

const PATH = "/apis/apps/v1/deployments";

const object = (name: string, resourceVersion: number, uid = `uid-${name}`) => ({
  metadata: { namespace: "shop", name, uid, resourceVersion: String(resourceVersion) },
});
const list = (resourceVersion: number, items: unknown[] = [], more?: string) =>
  answer(200, { metadata: { resourceVersion: String(resourceVersion), continue: more }, items });
const modified = (name: string, version: number) => ({ type: "MODIFIED", object: object(name, version) });
const bookmark = (version: number) => ({
  type: "BOOKMARK",
  object: { kind: "Deployment", metadata: { resourceVersion: String(version) } },
});
const expired = { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", metadata: {} } };
const forbidden = refusal(
  403,
  'deployments.apps is forbidden: User "eve" cannot watch resource "deployments"',
  "Forbidden",
);
const unauthorized = refusal(401, "Unauthorized", "Unauthorized");
const reset = new Error("read ECONNRESET");

/** Runs a feed on a script, until the test's end. Waits are over at once, and noted. */
function run(
  script: (asked: Asked, count: number) => Reply | Promise<Reply>,
  wanted: readonly string[] = ["shop/web"],
) {
  const stop = new AbortController();
  const waits: number[] = [];
  const changes: [string, Change][] = [];
  const { client, asked } = scriptedClient(script);
  const ended = feed(
    client,
    PATH,
    { cluster: "prod", verb: "watch", what: "deployments.apps" },
    {
      keys: () => wanted,
      put: (key, change) => wanted.includes(key) && changes.push([key, change]),
      forget: () => {},
    },
    stop.signal,
    {
      random: () => 0.5,
      silenceMs: 77,
      async wait(ms, signal) {
        waits.push(ms);
        await turn();
        signal.throwIfAborted();
      },
    },
  );
  ended.catch(() => {}); // a test that looks at it sees it still
  return {
    asked,
    waits,
    changes,
    ended,
    stop: () => stop.abort(new Error("the last reader left")),
    watches: () => asked.filter(({ type }) => type === "watch"),
    lists: () => asked.filter(({ type }) => type === "list"),
    /** Waits until a condition holds, at most a thousand turns of the event loop. */
    async until(condition: () => boolean) {
      for (let turns = 0; !condition(); turns++) {
        if (turns > 1000) throw new Error("it never came to that");
        await turn();
      }
    },
    [Symbol.dispose]: () => stop.abort(),
  };
}

/** A script that always lists nothing at version 10 and answers watches with these, then with a silent one. */
const watches =
  (...replies: Reply[]) =>
  ({ type }: Asked, count: number): Reply =>
    type === "list" ? list(10) : (replies[count] ?? newStream());

/** A watch that says this and ends. */
function said(...lines: unknown[]): Stream {
  const stream = newStream();
  stream.send(...lines);
  stream.end();
  return stream;
}

describe("feed()", () => {
  test("lists, then watches from the list's version, with bookmarks and an end of its own", async () => {
    using it = run(({ type }) => (type === "list" ? list(10, [object("web", 4), object("other", 5)]) : newStream()));
    await it.until(() => it.watches().length === 1);
    expect(it.asked).toEqual([
      { type: "list", path: PATH, query: { limit: "500", continue: undefined }, timeoutMs: 30_000 },
      {
        type: "watch",
        path: PATH,
        query: { watch: "true", allowWatchBookmarks: "true", resourceVersion: "10", timeoutSeconds: "450" },
        timeoutMs: 77,
      },
    ]);
    expect(it.changes).toEqual([["shop/web", { type: "object", object: object("web", 4) }]]);
  });

  test("reads every page of a list, and says what is not in it", async () => {
    using it = run(
      ({ type, query }) => {
        if (type !== "list") return newStream();
        return query.continue === undefined ? list(10, [object("a", 1)], "next") : list(10, [object("b", 2)]);
      },
      ["shop/a", "shop/b", "shop/c"],
    );
    await it.until(() => it.watches().length === 1);
    expect(it.changes).toEqual([
      ["shop/a", { type: "object", object: object("a", 1) }],
      ["shop/b", { type: "object", object: object("b", 2) }],
      ["shop/c", { type: "gone", resourceVersion: "10" }],
    ]);
  });

  test("begins a list again that expired between its pages, and still misses what was deleted meanwhile", async () => {
    using it = run(
      ({ type }, count) => {
        if (type !== "list") return newStream();
        return [list(10, [object("a", 1)], "next"), refusal(410, "expired", "Expired"), list(12)][count] ?? list(0);
      },
      ["shop/a"],
    );
    await it.until(() => it.watches().length === 1);
    expect(it.changes).toEqual([
      ["shop/a", { type: "object", object: object("a", 1) }],
      ["shop/a", { type: "gone", resourceVersion: "12" }],
    ]);
    expect(it.watches()[0]?.query.resourceVersion).toBe("12");
    expect(it.waits).toEqual([375]);
  });

  test("brings what happens to whom it is wanted of", async () => {
    const stream = newStream();
    using it = run(watches(stream));
    await it.until(() => it.watches().length === 1);
    it.changes.length = 0;
    stream.send(modified("web", 11), modified("other", 12), bookmark(13), {
      type: "DELETED",
      object: object("web", 14),
    });
    await it.until(() => it.changes.length === 2);
    expect(it.changes).toEqual([
      ["shop/web", { type: "object", object: object("web", 11) }],
      ["shop/web", { type: "gone", resourceVersion: "14" }],
    ]);
  });

  test("goes on from the last bookmark, without a list and at once, when the server ends the watch in its own time", async () => {
    using it = run(watches(said(bookmark(99))));
    await it.until(() => it.watches().length === 2);
    expect(it.watches()[1]?.query.resourceVersion).toBe("99");
    expect(it.lists()).toHaveLength(1);
    expect(it.waits).toEqual([]);
  });

  test("goes on from the last event when the connection breaks", async () => {
    const stream = newStream();
    using it = run(watches(stream));
    stream.send(modified("web", 40));
    await it.until(() => it.changes.length === 2);
    stream.fail(reset);
    await it.until(() => it.watches().length === 2);
    expect(it.watches()[1]?.query.resourceVersion).toBe("40");
    expect(it.lists()).toHaveLength(1);
    expect(it.waits).toEqual([375]);
  });

  test("waits twice as long after each failure, jittered, at most 15 seconds", async () => {
    using it = run(watches(...Array(8).fill(reset)));
    await it.until(() => it.waits.length === 8 && it.watches().length === 9);
    expect(it.waits).toEqual([375, 750, 1500, 3000, 6000, 11_250, 11_250, 11_250]);
  });

  test("waits shortly again after a watch brought something", async () => {
    using it = run(watches(reset, reset, said(bookmark(20)), reset));
    await it.until(() => it.watches().length === 5);
    expect(it.waits).toEqual([375, 750, 375]);
  });

  test("does not spin on watches that end at once", async () => {
    using it = run(watches(said(), said(), said()));
    await it.until(() => it.watches().length === 4);
    expect(it.waits).toEqual([375, 750, 1500]);
  });

  test.each([
    ["an ERROR event", said(bookmark(11), expired)],
    ["an ERROR event of another kind", said({ type: "ERROR", object: { kind: "Status", code: 500 } })],
    ["HTTP 410", refusal(410, "too old resource version: 10 (500)", "Expired")],
    ["a line that is not JSON", said('{"type":"MODIFIED","object":{"metad')],
    ["a line that is null", said("null")],
    ["a line that is no event", said({ type: "MODIFIED" })],
  ])("lists again after %s", async (_what, reply) => {
    const lists = [list(10, [object("web", 4)]), list(600)];
    using it = run(({ type }, count) =>
      type === "list" ? (lists[count] ?? list(0)) : count === 0 ? reply : newStream(),
    );
    await it.until(() => it.watches().length === 2);
    expect(it.watches()[1]?.query.resourceVersion).toBe("600");
    expect(it.changes.at(-1)).toEqual(["shop/web", { type: "gone", resourceVersion: "600" }]);
    expect(it.waits).toEqual([375]);
  });

  test("lists again soon when a server that was away has forgotten, and ever later when it says nothing else", async () => {
    const old = refusal(410, "too old resource version: 10 (500)", "Expired");
    using it = run(watches(reset, reset, reset, old, old, old));
    await it.until(() => it.watches().length === 7);
    expect(it.waits).toEqual([375, 750, 1500, 375, 750, 1500]);
  });

  test("says after a list that the object was made anew in between", async () => {
    const lists = [list(10, [object("web", 4)]), list(600, [object("web", 550, "another")])];
    using it = run(({ type }, count) =>
      type === "list" ? (lists[count] ?? list(0)) : count === 0 ? said(expired) : newStream(),
    );
    await it.until(() => it.watches().length === 2);
    expect(it.changes.at(-1)).toEqual(["shop/web", { type: "object", object: object("web", 550, "another") }]);
  });

  test.each([
    ["listing is forbidden", "RBAC_DENIED", () => forbidden],
    ["watching is forbidden", "RBAC_DENIED", watches(forbidden)],
    [
      "the version is not served",
      "API_VERSION_NOT_SERVED",
      () => refusal(404, "the server could not find the requested resource", "NotFound"),
    ],
  ])("ends at once when %s from the beginning", async (_what, reason, script) => {
    using it = run(script);
    expect(await it.ended).toMatchObject({ reason });
    expect(it.waits).toEqual([]);
  });

  test.each([
    ["the right to watch is taken away", "RBAC_DENIED", forbidden, 6],
    [
      "the version is served no more",
      "API_VERSION_NOT_SERVED",
      refusal(404, "the server could not find the requested resource", "NotFound"),
      6,
    ],
    ["the credentials are refused", "CLUSTER_CREDENTIALS_REJECTED", unauthorized, 3],
    ["something else answers in its place", "VENDOR_BAD_RESPONSE", answer(403, { message: "no" }), 6],
  ])(
    "ends after some refusals in a row when %s while it runs: a server that starts does so too",
    async (_what, reason, reply, limit) => {
      const refusals = Array.from({ length: limit }, () => reply);
      using it = run(watches(said(bookmark(11)), reply, reply, newStreamThatBreaks(), ...refusals));
      expect(await it.ended).toMatchObject({ reason });
      expect(it.watches()).toHaveLength(4 + limit);
    },
  );

  test("ends after three refused credentials when none was ever accepted", async () => {
    using it = run(() => unauthorized);
    expect(await it.ended).toMatchObject({ reason: "CLUSTER_CREDENTIALS_REJECTED" });
    expect(it.lists()).toHaveLength(3);
  });

  test.each([
    ["is overloaded", refusal(429, "too many requests", "TooManyRequests")],
    ["starts", answer(503, {})],
    ["is behind a proxy that fails", answer(502, undefined)],
    ["cannot be reached", new NoAnswer(false, reset)],
  ])("keeps trying, from where it was, while the server %s", async (_what, reply) => {
    using it = run(watches(said(bookmark(11)), ...Array<Reply>(20).fill(reply)));
    await it.until(() => it.watches().length === 22);
    expect(it.watches()[21]?.query.resourceVersion).toBe("11");
    expect(it.lists()).toHaveLength(1);
  });

  test("ends with its signal, and closes its watch", async () => {
    const stream = newStream();
    using it = run(watches(stream));
    await it.until(() => it.watches().length === 1);
    it.stop();
    await expect(it.ended).rejects.toThrow("the last reader left");
    expect(stream.left).toBe(true);
  });

  test("ends with its signal while it waits", async () => {
    using it = run(() => reset);
    await it.until(() => it.waits.length === 1);
    it.stop();
    await expect(it.ended).rejects.toThrow("the last reader left");
  });
});

/** A watch that was opened, and broke before it said anything. */
function newStreamThatBreaks(): Stream {
  const stream = newStream();
  stream.fail(reset);
  return stream;
}
