import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { temporaryFolder } from "../support/folder.ts";
import { startProgram } from "../support/program.ts";
import { isRead, isWrite } from "../support/wiretap.ts";
import { make, openWorld, type World } from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();

describe.skipIf(shared === undefined)("a restartd that is killed between the PATCH and its answer", () => {
  const cluster = shared as ControlPlane;
  let world: World;
  beforeAll(async () => {
    world = await openWorld(cluster);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  test("finds the restart in the cluster when it is started again, and never sends it twice", async () => {
    const { tap } = world;
    await using folder = await temporaryFolder();
    const clusters = [{ name: "prod", kubeconfig: tap.kubeconfig, context: "patcher" }];
    const store = { sqlite: { path: "operations.db" } };
    const config = stringify({ listen: "127.0.0.1:0", kubernetes: { clusters }, store });
    const file = await folder.write("restartd.yaml", config);
    const object = await make(world, "deployments");
    const before = await object.generation();
    tap.reset();

    // The API server executes the request; whoever sent it never hears of that.
    const executed = Promise.withResolvers<number>();
    const released = Promise.withResolvers<void>();
    tap.on(isWrite, async (_request, forward) => {
      executed.resolve((await forward()).status);
      await released.promise;
      return undefined;
    });
    const first = await startProgram(["--config", file]);
    const request = { cluster: "prod", ...object.ref, requestId: randomUUID(), reason: "killed on the way" };
    const lost = restart(first.url, request).catch((error: unknown) => error);
    expect(await executed.promise).toBe(200);
    await first.stop("SIGKILL");
    expect(await lost).toBeInstanceOf(TypeError);
    released.resolve();
    expect(await object.generation()).toBe(before + 1);

    await using second = await startProgram(["--config", file]);
    const operation = await untilDone(second.url);
    const value = await object.restartedAt();
    expect(operation).toMatchObject({
      metadata: {
        state: "STATE_SUCCEEDED",
        outcome: "OUTCOME_APPLIED",
        vendorJob: value,
        requestId: request.requestId,
        reason: "killed on the way",
      },
      done: true,
      response: { "@type": "type.googleapis.com/google.protobuf.Empty" },
    });

    const again = await restart(second.url, request);
    expect({ status: again.status, operation: again.headers.get("operation-name"), body: await again.json() }).toEqual({
      status: 200,
      operation: operation.name,
      body: {},
    });
    expect([await object.generation(), await object.restartedAt()]).toEqual([before + 1, value]);
    expect(tap.writes).toHaveLength(1);
  });

  test("says that it does not know while the cluster cannot be read, and learns the truth once it can", async () => {
    const { tap } = world;
    await using folder = await temporaryFolder();
    const clusters = [{ name: "prod", kubeconfig: tap.kubeconfig, context: "patcher" }];
    const store = { sqlite: { path: "operations.db" } };
    const config = stringify({ listen: "127.0.0.1:0", kubernetes: { clusters }, store });
    const file = await folder.write("restartd.yaml", config);
    const object = await make(world, "deployments");
    const before = await object.generation();
    tap.reset();
    const executed = Promise.withResolvers<number>();
    tap.on(isWrite, async (_request, forward) => {
      executed.resolve((await forward()).status);
      // Every read from now on is cut, until the hooks are forgotten.
      tap.on(isRead, () => undefined, Number.POSITIVE_INFINITY);
      return undefined;
    });
    const first = await startProgram(["--config", file]);
    const request = { cluster: "prod", ...object.ref, requestId: randomUUID() };
    const unknown = await restart(first.url, request);
    expect(await executed.promise).toBe(200);
    expect(await unknown.json()).toMatchObject({ code: "unknown" });
    await first.stop("SIGKILL");

    await using second = await startProgram(["--config", file]);
    const [open] = await listed(second.url);
    expect(open).toMatchObject({ metadata: { state: "STATE_UNKNOWN", outcome: "OUTCOME_UNKNOWN" } });
    expect((await restart(second.url, request)).headers.get("operation-name")).toBe(open?.name);
    tap.reset();
    const operation = await untilDone(second.url);
    expect(operation).toMatchObject({
      name: open?.name,
      metadata: { state: "STATE_SUCCEEDED", vendorJob: await object.restartedAt() },
    });
    expect(await object.generation()).toBe(before + 1);
    expect(tap.writes).toEqual([]);
  });
});

const call = (url: string, method: string, request: object): Promise<Response> =>
  fetch(`${url}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });

const restart = (url: string, request: object): Promise<Response> =>
  call(url, "restart.kubernetes.v1.WorkloadService/Restart", request);

interface Listed {
  readonly name: string;
  readonly done?: boolean;
}

async function listed(url: string): Promise<Listed[]> {
  const answer = await call(url, "google.longrunning.Operations/ListOperations", {});
  const { operations = [] } = (await answer.json()) as { operations?: Listed[] };
  return operations;
}

/** The only operation, at its end. */
async function untilDone(url: string): Promise<Listed> {
  const deadline = performance.now() + 50_000;
  for (;;) {
    const [operation, ...others] = await listed(url);
    if (operation === undefined || others.length > 0) throw new Error("there is not one operation");
    if (operation.done === true) return operation;
    if (performance.now() > deadline) throw new Error(`has not ended: ${JSON.stringify(operation)}`);
    await delay(100);
  }
}
