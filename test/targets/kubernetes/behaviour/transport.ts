import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer, type Server } from "node:net";
import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { Agent, RetryAgent, request } from "undici";
import { describe, expect, test } from "vitest";
import { createAuthority } from "../../../cluster/certificates.ts";
import { freePorts } from "../../../cluster/ports.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { type InMemory, restartdInMemory } from "../../../support/restartd.ts";
import { openTcpProxy, type TcpProxy } from "../../../support/tcp-proxy.ts";
import { isDiscovery, isRead, isWrite } from "../../../support/wiretap.ts";
import { eventually, IN_PROGRESS, type Made, make, restart, type TheWorld, targetOf } from "./world.ts";

const ref = { group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "web" };

/** Rows 8 and 54 to 57: connections, deadlines, callers that leave. */
export function transportRows(world: TheWorld): void {
  describe("transport", () => {
    test.each([
      ["a closed port", async () => ({ server: `https://127.0.0.1:${await closedPort()}` }), "ECONNREFUSED"],
      [
        "a name that does not exist",
        async () => ({ server: "https://nowhere.invalid:6443" }),
        /^(ENOTFOUND|EAI_AGAIN)$/,
      ],
      ["a server that speaks no TLS", () => listening(createServer((socket) => socket.end("hello\r\n"))), /^ERR_SSL_/],
      [
        "a server that hangs up",
        () => listening(createServer((socket) => socket.destroy())),
        /^ECONNRESET|UND_ERR_SOCKET$/,
      ],
      ["a certificate of somebody else", () => untrusted(), /CERT|SIGNATURE|ISSUER/],
    ])("row 8: %s is surely not applied", async (_what, open, nature) => {
      const { server, ca, close = () => {} }: Address = await open();
      const cluster = { server, ...(ca && { "certificate-authority-data": Buffer.from(ca).toString("base64") }) };
      await using restartd = await restartdFor(cluster);
      const told = await restart(restartd, ref);
      expect(told).toMatchObject({
        code: "Unavailable",
        reason: "CLUSTER_UNREACHABLE",
        outcome: "not_applied",
        metadata: { cluster: "patcher" },
        details: { RetryInfo: { retryDelay: "1s" } },
      });
      const [, shown = ""] =
        /^cluster patcher: its API server cannot be reached \((.*)\)$/.exec(told.message ?? "") ?? [];
      expect(shown).toMatch(nature);
      expect(told.message).not.toContain("127.0.0.1");
      close();
    });

    test("row 55: the deadline passes while the restart is on its way: unknown, and it goes on to its end", async () => {
      const object = await make(world(), "deployments");
      const { tap } = world();
      const restartd = world().another({ deadlineMs: 4_000 });
      const held = Promise.withResolvers<void>();
      tap.on(isWrite, async (_request, forward) => {
        await held.promise;
        return forward();
      });
      const told = await restart(restartd, object.ref);
      const store = await restartd.store;
      const [open] = await store.open();
      const operation = await store.get(open?.name ?? "");
      expect(operation).toMatchObject({ state: "SENDING", evidence: expect.stringContaining('"restarted_at":"') });
      expect(told).toEqual({
        code: "DeadlineExceeded",
        reason: "OUTCOME_UNKNOWN",
        outcome: "unknown",
        message: `the request for ${targetOf(object.ref)} may have been applied; ${operation?.name} tells when that is known, and it is not sent again`,
        metadata: { operation: operation?.name },
        details: {
          RequestInfo: { requestId: restartd.calls[0]?.id },
          ResourceInfo: { resourceType: "restartd.operation", resourceName: operation?.name },
        },
        warnings: [],
      });
      const [write] = tap.writes;
      expect(Number.parseInt(write?.query.get("timeout") ?? "", 10)).toBeLessThanOrEqual(4_000);
      held.resolve();
      expect(restartd.background).toHaveLength(1);
      await restartd.background[0]?.work;
      expect(await store.get(operation?.name ?? "")).toMatchObject({
        state: "SENT",
        vendorJob: await object.restartedAt(),
      });
      expect(tap.writes).toHaveLength(1);
      expect(await object.generation()).toBe(2);
    });

    test("row 56: a caller that leaves before the restart is sent: nothing is sent", async () => {
      const object = await make(world(), "deployments");
      const { tap } = world();
      const restartd = world().another();
      for (const [index, held] of [isDiscovery, isRead].entries()) {
        const controller = new AbortController();
        tap.on(held, (_request, forward) => {
          controller.abort();
          return forward();
        });
        expect((await restart(restartd, object.ref, { signal: controller.signal })).code).toBe("Canceled");
        const call = await eventually(async () => restartd.calls[index]?.failure && restartd.calls[index]);
        expect(call).toMatchObject({ outcome: "not_applied", failure: { reason: "CANCELLED" } });
      }
      await restartd[Symbol.asyncDispose]();
      expect(tap.writes).toEqual([]);
      expect(await object.generation()).toBe(1);
    });

    test("row 56: a caller that leaves after the restart was sent: it goes on, and its outcome is logged", async () => {
      const object = await make(world(), "deployments");
      const { tap } = world();
      const restartd = world().another();
      const controller = new AbortController();
      tap.on(isWrite, async (_request, forward) => {
        controller.abort();
        await eventually(async () => restartd.calls[0]?.failure);
        return forward();
      });
      expect((await restart(restartd, object.ref, { signal: controller.signal })).code).toBe("Canceled");
      const call = await eventually(async () => restartd.calls[0]?.failure && restartd.calls[0]);
      expect(call.failure).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
      expect(restartd.background).toHaveLength(1);
      await restartd.background[0]?.work;
      expect(restartd.background[0]?.call.outcome).toBe("applied");
      expect(tap.writes).toHaveLength(1);
      expect(await object.generation()).toBe(2);
    });

    test("row 57: a deadline that has passed: nothing is asked", async () => {
      const told = await restart(world().another({ deadlineMs: 0 }), ref);
      expect(told).toMatchObject({ code: "DeadlineExceeded", reason: "DEADLINE_EXCEEDED", outcome: "not_applied" });
      expect(world().tap.requests).toEqual([]);
    });

    test("row 57: a deadline too short to write: nothing is written", async () => {
      const object = await make(world(), "deployments");
      const restartd = world().another();
      expect((await restart(restartd, object.ref)).code).toBe("ok");
      world().tap.reset();
      expect(await restart(restartd, object.ref, { headers: { "connect-timeout-ms": "45" } })).toMatchObject({
        code: "DeadlineExceeded",
        reason: "DEADLINE_EXCEEDED",
        outcome: "not_applied",
        message: "too little time was left to send the restart; nothing was sent",
      });
      expect(world().tap.requests).toEqual([]);
    });

    test("row 57: a deadline that passes while reading: nothing is written", async () => {
      const object = await make(world(), "deployments");
      const restartd = world().another({ deadlineMs: 4_000 });
      world().tap.on(isRead, async (_request, forward) => {
        await eventually(async () => restartd.calls[0]?.failure);
        return forward();
      });
      const told = await restart(restartd, object.ref);
      expect(told).toMatchObject({ code: "DeadlineExceeded", reason: "DEADLINE_EXCEEDED", outcome: "not_applied" });
      await eventually(async () => world().tap.requests.some((read) => isRead(read) && read.status === 200));
      expect(world().tap.writes).toEqual([]);
    });

    describe("a connection of the API server's own making", () => {
      const withProxy = async (run: (object: Made, restartd: InMemory, proxy: TcpProxy) => Promise<void>) => {
        const { backend } = world();
        await using proxy = await openTcpProxy(Number(new URL(backend.url).port));
        const kubeconfig = readFileSync(backend.kubeconfig, "utf8").replaceAll(
          `:${new URL(backend.url).port}`,
          `:${proxy.port}`,
        );
        await using restartd = await restartdWith(kubeconfig);
        const object = await make(world(), "deployments");
        expect((await restart(restartd, object.ref)).code).toBe("ok");
        await run(object, restartd, proxy);
      };

      test("row 54: reset after the restart was applied: one read proves it", () =>
        withProxy(async (object, restartd, proxy) => {
          proxy.mode = "deafen";
          const call = restart(restartd, object.ref);
          await eventually(async () => (await object.generation()) === 3);
          proxy.mode = "pass";
          proxy.reset();
          expect(await call).toEqual({ code: "ok", warnings: [] });
          expect(await object.generation()).toBe(3);
          expect(restartd.calls.at(-1)?.outcome).toBe("applied");
        }));

      test("row 54: reset before the restart was applied: its outcome is unknown, and it is not sent again", () =>
        withProxy(async (object, restartd, proxy) => {
          proxy.mode = "swallow";
          const call = restart(restartd, object.ref);
          await eventually(async () => proxy.received > 0);
          proxy.mode = "pass";
          expect(await call).toMatchObject({ code: "Unknown", reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
          expect(await object.generation()).toBe(2);
          expect(await restart(restartd, object.ref)).toMatchObject(IN_PROGRESS);
          expect(await object.generation()).toBe(2);
        }));

      test("row 54: reset while nothing is on its way: nobody notices", () =>
        withProxy(async (object, restartd, proxy) => {
          proxy.reset();
          await delay(50); // for the reset to arrive
          for (let turn = 0; turn < 3; turn++) await setImmediate(); // and to be read: what a busy machine held up comes after timers
          expect(await restart(restartd, object.ref)).toEqual({ code: "ok", warnings: [] });
          expect(await object.generation()).toBe(3);
        }));
    });

    test("the counter would see a second write: a client that retries, cut after its first", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const { tap } = world();
      tap.on(isWrite, async (_request, forward) => {
        await forward();
        return undefined;
      });
      const dispatcher = new RetryAgent(new Agent(), { methods: ["PATCH"], minTimeout: 1 });
      const path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
      const send = async (value: string) =>
        request(tap.url + object.path, {
          method: "PATCH",
          dispatcher,
          headers: { authorization: "Bearer patcher", "content-type": "application/json-patch+json" },
          body: JSON.stringify([{ op: "add", path, value }]),
        });
      await send("one");
      expect(tap.applicable).toHaveLength(2);
      await send("two");
      expect(await object.generation()).toBe(3);
      await dispatcher.close();
    });
  });
}

/** A restartd whose one cluster, `patcher`, is as given. */
function restartdFor(cluster: Record<string, unknown>): Promise<InMemory> {
  return restartdWith(
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster }],
      users: [{ name: "patcher", user: { token: "t" } }],
      contexts: [{ name: "patcher", context: { cluster: "c", user: "patcher" } }],
    }),
  );
}

async function restartdWith(text: string): Promise<InMemory> {
  const folder = await temporaryFolder();
  const kubeconfig = await folder.write("kubeconfig", text);
  const restartd = restartdInMemory({ clusters: { patcher: { kubeconfig, context: "patcher" } } });
  return {
    ...restartd,
    async [Symbol.asyncDispose]() {
      await restartd[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Where something listens, and which authority its clients trust. */
interface Address {
  readonly server: string;
  readonly ca?: string | undefined;
  readonly close?: () => void;
}

async function listening(server: Server, ca?: string): Promise<Address> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { server: `https://127.0.0.1:${port}`, ca, close: () => void server.close() };
}

async function closedPort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

function untrusted(): Promise<Address> {
  const { cert, key } = createAuthority("theirs").issue({
    commonName: "server",
    usage: "server",
    hosts: ["127.0.0.1"],
  });
  const server = createTlsServer({ cert, key }, (_request, response) => response.end("{}"));
  return listening(server as unknown as Server, createAuthority("ours").cert);
}
