import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { anyUnpack, EmptySchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { type Operation, Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/health/v1/health_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { RestartMetadataSchema, RestartMetadata_State as State } from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { uuidOfName } from "../../src/core/uuid.ts";
import { NAMESPACE } from "../../src/operations/calls/accept.ts";
import { summary } from "../server/fixture.ts";
import { run } from "../support/command.ts";
import { startConfigured } from "../support/configured.ts";
import { postgresMissing, startPostgres } from "../support/postgres.ts";
import { runProgram, startProgram } from "../support/program.ts";
import { CHECKOUT, PAUSED, SERVICE, WEB, workload } from "./calls.ts";
import { need } from "./tools.ts";

const buf = need("buf");

const REQUEST_ID = "6f0a4c1e-9f0b-4a55-8a0e-0d7b5c1f2e11";

const NAME = `operations/${uuidOfName(NAMESPACE, `anonymous/${REQUEST_ID}`)}`;

const TARGET = "clusters/sandbox/apps/v1/namespaces/shop/deployments";

function connectTo(url: string) {
  const transport = createGrpcTransport({ baseUrl: url });
  return {
    workloads: createClient(WorkloadService, transport),
    operations: createClient(Operations, transport),
    watching: createClient(OperationService, transport),
    health: createClient(Health, transport),
  };
}

type Clients = ReturnType<typeof connectTo>;

/** Restarts, and answers the name of the operation. */
async function restart({ workloads }: Clients, request: Parameters<Clients["workloads"]["restart"]>[0]) {
  let name: string | null = null;
  await workloads.restart(request, {
    onHeader: (headers) => {
      name = headers.get("operation-name");
    },
  });
  return name;
}

const failureOf = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => ConnectError.from(thrown),
  );
  return { ...summary(error), operation: error?.metadata.get("operation-name") };
};

const metadataOf = ({ metadata }: Operation) => metadata && anyUnpack(metadata, RestartMetadataSchema);

describe("request_id", () => {
  it("restarts once, however often it is asked", async () => {
    await using configured = await startConfigured();
    const clients = connectTo(configured.program.url);
    const request = { ...WEB, requestId: REQUEST_ID, reason: "certificate" };
    expect(await restart(clients, request)).toBe(NAME);
    expect(await restart(clients, { ...request, requestId: REQUEST_ID.toUpperCase() })).toBe(NAME);
    expect(configured.patches()).toBe(1);
    expect(await failureOf(clients.workloads.restart({ ...request, reason: "another" }))).toMatchObject({
      code: "invalid_argument",
      reason: "REQUEST_ID_REUSED",
      outcome: "not_applied",
    });
    expect(configured.patches()).toBe(1);
    expect(await restart(clients, WEB)).not.toBe(NAME);
    expect(configured.patches()).toBe(2);
  });

  it("stores nothing of what is refused before", async () => {
    await using configured = await startConfigured();
    const clients = connectTo(configured.program.url);
    const refused = await failureOf(clients.workloads.restart({ ...CHECKOUT, requestId: REQUEST_ID }));
    expect(refused).toMatchObject({ code: "failed_precondition", message: PAUSED, outcome: "not_applied" });
    expect((await clients.operations.listOperations({})).operations).toEqual([]);
    expect(await restart(clients, { ...WEB, requestId: REQUEST_ID })).toBe(NAME);
  });

  it("outlives a process that is killed", async () => {
    await using configured = await startConfigured();
    const request = { ...WEB, requestId: REQUEST_ID };
    expect(await restart(connectTo(configured.program.url), request)).toBe(NAME);
    await configured.program.stop("SIGKILL");
    await using again = await startProgram(["--config", configured.file]);
    const clients = connectTo(again.url);
    expect(await restart(clients, request)).toBe(NAME);
    expect(configured.patches()).toBe(1);
    const ended = await clients.operations.waitOperation({ name: NAME, timeout: { seconds: 60n } });
    expect(ended.done && metadataOf(ended)?.state).toBe(State.SUCCEEDED);
    await again.line(({ msg }) => msg === "ready");
    expect(again.log[0]).toMatchObject({ msg: "ready", store: join(dirname(configured.file), "restartd.db") });
  });
});

describe.skipIf(buf.missing)("buf curl", () => {
  it("shows the operation's name, and the same one again", async () => {
    await using program = await startProgram();
    const message = JSON.stringify({ ...WEB, requestId: REQUEST_ID });
    const call = () => run(buf.path, ["curl", "-v", "-d", message, `${program.url}/${SERVICE}/Restart`]);
    const first = await call();
    expect(first).toMatchObject({ code: 0, stdout: "{}\n" });
    expect(first.stderr).toMatch(new RegExp(`operation-name: ${NAME}`, "i"));
    const second = await call();
    expect(second).toMatchObject({ code: 0, stdout: "{}\n" });
    expect(second.stderr).toMatch(new RegExp(`operation-name: ${NAME}`, "i"));
    const rpc = `${program.url}/google.longrunning.Operations/GetOperation`;
    const got = await run(buf.path, ["curl", "-d", JSON.stringify({ name: NAME }), rpc]);
    expect(JSON.parse(got.stdout)).toMatchObject({
      name: NAME,
      metadata: {
        "@type": "type.googleapis.com/restart.operation.v1.RestartMetadata",
        target: `${TARGET}/web`,
        action: "restart",
        outcome: "OUTCOME_APPLIED",
        requestId: REQUEST_ID,
        principal: "anonymous",
      },
    });
  });
});

describe("operations", () => {
  it("go on until the rollout has ended, and are listed newest first", async () => {
    await using configured = await startConfigured();
    const clients = connectTo(configured.program.url);
    await configured.backend.controllers.pause();
    const first = await restart(clients, { ...WEB, reason: "one" });
    const { operations: going } = await clients.operations.listOperations({});
    expect(going.map(({ name, done }) => ({ name, done }))).toEqual([{ name: first, done: false }]);
    await configured.backend.controllers.resume();
    const states: (State | undefined)[] = [];
    for await (const operation of clients.watching.watchOperation({ name: first ?? "" })) {
      states.push(metadataOf(operation)?.state);
    }
    expect(states.at(-1)).toBe(State.SUCCEEDED);
    const second = await restart(clients, { ...workload("legacy"), reason: "two" });
    const { operations } = await clients.operations.listOperations({});
    expect(operations.map(({ name }) => name)).toEqual([second, first]);
    expect(operations.map((each) => metadataOf(each)?.reason)).toEqual(["two", "one"]);
    const ended = operations[1];
    expect(ended?.result.case === "response" && anyUnpack(ended.result.value, EmptySchema)).toBeDefined();
  });

  it("are taken on by the next process where one ends in order", async () => {
    await using configured = await startConfigured();
    await configured.backend.controllers.pause(); // so that the rollout goes on for ever
    const name = await restart(connectTo(configured.program.url), WEB);
    expect(await configured.program.stop("SIGTERM")).toBe(0);
    await using again = await startProgram(["--config", configured.file]);
    const { operations } = connectTo(again.url);
    const going = await operations.getOperation({ name: name ?? "" });
    expect({ done: going.done, state: metadataOf(going)?.state }).toEqual({ done: false, state: State.SENT });
    await configured.backend.controllers.resume();
    const ended = await operations.waitOperation({ name: name ?? "", timeout: { seconds: 60n } });
    expect(ended.done && metadataOf(ended)?.state).toBe(State.SUCCEEDED);
  });

  it("of a restart whose answer is lost with the process end with the truth", async () => {
    await using configured = await startConfigured();
    const arrived = Promise.withResolvers<void>();
    configured.backend.simulator.inject({
      method: "PATCH",
      admit: (object) => {
        arrived.resolve(); // it is executed now, and not answered
        return object;
      },
      delayAfter: 60_000,
    });
    const request = { ...WEB, requestId: REQUEST_ID };
    const lost = failureOf(connectTo(configured.program.url).workloads.restart(request));
    await arrived.promise;
    await configured.program.stop("SIGKILL");
    await lost;
    await using again = await startProgram(["--config", configured.file]);
    const clients = connectTo(again.url);
    const ended = await clients.operations.waitOperation({ name: NAME, timeout: { seconds: 60n } });
    expect(ended.done && metadataOf(ended)?.state).toBe(State.SUCCEEDED);
    expect(await restart(clients, request)).toBe(NAME);
    expect(configured.patches()).toBe(1);
  });
});

describe("the store", () => {
  it("is one process's: a second one is told so", async () => {
    await using configured = await startConfigured();
    const folder = dirname(configured.file);
    expect(await readdir(folder)).toContain("restartd.db");
    const { code, stdout, stderr } = await runProgram(["--config", configured.file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(JSON.parse(stderr)).toMatchObject({
      level: "fatal",
      msg: "cannot start",
      detail: `${folder}/restartd.db is in use by another process, most likely another restartd: a SQLite store serves one process. Stop the other one, or use store.postgres for several.`,
    });
    expect(await connectTo(configured.program.url).health.check({})).toMatchObject({ status: Status.SERVING });
  });

  it("that is PostgreSQL and not there ends the start, without the password", async () => {
    await using configured = await startConfigured();
    const url = "postgres://me:hunter2@127.0.0.1:1/restartd";
    const args = [
      "--config",
      await configured.variant("postgres.yaml", { postgres: { url: { env: "DATABASE_URL" } } }),
    ];
    const { code, stdout, stderr } = await runProgram(args, { DATABASE_URL: url });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).not.toContain("hunter2");
    const { level, msg, detail, cause } = JSON.parse(stderr);
    expect({ level, msg, cause }).toEqual({ level: "fatal", msg: "cannot start", cause: undefined });
    expect(detail).toMatch(/ECONNREFUSED/);
  });
});

describe.skipIf(postgresMissing())("the store away", () => {
  it("refuses what is not stored, says so by health, and goes on with reads", async () => {
    await using postgres = await startPostgres();
    const url = await postgres.database();
    await using configured = await startConfigured(
      { store: { postgres: { url: { env: "DATABASE_URL" } } } },
      { DATABASE_URL: url },
    );
    const { program } = configured;
    const clients = connectTo(program.url);
    const statusOf = async (service: string) => (await clients.health.check({ service })).status;
    expect(await restart(clients, { ...WEB, requestId: REQUEST_ID })).toBe(NAME);
    expect(await statusOf(SERVICE)).toBe(Status.SERVING);

    await postgres.stop();
    const turned = nextStatus(clients, Status.NOT_SERVING);
    expect(await failureOf(clients.workloads.restart(workload("legacy")))).toMatchObject({
      code: "unavailable",
      reason: "STORE_UNAVAILABLE",
      outcome: "not_applied",
    });
    await turned;
    expect(await statusOf("google.longrunning.Operations")).toBe(Status.NOT_SERVING);
    expect(await statusOf("")).toBe(Status.SERVING);
    expect(await clients.workloads.getRollout(WEB)).toMatchObject({ name: "web" });

    await postgres.start();
    await nextStatus(clients, Status.SERVING);
    expect(await restart(clients, { ...WEB, requestId: REQUEST_ID })).toBe(NAME);
    expect(configured.patches()).toBe(1);
    await program.line(({ msg }) => msg === "the store cannot be used: nothing is sent until it can");
    await program.line(({ msg }) => msg === "the store can be used again");
  });
});

describe("the store's file removed", () => {
  it("sends nothing that would be forgotten, says so by health and in the log, and lets nobody forget what was sent", async () => {
    await using configured = await startConfigured();
    const { program } = configured;
    const clients = connectTo(program.url);
    expect(await restart(clients, { ...WEB, requestId: REQUEST_ID })).toBe(NAME);
    const folder = dirname(configured.file);
    for (const name of await readdir(folder)) {
      if (name.startsWith("restartd.db")) await rm(join(folder, name));
    }
    const turned = nextStatus(clients, Status.NOT_SERVING);
    expect(await failureOf(clients.workloads.restart(workload("legacy")))).toMatchObject({
      code: "unavailable",
      reason: "STORE_UNAVAILABLE",
      outcome: "not_applied",
    });
    await turned;
    expect(configured.patches()).toBe(1);
    expect(await program.line(({ level }) => level === "error")).toMatchObject({
      msg: "the store cannot be used: nothing is sent until it can",
      cause: {
        message: `${join(folder, "restartd.db")} cannot be found any longer: restart restartd once the file of the store is in its place.`,
      },
    });
  });
});

/** Waits until health says so of the service that restarts. */
async function nextStatus({ health }: Clients, wanted: Status): Promise<void> {
  for await (const { status } of health.watch({ service: SERVICE })) {
    if (status === wanted) return;
  }
  throw new Error("health ended");
}
