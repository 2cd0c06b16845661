import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient } from "../../../../src/targets/kubernetes/client.ts";
import { openCredentials } from "../../../../src/targets/kubernetes/cluster/credentials.ts";
import { createWatchHub } from "../../../../src/targets/kubernetes/cluster/watch.ts";
import { type KubeObject, replies, type SimulatorUser } from "../../../../src/targets/kubernetes/simulator.ts";
import { createAuthority } from "../../../cluster/certificates.ts";
import { testClock } from "../../../support/cluster-client.ts";
import { contextsOf, type InMemory, restartdInMemory } from "../../../support/restartd.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";
import { follow } from "../behaviour/watch.ts";
import { eventually } from "../behaviour/world.ts";

const ref = { group: "apps", version: "v1", resource: "deployments", namespace: "default", name: "web" };
const WATCH = /\/deployments\?.*watch=true/;
const WORKLOADS = { groups: ["apps"], resources: ["deployments"] };
const users: readonly SimulatorUser[] = [
  {
    name: "local",
    token: "token-of-local",
    rules: [{ verbs: ["get", "list", "watch"], ...WORKLOADS, namespaces: ["default"] }],
  },
  { name: "getter", token: "token-of-getter", rules: [{ verbs: ["get"], ...WORKLOADS }] },
  {
    name: "lister",
    token: "token-of-lister",
    rules: [{ verbs: ["get", "list"], ...WORKLOADS, namespaces: ["default"] }],
  },
];

describe.each(["event", "status"] as const)(
  "watches of a simulator that says by an HTTP %s what expired",
  (expiredWatch) => {
    let backend: SimulatorBackend;
    let restartd: InMemory;
    beforeEach(async () => {
      backend = await startSimulatorBackend({ users, expiredWatch, bookmarkPeriod: 20 });
      restartd = restartdInMemory({ clusters: contextsOf(backend.kubeconfig, ["admin", ...backend.users]) });
      const labels = { app: "web" };
      // Paused: its rollout stays as it is.
      backend.simulator.create({
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "web", namespace: "default" },
        spec: {
          paused: true,
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } },
        },
      });
      await eventually(
        async () => backend.simulator.get("apps", "deployments", "default", "web")?.status !== undefined,
      );
    });
    afterEach(async () => {
      await restartd[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
    });

    const requests = (pattern: RegExp) => backend.simulator.requests.filter(({ path }) => pattern.test(path));
    const lists = () => requests(/\/deployments\?limit=/).length;
    const watchVersion = () => {
      const { path = "" } = requests(WATCH).at(-1) ?? {};
      return Number(new URL(path, "http://simulator").searchParams.get("resourceVersion"));
    };
    const scale = (replicas: number) =>
      backend.simulator.edit("apps", "deployments", "default", "web", (object: KubeObject) => {
        object.spec = { ...(object.spec as object), replicas };
      });
    /** A watch that is open here and there. */
    const opened = async (cluster = "patcher") => {
      const watch = follow(restartd, { cluster, ...ref });
      await watch.until(() => true);
      await eventually(async () => backend.simulator.watches === 1);
      return watch;
    };

    test("say what changed while the server was away", async () => {
      const watch = await opened();
      await backend.simulator.stop();
      scale(7);
      await backend.simulator.restartServer();
      await watch.until(({ desired }) => desired === 7);
      expect(lists()).toBe(2);
    });

    test("go on without another list where the server forgot nothing", async () => {
      const watch = await opened();
      await backend.simulator.stop();
      scale(7);
      await backend.simulator.start();
      await watch.until(({ desired }) => desired === 7);
      expect(lists()).toBe(1);
    });

    test("say that the object went while the server was away", async () => {
      const watch = await opened();
      await backend.simulator.stop();
      const { namespace, name } = ref;
      backend.simulator.recreate("apps", "deployments", namespace, name);
      await backend.simulator.restartServer();
      expect(await watch.end).toMatchObject({ reason: "OBJECT_REPLACED" });
    });

    test("say that the object was made anew, though both happened at once", async () => {
      const before = backend.simulator.get("apps", "deployments", "default", "web")?.metadata.uid;
      const watch = await opened();
      const after = backend.simulator.recreate("apps", "deployments", "default", "web").metadata.uid;
      expect(await watch.end).toMatchObject({
        code: "Aborted",
        reason: "OBJECT_REPLACED",
        message: "deployments.apps/default/web was deleted and made anew while it was watched",
        metadata: { cluster: "patcher", old_uid: before, new_uid: after },
        details: { ResourceInfo: {} },
      });
    });

    test("say that the object was deleted while the watch was down", async () => {
      const watch = await opened();
      backend.simulator.inject({ path: WATCH, times: 2, answer: replies.tooManyRequests() });
      backend.simulator.resetConnections();
      await eventually(async () => requests(WATCH).length >= 2);
      await backend.request("DELETE", "/apis/apps/v1/namespaces/default/deployments/web");
      backend.simulator.compact();
      expect(await watch.end).toMatchObject({ code: "NotFound", reason: "TARGET_NOT_FOUND" });
    });

    test("go on from the last bookmark", async () => {
      const watch = await opened();
      const begin = watchVersion();
      // What nobody watches moves the version of all.
      for (let count = 0; count < 5; count++) {
        await backend.request("POST", "/api/v1/namespaces", { body: { metadata: { name: `n${count}` } } });
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
      backend.simulator.resetConnections();
      await eventually(async () => requests(WATCH).length === 2);
      expect(watchVersion()).toBeGreaterThan(begin);
      expect(lists()).toBe(1);
      scale(3);
      await watch.until(({ desired }) => desired === 3);
    });

    test.each(["expired", "silent"] as const)("go on after the server ended them (%s)", async (way) => {
      const watch = await opened();
      backend.simulator.endWatches(way);
      await eventually(async () => requests(WATCH).length === 2);
      expect(lists()).toBe(way === "expired" ? 2 : 1);
      scale(3);
      await watch.until(({ desired }) => desired === 3);
    });

    test("outlive lines that are none", async () => {
      const watch = await opened();
      const body = '{"type":"MODIFIED","object":{"metadata":{"resourceVersion":"9999999"}}}\n{"type":"MODI\u0000\n';
      const fault = backend.simulator.inject({
        path: WATCH,
        times: 3,
        answer: { status: 200, headers: { "content-type": "application/json" }, body },
      });
      backend.simulator.resetConnections();
      scale(4);
      await watch.until(({ desired }) => desired === 4);
      await eventually(async () => fault.hits === 3 && backend.simulator.watches === 1);
      expect(lists()).toBe(4);
      scale(5);
      await watch.until(({ desired }) => desired === 5);
    });

    test("outlive two refusals of their credentials, and end with the third", async () => {
      const watch = await opened();
      const unauthorized = { status: 401, headers: {}, body: JSON.stringify({ kind: "Status", code: 401 }) };
      backend.simulator.inject({ path: WATCH, times: 2, answer: unauthorized });
      backend.simulator.resetConnections();
      await eventually(async () => requests(WATCH).length === 4);
      scale(4);
      await watch.until(({ desired }) => desired === 4);
      backend.simulator.inject({ path: WATCH, times: 3, answer: unauthorized });
      backend.simulator.resetConnections();
      expect(await watch.end).toMatchObject({ code: "Internal", reason: "CLUSTER_CREDENTIALS_REJECTED" });
    });

    test("are of one namespace for who may watch no other", async () => {
      const watch = await opened("local");
      scale(3);
      await watch.until(({ desired }) => desired === 3);
      expect(requests(WATCH).map(({ path }) => new URL(path, "http://simulator").pathname)).toEqual([
        "/apis/apps/v1/namespaces/default/deployments",
      ]);
      watch.cancel();
      await eventually(async () => backend.simulator.watches === 0);
    });

    test.each([
      ["getter", "list"],
      ["lister", "watch"],
    ])("are denied to who may only read: %s", async (cluster, verb) => {
      const watch = follow(restartd, { cluster, ...ref });
      expect(await watch.end).toMatchObject({
        code: "PermissionDenied",
        reason: "RBAC_DENIED",
        message: `cluster ${cluster}: restartd's account may not ${verb} deployments.apps; RBAC has to grant it that`,
      });
      expect(watch.messages).toHaveLength(1);
    });

    test("bring the newest to who reads slowly, and nothing in between", async () => {
      const left = new AbortController();
      const request = { cluster: "patcher", ...ref };
      const slow = restartd.client.watchRollout(request, { signal: left.signal })[Symbol.asyncIterator]();
      await slow.next();
      const quick = await opened();
      for (let replicas = 2; replicas <= 10_001; replicas++) {
        scale(replicas);
      }
      await quick.until(({ desired }) => desired === 10_001);
      const seen: number[] = [];
      while (seen.at(-1) !== 10_001) {
        const { value } = await slow.next();
        seen.push(value.desired);
      }
      // What was on its way to the reader when it stopped, and the newest.
      expect(seen.length).toBeLessThan(5);
      left.abort();
      quick.cancel();
      await quick.end;
      await eventually(async () => backend.simulator.watches === 0);
    });

    test("end with their callers, at once", async () => {
      const watch = await opened();
      watch.cancel();
      expect(await watch.end).toMatchObject({ code: "Canceled" });
      await eventually(async () => backend.simulator.watches === 0);
    });
  },
);

describe.each([
  ["HTTP/1.1", false],
  ["HTTP/2", true],
])("a watch over %s", (_protocol, secure) => {
  test("is opened again when it is silent for too long", async () => {
    const authority = createAuthority("silent");
    const { key, cert } = authority.issue({ commonName: "api", usage: "server", hosts: ["127.0.0.1"] });
    const tls = { key, cert: cert + authority.cert };
    await using backend = await startSimulatorBackend(secure ? { tls } : {});
    const source = { kubeconfig: backend.kubeconfig };
    const credentials = openCredentials(source, {
      monotonic: () => performance.now(),
      now: () => new Date(),
      tell: () => {},
    });
    await using client = createClient(credentials, "restartd/test", testClock());
    using hub = createWatchHub("silent", client, { random: Math.random, silenceMs: 300, wait: async () => {} });
    hub.subscribe({ cluster: "silent", ...ref }, new AbortController().signal);
    const watches = () => backend.simulator.requests.filter(({ path }) => WATCH.test(path));
    await eventually(async () => watches().length >= 3);
    expect(watches()[0]?.httpVersion).toBe(secure ? "2.0" : "1.1");
    expect(backend.simulator.watches).toBeLessThanOrEqual(1);
  });
});
