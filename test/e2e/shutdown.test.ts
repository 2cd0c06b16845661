import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/health/v1/health_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { summary } from "../server/fixture.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { WEB, workload } from "./calls.ts";

const LEGACY = workload("legacy");

const SHUTTING_DOWN = {
  code: "unavailable",
  message: "the server is shutting down: call again, it or another may answer then",
  reason: "SHUTTING_DOWN",
  domain: "restartd",
  outcome: "not_applied",
};

/** A PATCH that has reached the cluster and is not executed before it is let go. */
function holdPatch({ backend }: Configured) {
  const arrived = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  backend.simulator.inject({
    method: "PATCH",
    before: () => {
      arrived.resolve();
      return held.promise;
    },
  });
  return { arrived: arrived.promise, letGo: () => held.resolve() };
}

function connectTo({ program }: Configured) {
  // One connection for all: a program that drains takes no new one for long.
  const sessionManager = new Http2SessionManager(program.url);
  const transport = createGrpcTransport({ baseUrl: program.url, sessionManager });
  return { workloads: createClient(WorkloadService, transport), health: createClient(Health, transport) };
}

const failureOf = async (call: Promise<unknown>) =>
  summary(
    await call.then(
      () => undefined,
      (error: unknown) => ConnectError.from(error),
    ),
  );

describe("SIGTERM", () => {
  it("lets calls in flight finish, and tells everyone else", async () => {
    await using configured = await startConfigured();
    const { program, backend } = configured;
    const { workloads, health } = connectTo(configured);
    await backend.controllers.pause(); // so that the rollout goes on for ever
    await workloads.restart(LEGACY);
    const patch = holdPatch(configured);

    const statuses: Status[] = [];
    const watched = (async () => {
      for await (const { status } of health.watch({})) statuses.push(status);
    })();
    const begun = Promise.withResolvers<void>();
    const rollout = (async () => {
      for await (const _ of workloads.watchRollout(LEGACY)) begun.resolve();
    })();
    const restart = workloads.restart(WEB);
    await Promise.all([begun.promise, patch.arrived]);

    const stopped = program.stop("SIGTERM");
    expect(await failureOf(rollout)).toEqual(SHUTTING_DOWN);
    expect(await failureOf(watched)).toEqual(SHUTTING_DOWN);
    expect(statuses).toEqual([Status.SERVING, Status.NOT_SERVING]);
    expect(await health.check({})).toMatchObject({ status: Status.NOT_SERVING });
    expect(await failureOf(workloads.listClusters({}))).toEqual(SHUTTING_DOWN);

    patch.letGo();
    expect(await restart).toMatchObject({});
    expect(await stopped).toBe(0);
    expect(backend.simulator.get("apps", "deployments", "shop", "web")?.metadata.generation).toBe(2);
    expect(program.log.at(-1)).toMatchObject({
      method: expect.stringMatching(/Restart$/),
      outcome: "applied",
      code: "ok",
    });
  });

  it("waits for a restart that is on its way though its caller has gone", async () => {
    await using configured = await startConfigured();
    const { program } = configured;
    const { workloads } = connectTo(configured);
    const patch = holdPatch(configured);

    const leaving = new AbortController();
    const restart = failureOf(workloads.restart(WEB, { signal: leaving.signal }));
    await patch.arrived;
    leaving.abort();
    expect(await restart).toMatchObject({ code: "canceled" });
    const left = await program.line(({ msg, method }) => msg === "call" && String(method).endsWith("/Restart"));
    expect(left).toMatchObject({ outcome: "unknown", reason: "OUTCOME_UNKNOWN" });

    let ended = false;
    const stopped = program.stop("SIGTERM").then((code) => {
      ended = true;
      return code;
    });
    await program.line(({ msg }) => msg === "shutting down");
    await new Promise((resolve) => setTimeout(resolve, 300)); // long enough to end, were there nothing to wait for
    expect(ended).toBe(false);
    patch.letGo();
    expect(await stopped).toBe(0);
    expect(program.log.at(-1)).toMatchObject({
      request_id: left.request_id,
      target: "clusters/sandbox/apps/v1/namespaces/shop/deployments/web",
      outcome: "applied",
      code: "ok",
      msg: "late end",
    });
    expect(configured.patches()).toBe(1);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("a second one ends the program at once: %s", async (signal, code) => {
    await using configured = await startConfigured();
    const { program } = configured;
    const { workloads } = connectTo(configured);
    const patch = holdPatch(configured);
    const restart = failureOf(workloads.restart(WEB));
    await patch.arrived;
    program.process.kill(signal);
    await program.line(({ msg }) => msg === "shutting down");
    expect(await program.stop(signal)).toBe(code);
    expect(await restart).toBeDefined();
    patch.letGo();
  });
});
