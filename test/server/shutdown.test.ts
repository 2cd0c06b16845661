import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/health/v1/health_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { callKey, newCall } from "../../src/core/call.ts";
import { createBackground } from "../../src/server/log.ts";
import { Shutdown } from "../../src/server/shutdown.ts";
import { heldLog } from "../support/log.ts";
import { FORMS, send, serve, summary, validJson } from "./fixture.ts";

describe("close()", () => {
  it.each(FORMS)("tells streams to end: $name", async (form) => {
    const begun = Promise.withResolvers<void>();
    await using fixture = await serve({
      async *watchRollout({ name }, { signal }) {
        yield { name };
        begun.resolve();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        // Ends without saying why: whoever reads it must not take this for the end of the rollout.
      },
    });
    const path = "/restart.kubernetes.v1.WorkloadService/WatchRollout";
    const stream = form.name === "connect" ? FORMS[1] : form;
    const answer = send(2, fixture.server.url, {
      path,
      headers: { "content-type": stream?.json ?? "" },
      body: stream?.frame(validJson()) ?? "",
    });
    await begun.promise;
    expect(await fixture.server.close()).toBe(true);
    expect(summary(stream?.error(await answer))).toMatchObject({ code: "unavailable", reason: "SHUTTING_DOWN" });
  });

  it("ends a stream that is deaf", async () => {
    const begun = Promise.withResolvers<void>();
    await using fixture = await serve({
      async *watchRollout({ name }) {
        yield { name };
        begun.resolve();
        await new Promise(() => {});
      },
    });
    const answer = send(2, fixture.server.url, {
      path: "/restart.kubernetes.v1.WorkloadService/WatchRollout",
      headers: { "content-type": "application/connect+json" },
      body: FORMS[1]?.frame(validJson()) ?? "",
    });
    await begun.promise;
    const closed = fixture.server.close(300);
    expect(summary(FORMS[1]?.error(await answer))).toMatchObject({ reason: "SHUTTING_DOWN" });
    // The generator itself can never end: that is what the bound is for.
    expect(await closed).toBe(false);
  });

  it("says NOT_SERVING to whoever watches, then ends that too", async () => {
    await using fixture = await serve();
    const health = createClient(Health, createGrpcTransport({ baseUrl: fixture.server.url }));
    const seen: number[] = [];
    const watching = (async () => {
      for await (const { status } of health.watch({})) {
        seen.push(status);
        if (seen.length === 1) {
          void fixture.server.close();
        }
      }
    })();
    await expect(watching).rejects.toThrow("[unavailable] the server is shutting down");
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING]);
  });

  it("lets calls finish, and what they left to be done", async () => {
    const shutdown = new Shutdown();
    const background = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    await using fixture = await serve(
      {
        async listClusters() {
          begun.resolve();
          await held.promise;
          shutdown.waitFor(background.promise);
          return {};
        },
      },
      { shutdown },
    );
    const client = createClient(WorkloadService, createGrpcTransport({ baseUrl: fixture.server.url }));
    const list = client.listClusters({});
    await begun.promise;
    let closed = false;
    const closing = fixture.server.close().then((clean) => {
      closed = true;
      return clean;
    });
    held.resolve();
    expect(await list).toMatchObject({ clusters: [] });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).toBe(false);
    background.resolve();
    expect(await closing).toBe(true);
    await expect(client.listClusters({})).rejects.toThrow(/ECONNREFUSED|unavailable/);
  });

  it("cuts off what takes too long, and says so", async () => {
    const begun = Promise.withResolvers<void>();
    await using fixture = await serve({
      async listClusters() {
        begun.resolve();
        return new Promise(() => {});
      },
    });
    const client = createClient(WorkloadService, createGrpcTransport({ baseUrl: fixture.server.url }));
    const list = client.listClusters({});
    list.catch(() => {});
    await begun.promise;
    expect(await fixture.server.close(50)).toBe(false);
    await expect(list).rejects.toThrow();
    expect(await fixture.line((line) => line.level === "warn")).toMatchObject({
      calls: 1,
      limit_ms: 50,
      msg: "shutting down took too long: calls were cut off",
    });
  });

  it("answers health while it drains", async () => {
    const held = Promise.withResolvers<void>();
    const shutdown = new Shutdown();
    shutdown.waitFor(held.promise);
    await using fixture = await serve({}, { shutdown });
    const closing = fixture.server.close();
    const health = createClient(Health, createGrpcTransport({ baseUrl: fixture.server.url }));
    expect(await health.check({})).toMatchObject({ status: Status.NOT_SERVING });
    held.resolve();
    expect(await closing).toBe(true);
  });
});

describe("createBackground()", () => {
  it("logs how work ended whose call has been answered", async () => {
    await using fixture = await serve({
      async restart(_, { values, signal }) {
        const call = values.get(callKey);
        call.target = "clusters/c";
        call.outcome = "unknown";
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await new Promise((resolve) => setTimeout(resolve, 200)); // longer than the grace
        call.outcome = "applied";
        return {};
      },
    });
    const answer = await send(2, fixture.server.url, {
      path: "/restart.kubernetes.v1.WorkloadService/Restart",
      headers: { "content-type": "application/json", "connect-timeout-ms": "1500" },
      body: validJson(),
    });
    expect([answer.status, summary(FORMS[0]?.error(answer))]).toEqual([
      504,
      {
        code: "deadline_exceeded",
        message: "the call ended before its outcome was known",
        reason: "OUTCOME_UNKNOWN",
        domain: "restartd",
        outcome: "unknown",
      },
    ]);
    const line = await fixture.line(({ msg }) => msg === "call");
    expect(line).toMatchObject({ reason: "OUTCOME_UNKNOWN", code: "deadline_exceeded", outcome: "unknown" });
    expect(await fixture.line(({ msg }) => msg === "late end")).toMatchObject({
      request_id: line.request_id,
      target: "clusters/c",
      outcome: "applied",
      code: "ok",
    });
  });

  it("logs work that failed", async () => {
    const shutdown = new Shutdown();
    const lines: unknown[] = [];
    const log = heldLog("info", (line) => void lines.push(line));
    createBackground(shutdown, log)(newCall("id"), Promise.reject(new Error("lost")));
    expect(await shutdown.drain(1000)).toBe(0);
    expect(lines).toMatchObject([{ level: "error", request_id: "id", reason: "INTERNAL", cause: { message: "lost" } }]);
  });
});
