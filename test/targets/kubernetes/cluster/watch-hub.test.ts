import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createWatchHub, type Subscription, type WatchHub } from "../../../../src/targets/kubernetes/cluster/watch.ts";
import type { WorkloadRef } from "../../../../src/targets/kubernetes/workload/object.ts";
import { type Asked, answer, newStream, type Reply, refusal, type Stream, scriptedClient } from "../scripted-client.ts";

const ref = (name: string, namespace = "shop"): WorkloadRef => ({
  cluster: "prod",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace,
  name,
});
const object = (name: string, version: number, namespace = "shop") => ({
  metadata: { namespace, name, uid: `uid-${name}`, resourceVersion: String(version) },
});
const modified = (name: string, version: number, namespace?: string) => ({
  type: "MODIFIED",
  object: object(name, version, namespace),
});
const forbidden = refusal(
  403,
  'deployments.apps is forbidden: User "eve" cannot list resource "deployments"',
  "Forbidden",
);
const never = new AbortController().signal;

/** A hub on a script; `streams` are the watches that were opened, in order. */
function hubOn(script?: (asked: Asked, count: number) => Reply | undefined) {
  const streams: Stream[] = [];
  const { client, asked } = scriptedClient((request, count) => {
    const found = script?.(request, count) ?? (request.type === "list" ? emptyList : newStream());
    if ("lines" in found) streams.push(found);
    return found;
  });
  const hub = createWatchHub("prod", client, { random: () => 0, wait: async () => void (await turn()) });
  return { hub, asked, streams, [Symbol.dispose]: () => hub[Symbol.dispose]() };
}

/** A list that names every object that these tests subscribe to, so that nobody is told that his is gone. */
const emptyList = answer(200, { metadata: { resourceVersion: "10" }, items: [object("web", 4), object("db", 5)] });

/** Waits until a condition holds, at most a thousand turns of the event loop. */
async function until(condition: () => boolean) {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 1000) throw new Error("it never came to that");
    await turn();
  }
}

/** Subscribes, and takes what the first list says. */
async function subscribe(hub: WatchHub, ...wanted: WorkloadRef[]): Promise<Subscription[]> {
  const subscriptions = wanted.map((one) => hub.subscribe(one, never));
  await Promise.all(subscriptions.map((subscription) => subscription.next()));
  return subscriptions;
}

describe("createWatchHub()", () => {
  test("watches once for a thousand readers of one object, and all see each change", async () => {
    using it = hubOn();
    const readers = Array.from({ length: 1000 }, () => it.hub.subscribe(ref("web"), never));
    await Promise.all(readers.map((reader) => reader.next()));
    await until(() => it.streams.length === 1);
    it.streams[0]?.send(modified("web", 11));
    const changes = await Promise.all(readers.map((reader) => reader.next()));
    expect(new Set(changes)).toEqual(new Set([{ type: "object", object: object("web", 11) }]));
    expect(it.asked.map(({ type }) => type)).toEqual(["list", "watch"]);
  });

  test("watches once for different objects of one resource, and each reader sees its own", async () => {
    using it = hubOn();
    const [web, elsewhere] = await subscribe(it.hub, ref("web"), ref("web", "test"));
    await until(() => it.streams.length === 1);
    it.streams[0]?.send(modified("web", 11), modified("web", 12, "test"));
    expect(await web?.next()).toEqual({ type: "object", object: object("web", 11) });
    expect(await elsewhere?.next()).toEqual({ type: "object", object: object("web", 12, "test") });
    expect(it.asked).toHaveLength(2);
  });

  test("watches each resource by itself", async () => {
    using it = hubOn();
    it.hub.subscribe(ref("web"), never);
    it.hub.subscribe({ ...ref("web"), resource: "statefulsets" }, never);
    await until(() => it.streams.length === 2);
    expect(it.asked.filter(({ type }) => type === "watch").map(({ path }) => path)).toEqual([
      "/apis/apps/v1/deployments",
      "/apis/apps/v1/statefulsets",
    ]);
  });

  test("closes the watch when its last reader leaves, and opens another for the next one", async () => {
    using it = hubOn();
    const [first, second] = [it.hub.subscribe(ref("web"), never), it.hub.subscribe(ref("db"), never)];
    await until(() => it.streams.length === 1);
    first.close();
    first.close();
    await turn();
    expect(it.streams[0]?.left).toBe(false);
    second.close();
    await until(() => it.streams[0]?.left === true);
    await subscribe(it.hub, ref("web"));
    await until(() => it.streams.length === 2);
    expect(it.asked.map(({ type }) => type)).toEqual(["list", "watch", "list", "watch"]);
  });

  test("keeps one change for a reader that does not read: the newest", async () => {
    using it = hubOn();
    const [slow, quick] = await subscribe(it.hub, ref("web"), ref("db"));
    await until(() => it.streams.length === 1);
    it.streams[0]?.send(
      ...Array.from({ length: 10_000 }, (_, index) => modified("web", 11 + index)),
      modified("db", 20_000),
    );
    await quick?.next();
    expect(await slow?.next()).toEqual({ type: "object", object: object("web", 10_010) });
    expect(await slow?.next(1)).toBeUndefined();
  });

  test("gives all who read an object the one that the watch has shown last", async () => {
    using it = hubOn();
    const [first, gone] = await subscribe(it.hub, ref("web"), ref("a"));
    await until(() => it.streams.length === 1);
    it.streams[0]?.send(modified("web", 11));
    const change = await first?.next();
    expect(change).toEqual({ type: "object", object: object("web", 11) });
    const late = it.hub.subscribe(ref("web"), never);
    expect(change?.type === "object" && late.last() === change.object && first?.last() === change.object).toBe(true);
    expect(gone?.last()).toBeUndefined();
    expect(it.hub.subscribe(ref("b"), never).last()).toBeUndefined();
  });

  test("ends a wait at once, with its signal's reason, and leaves the others alone", async () => {
    using it = hubOn();
    const left = new AbortController();
    const leaving = it.hub.subscribe(ref("web"), left.signal);
    const [staying] = await subscribe(it.hub, ref("web"));
    await leaving.next();
    const wait = leaving.next();
    const other = staying?.next();
    left.abort(new Error("the caller went away"));
    await expect(wait).rejects.toThrow("the caller went away");
    await expect(leaving.next()).rejects.toThrow("the caller went away");
    await until(() => it.streams.length === 1);
    it.streams[0]?.send(modified("web", 11));
    expect(await other).toEqual({ type: "object", object: object("web", 11) });
  });

  test("brings a change that came before it was waited for", async () => {
    using it = hubOn();
    const [reader] = await subscribe(it.hub, ref("web"));
    await until(() => it.streams.length === 1);
    it.streams[0]?.send(modified("web", 11));
    await turn();
    await turn();
    expect(await reader?.next()).toEqual({ type: "object", object: object("web", 11) });
  });

  test("watches namespaces one by one where it may not watch them all, and remembers that", async () => {
    using it = hubOn(({ path }) => (path.includes("/namespaces/") ? undefined : forbidden));
    const [web, db, elsewhere] = [
      it.hub.subscribe(ref("web"), never),
      it.hub.subscribe(ref("db"), never),
      it.hub.subscribe(ref("web", "test"), never),
    ];
    await until(() => it.streams.length === 2);
    it.hub.subscribe(ref("web"), never);
    await turn();
    expect(it.asked.map(({ type, path }) => `${type} ${path}`)).toEqual([
      "list /apis/apps/v1/deployments",
      "list /apis/apps/v1/namespaces/shop/deployments",
      "list /apis/apps/v1/namespaces/test/deployments",
      "watch /apis/apps/v1/namespaces/shop/deployments",
      "watch /apis/apps/v1/namespaces/test/deployments",
    ]);
    web.close();
    db.close();
    elsewhere.close();
    await until(() => it.streams[1]?.left === true);
    expect(it.streams[0]?.left).toBe(false); // one more reads it
  });

  test("asks for all namespaces again once one was left: the denial may have been that of a server that starts", async () => {
    using it = hubOn(({ path }, count) => (count === 0 && !path.includes("/namespaces/") ? forbidden : undefined));
    const [first] = await subscribe(it.hub, ref("web"));
    first?.close();
    await subscribe(it.hub, ref("web"));
    await until(() => it.asked.at(-1)?.type === "watch");
    expect(it.asked.at(-1)?.path).toBe("/apis/apps/v1/deployments");
  });

  test("tells everyone who moved to his namespace's watch that his object is gone", async () => {
    using it = hubOn(({ path }) => (path.includes("/namespaces/") ? undefined : forbidden));
    const gone = [ref("web"), ref("a"), ref("b")].map((one) => it.hub.subscribe(one, never));
    expect((await Promise.all(gone.map((reader) => reader.next()))).map((change) => change?.type)).toEqual([
      "object",
      "gone",
      "gone",
    ]);
  });

  test("fails every reader where it may watch nowhere", async () => {
    using it = hubOn(() => forbidden);
    const readers = [
      it.hub.subscribe(ref("web"), never),
      it.hub.subscribe(ref("web"), never),
      it.hub.subscribe(ref("db", "test"), never),
    ];
    const changes = await Promise.all(readers.map((reader) => reader.next()));
    expect(changes.map((change) => (change?.type === "failed" ? change.failure.reason : change?.type))).toEqual([
      "RBAC_DENIED",
      "RBAC_DENIED",
      "RBAC_DENIED",
    ]);
  });

  test("begins anew for who comes after a failure", async () => {
    using it = hubOn(({ type }, count) =>
      type === "list" && count === 0
        ? refusal(404, "the server could not find the requested resource", "NotFound")
        : undefined,
    );
    const early = it.hub.subscribe(ref("web"), never);
    expect(await early.next()).toMatchObject({ type: "failed", failure: { reason: "API_VERSION_NOT_SERVED" } });
    const late = it.hub.subscribe(ref("web"), never);
    expect(await late.next()).toEqual({ type: "object", object: object("web", 4) });
    await until(() => it.streams.length === 1);
    await turn();
    early.close();
    late.close();
    await until(() => it.streams[0]?.left === true);
  });

  test("closes every watch when it is disposed of", async () => {
    const it = hubOn();
    it.hub.subscribe(ref("web"), never);
    it.hub.subscribe({ ...ref("web"), resource: "statefulsets" }, never);
    await until(() => it.streams.length === 2);
    it.hub[Symbol.dispose]();
    await until(() => it.streams.every(({ left }) => left));
  });
});
