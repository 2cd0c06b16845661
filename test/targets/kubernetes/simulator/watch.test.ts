import { afterEach, describe, expect, it } from "vitest";
import type { JsonObject, SimulatorOptions } from "../../../../src/targets/kubernetes/simulator.ts";
import type { SimulatorBackend } from "../../../support/simulator-backend.ts";
import { deployments, mergePatch, startShop, until, web } from "./support.ts";

let backend: SimulatorBackend;
const start = async (options: SimulatorOptions = {}) => {
  backend = await startShop(options);
};
afterEach(() => backend[Symbol.asyncDispose]());

interface Event {
  readonly type: string;
  readonly object: JsonObject & { metadata: { name: string; resourceVersion: string } };
}

/** Opens a watch and gathers its events; `ended` resolves when the stream ends. */
async function watch(query: string, path = deployments) {
  const response = await fetch(`${backend.url}${path}?watch=1&${query}`, {
    headers: { authorization: `Bearer ${backend.simulator.token("admin")}` },
  });
  const events: Event[] = [];
  const read = async () => {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) events.push(JSON.parse(line));
    }
  };
  return { status: response.status, events, ended: read().catch(() => undefined), close: () => response.body };
}

const revision = async () => (await backend.request("GET", deployments)).json().metadata.resourceVersion;

describe("watch", () => {
  it("begins with what there is when no resourceVersion is given, and with a bookmark at its end", async () => {
    await start();
    const { events } = await watch("allowWatchBookmarks=true");
    await until(() => events.length >= 2);
    expect(events.map(({ type, object }) => [type, object.metadata.name])).toEqual([
      ["ADDED", "web"],
      ["BOOKMARK", undefined],
    ]);
    expect(events[0]?.object).toMatchObject({ kind: "Deployment", apiVersion: "apps/v1" });
    expect(events[1]?.object.metadata).toMatchObject({ annotations: { "k8s.io/initial-events-end": "true" } });
  });

  it("tells every change after a resourceVersion, also the past ones", async () => {
    await start();
    await backend.controllers.pause();
    const from = await revision();
    await mergePatch(backend, web, { metadata: { annotations: { a: "1" } } });
    const { events } = await watch(`resourceVersion=${from}`);
    await until(() => events.length === 1);
    await mergePatch(backend, web, { metadata: { annotations: { a: "2" } } });
    await backend.request("DELETE", web);
    await until(() => events.length === 3);
    expect(events.map(({ type }) => type)).toEqual(["MODIFIED", "MODIFIED", "DELETED"]);
    const versions = events.map(({ object }) => Number(object.metadata.resourceVersion));
    expect(versions).toEqual([...versions].sort((left, right) => left - right));
  });

  it("lets objects come and go with the selector", async () => {
    await start();
    await backend.controllers.pause();
    const { events } = await watch(`labelSelector=tier%3Dfront&resourceVersion=${await revision()}`);
    await mergePatch(backend, web, { metadata: { labels: { tier: "front" } } });
    await mergePatch(backend, web, { metadata: { labels: { tier: "back" } } });
    await until(() => events.length === 2);
    expect(events.map(({ type }) => type)).toEqual(["ADDED", "DELETED"]);
  });

  it("sends bookmarks with the newest resourceVersion, only when asked for", async () => {
    await start({ bookmarkPeriod: 10 });
    const from = await revision();
    const asked = await watch(`allowWatchBookmarks=true&resourceVersion=${from}`);
    const silent = await watch(`resourceVersion=${from}`);
    await until(() => asked.events.length >= 2);
    expect(asked.events[0]).toEqual({
      type: "BOOKMARK",
      object: { kind: "Deployment", apiVersion: "apps/v1", metadata: { resourceVersion: from } },
    });
    expect(silent.events).toEqual([]);
  });

  it("ends after timeoutSeconds", async () => {
    await start();
    const { ended } = await watch("timeoutSeconds=1");
    await ended; // or it would after 45 minutes
    expect(backend.simulator.watches).toBe(0);
  });

  it("tells an expired resourceVersion in a 200 stream", async () => {
    await start();
    const from = await revision();
    backend.simulator.edit("apps", "deployments", "shop", "web", (object) => {
      object.metadata.labels = { app: "web", moved: "on" };
    });
    backend.simulator.compact();
    const { status, events, ended } = await watch(`resourceVersion=${from}`);
    await ended;
    expect(status).toBe(200);
    expect(events).toMatchObject([{ type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired" } }]);
    expect(events[0]?.object.message).toMatch(/^too old resource version: \d+ \(\d+\)$/);
  });

  it("tells it by HTTP 410 when it is made to", async () => {
    await start({ expiredWatch: "status" });
    const answer = await backend.request("GET", `${deployments}?watch=1&resourceVersion=1`);
    expect(answer.json()).toMatchObject({ code: 410, reason: "Expired" });
  });

  it("can be ended under way, with and without a word", async () => {
    await start();
    const first = await watch("resourceVersion=0");
    await until(() => backend.simulator.watches === 1);
    backend.simulator.endWatches("expired");
    await first.ended;
    expect(first.events.at(-1)).toMatchObject({ type: "ERROR", object: { code: 410 } });
    const second = await watch("resourceVersion=0");
    backend.simulator.endWatches();
    await second.ended;
    expect(second.events.map(({ type }) => type)).toEqual(["ADDED"]);
  });

  it("forgets the past when the server restarts, and keeps the objects", async () => {
    await start();
    const from = await revision();
    const { ended } = await watch(`resourceVersion=${from}`);
    const { uid } = (await backend.request("GET", web)).json().metadata;
    await mergePatch(backend, web, { metadata: { annotations: { a: "1" } } });
    await backend.restartServer();
    await ended;
    expect((await backend.request("GET", web)).json().metadata.uid).toBe(uid);
    const again = await watch(`resourceVersion=${from}`);
    await again.ended;
    expect(again.events).toMatchObject([{ type: "ERROR", object: { code: 410 } }]);
  });
});

describe("list", () => {
  it("pages through one state of the world", async () => {
    await start();
    await backend.controllers.pause();
    const pods = "/api/v1/namespaces/shop/pods";
    const all = (await backend.request("GET", pods)).json().items.map(nameOf);
    const first = (await backend.request("GET", `${pods}?limit=3`)).json();
    expect(first.metadata.remainingItemCount).toBe(all.length - 3);
    await backend.request("DELETE", `${pods}/${all.at(-1)}?gracePeriodSeconds=0`);
    const rest = (await backend.request("GET", `${pods}?limit=100&continue=${first.metadata.continue}`)).json();
    expect([...first.items, ...rest.items].map(nameOf)).toEqual(all);
    expect(rest.metadata).toEqual({ resourceVersion: first.metadata.resourceVersion });
  });

  it("answers 410 with a token to go on with, and 400 to what is no token", async () => {
    await start();
    const pods = "/api/v1/namespaces/shop/pods?limit=3";
    const first = (await backend.request("GET", pods)).json();
    backend.simulator.compact();
    const expired = await backend.request("GET", `${pods}&continue=${first.metadata.continue}`);
    expect(expired.status).toBe(410);
    expect(expired.json().message).toMatch(
      /^The provided continue parameter is too old to display a consistent list result\./,
    );
    const on = await backend.request("GET", `${pods}&continue=${expired.json().metadata.continue}`);
    expect(on.status).toBe(200);
    expect(on.json().items.map(nameOf)).not.toContain(first.items[0].metadata.name);
    const bad = await backend.request("GET", `${pods}&continue=garbage`);
    expect(bad.status).toBe(400);
    expect(bad.json().message).toMatch(/^invalid continue token: continue key is not valid: /);
  });

  it.each([
    ["labelSelector=app%20in%20(web,other),!absent", 1],
    ["labelSelector=app!%3Dweb", 0],
    ["labelSelector=app%20notin%20(web)", 0],
    ["labelSelector=app", 1],
    ["labelSelector=app%3D%3Dweb", 1],
    ["fieldSelector=metadata.name%3Dweb", 1],
    ["fieldSelector=metadata.name!%3Dweb", 0],
  ])("selects by %s", async (query, count) => {
    await start();
    expect((await backend.request("GET", `${deployments}?${query}`)).json().items).toHaveLength(count);
  });

  it.each([
    ["labelSelector=app%20in%20(a,", 400, "unable to parse requirement: found '', expected: ',', or identifier"],
    ["labelSelector=a%3D%3D%3Db", 400, "unable to parse requirement: found '=', expected: identifier"],
    [
      "labelSelector=bad%20key",
      400,
      "unable to parse requirement: found 'key', expected: in, notin, =, ==, !=, gt, lt",
    ],
    [
      "fieldSelector=spec.replicas%3D1",
      400,
      '"spec.replicas" is not a known field selector: only "metadata.name", "metadata.namespace"',
    ],
    ["limit=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'],
    [
      "resourceVersion=abc",
      400,
      'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
    ],
  ])("refuses %s", async (query, status, message) => {
    await start();
    const answer = await backend.request("GET", `${deployments}?${query}`);
    expect([answer.status, answer.json().message]).toEqual([status, message]);
  });

  it("names kind and apiVersion in the items of custom resources alone", async () => {
    await start();
    const rollouts = (await backend.request("GET", "/apis/argoproj.io/v1alpha1/rollouts")).json();
    expect(rollouts).toMatchObject({ kind: "RolloutList", items: [{ kind: "Rollout" }] });
    const built = (await backend.request("GET", "/apis/apps/v1/deployments")).json();
    expect(built.kind).toBe("DeploymentList");
    expect(built.items[0]).not.toHaveProperty("kind");
  });
});

function nameOf(object: { metadata: { name: string } }): string {
  return object.metadata.name;
}
