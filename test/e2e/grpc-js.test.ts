import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { createRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { descriptorSet } from "../support/descriptor-set.ts";
import { temporaryFolder } from "../support/folder.ts";
import { CHECKOUT, PAUSED, PAUSED_INFO, PAUSED_PRECONDITION, SERVICE, WEB, WEB_DONE, workload } from "./calls.ts";

type Message = Record<string, unknown>;

const OPTIONS = { longs: String, enums: String, defaults: true, arrays: true };

let configured: Configured;
let client: grpc.Client;
let rpcs: Record<string, grpc.MethodDefinition<Message, Message>>;

beforeAll(async () => {
  configured = await startConfigured();
  const loaded = protoLoader.loadFileDescriptorSetFromBuffer(Buffer.from(descriptorSet()), OPTIONS);
  rpcs = serviceOf(loaded, SERVICE);
  client = new grpc.Client(configured.program.address, grpc.credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  await configured[Symbol.asyncDispose]();
});

function serviceOf(loaded: protoLoader.PackageDefinition, name: string) {
  const service = loaded[name];
  if (service === undefined || "format" in service) throw new Error(`no service ${name}`);
  return service as Record<string, grpc.MethodDefinition<Message, Message>>;
}

function rpc(name: string, from = rpcs): grpc.MethodDefinition<Message, Message> {
  const method = from[name];
  if (method === undefined) throw new Error(`no rpc ${name}`);
  return method;
}

/** What a unary call ended with. */
interface Ended {
  readonly error: grpc.ServiceError | null;
  readonly message: Message | undefined;
  readonly headers: Record<string, unknown>;
}

function unary(
  method: Pick<grpc.MethodDefinition<Message, Message>, "path" | "requestSerialize" | "responseDeserialize">,
  message: Message,
  options: grpc.CallOptions = {},
): { call: grpc.ClientUnaryCall; ended: Promise<Ended> } {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  let headers = {};
  const call = client.makeUnaryRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    message,
    new grpc.Metadata(),
    options,
    (error, answer) => resolve({ error, message: answer, headers }),
  );
  call.on("metadata", (metadata: grpc.Metadata) => {
    headers = metadata.getMap();
  });
  return { call, ended: promise };
}

const watch = (message: Message, options: grpc.CallOptions = {}): grpc.ClientReadableStream<Message> => {
  const { path, requestSerialize, responseDeserialize } = rpc("WatchRollout");
  return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message, options);
};

const PATIENT = { timeout: 60_000 };

/** Most calls at a time on one connection. */
const AT_ONCE = 250;

/** How often a workload changes while nobody reads. */
const CHANGES = 5000;

/** Reads a stream to its end. */
async function read(stream: AsyncIterable<Message>): Promise<Message[]> {
  const messages: Message[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

/** The details of an error, out of grpc-status-details-bin, as JSON. */
function detailsOf(error: grpc.ServiceError | null): unknown[] {
  const [bytes] = error?.metadata.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(bytes)) throw new Error("no grpc-status-details-bin");
  const registry = createRegistry(file_google_rpc_error_details);
  return fromBinary(StatusSchema, bytes).details.map((detail) => {
    const desc = registry.getMessage(detail.typeUrl.replace(/^.*\//, ""));
    const message = anyUnpack(detail, registry);
    return desc === undefined || message === undefined ? detail.typeUrl : toJson(desc, message, { registry });
  });
}

describe("@grpc/grpc-js", () => {
  it("restarts", async () => {
    const { error, message, headers } = await unary(rpc("Restart"), workload("legacy")).ended;
    expect({ error, message }).toEqual({ error: null, message: {} });
    expect(headers).toMatchObject({ "restart-warning": "RECREATE_DOWNTIME" });
  });

  it("reads", async () => {
    const { message } = await unary(rpc("GetRollout"), WEB).ended;
    expect(message).toMatchObject({ ...WEB, state: "STATE_COMPLETE", message: WEB_DONE, desired: 3 });
    const { message: listed } = await unary(rpc("ListClusters"), {}).ended;
    expect(listed).toMatchObject({ clusters: [{ name: "sandbox", reachable: true, server_version: "v1.36.3" }] });
  });

  it("gets error details", async () => {
    const { error } = await unary(rpc("Restart"), CHECKOUT).ended;
    expect(error).toMatchObject({ code: grpc.status.FAILED_PRECONDITION, details: PAUSED });
    expect(detailsOf(error)).toEqual([PAUSED_INFO, PAUSED_PRECONDITION]);
  });

  it("shows what the path of a wrong call was", async () => {
    const { error } = await unary({ ...rpc("Restart"), path: `/${SERVICE}/Restrat` }, WEB).ended;
    expect(error).toMatchObject({
      code: grpc.status.UNIMPLEMENTED,
      details: `no procedure "/${SERVICE}/Restrat" here; did you mean /${SERVICE}/Restart?`,
    });
    expect(detailsOf(error)).toMatchObject([{ reason: "UNKNOWN_PROCEDURE" }]);
  });

  it.each([
    ["gives up at its deadline", grpc.status.DEADLINE_EXCEEDED],
    ["cancels", grpc.status.CANCELLED],
  ])("%s, and the restart that was sent is settled all the same", async (_, code) => {
    const { program, backend } = configured;
    const arrived = Promise.withResolvers<unknown>();
    const held = Promise.withResolvers<void>();
    backend.simulator.inject({
      method: "PATCH",
      before: ({ headers }) => {
        arrived.resolve(headers["audit-id"]);
        return held.promise;
      },
    });
    const options = code === grpc.status.DEADLINE_EXCEEDED ? { deadline: Date.now() + 5_000 } : {};
    const { call, ended } = unary(rpc("Restart"), WEB, options);
    const id = await arrived.promise;
    if (code === grpc.status.CANCELLED) call.cancel();
    expect((await ended).error).toMatchObject({ code });
    const logged = (msg: string) => program.line((line) => line.msg === msg && line.request_id === id);
    expect(await logged("call")).toMatchObject({ outcome: "unknown", reason: "OUTCOME_UNKNOWN" });
    held.resolve();
    const late = await logged("late end");
    expect(late).toMatchObject({ outcome: "applied", target: expect.stringMatching(/web$/) });
  });

  it("watches a rollout to its end", async () => {
    const { backend } = configured;
    await backend.controllers.pause();
    await unary(rpc("Restart"), WEB).ended;
    const stream = watch(WEB);
    const [first] = await once(stream, "data");
    expect(first).toMatchObject({ state: "STATE_PENDING" });
    await backend.controllers.resume();
    const messages = await read(stream);
    expect(messages.at(-1)).toMatchObject({ state: "STATE_COMPLETE", message: WEB_DONE });
  });

  it("leaves a stream, and nothing goes on", async () => {
    const { backend, program } = configured;
    await backend.controllers.pause();
    await unary(rpc("Restart"), WEB).ended;
    const before = program.log.length;
    const stream = watch(WEB);
    stream.on("error", () => {}); // says that it was cancelled, by us
    await once(stream, "data");
    stream.cancel();
    await program.line(
      (line) => program.log.indexOf(line) >= before && line.reason === "CANCELLED" && line.outcome === "not_applied",
    );
    await expect.poll(() => backend.simulator.watches, PATIENT).toBe(0);
    await backend.controllers.resume();
  });

  it("reads slowly and gets the newest", async () => {
    const { backend } = configured;
    await backend.controllers.pause();
    await unary(rpc("Restart"), WEB).ended;
    const stream = watch(WEB);
    await once(stream, "data");
    stream.pause();
    const scale = (replicas: number) =>
      backend.simulator.edit("apps", "deployments", "shop", "web", (object) => {
        object.spec = Object.assign({}, object.spec, { replicas });
      });
    // Far more changes than the buffers on the way could hold, each of which somebody who reads at once is told.
    for (let step = 1; step <= CHANGES; step++) {
      scale(step % 2 === 0 ? 3 : 4);
      if (step % 100 === 0) await delay(1);
    }
    await backend.controllers.resume();
    const state = async () => (await unary(rpc("GetRollout"), WEB).ended).message?.state;
    await expect.poll(state, PATIENT).toBe("STATE_COMPLETE");
    stream.resume();
    const messages = await read(stream);
    expect(messages.length).toBeLessThan(CHANGES);
    expect(messages.at(-1)).toMatchObject({ state: "STATE_COMPLETE", message: WEB_DONE });
  });

  /** What the log says of a thousand calls, and maybe of a late one of the test before, since it had so many lines. */
  const expectOneConnection = async (method: string, before: number): Promise<void> => {
    const calls = () =>
      configured.program.log.slice(before).filter((line) => String(line.method).endsWith(`/${method}`));
    await expect.poll(() => calls().length, PATIENT).toBeGreaterThanOrEqual(1000);
    expect(new Set(calls().map(({ peer }) => peer)).size).toBe(1);
  };

  it("calls a thousand times at once on one connection", async () => {
    const { program } = configured;
    const before = program.log.length;
    const ended = await Promise.all(Array.from({ length: 1000 }, () => unary(rpc("GetRollout"), WEB).ended));
    expect(ended.filter(({ error, message }) => error === null && message?.name === "web")).toHaveLength(1000);
    await expectOneConnection("GetRollout", before);
  });

  it("watches a thousand times at once on one connection, by one watch of the cluster", async () => {
    const { backend, program } = configured;
    await backend.controllers.pause();
    await unary(rpc("Restart"), WEB).ended;
    const before = program.log.length;
    const streams = Array.from({ length: 1000 }, () => watch(WEB));
    // Of one connection so many at a time are served, the others wait for their turn.
    await Promise.all(streams.slice(0, AT_ONCE).map((stream) => once(stream, "data")));
    await expect.poll(() => backend.simulator.watches, PATIENT).toBe(1);
    await backend.controllers.resume();
    const ends = await Promise.all(streams.map(async (stream) => (await read(stream)).at(-1)?.state));
    expect(ends.filter((state) => state === "STATE_COMPLETE")).toHaveLength(1000);
    await expectOneConnection("WatchRollout", before);
    await expect.poll(() => backend.simulator.watches, PATIENT).toBe(0);
  });
});

/** A service as the published Restart proto has it: its clients change the procedure's path and nothing else. */
const PUBLISHED = `
syntax = "proto3";
package runtime.v1;
import "google/protobuf/empty.proto";

service RuntimeService {
  rpc Restart(RestartRequest) returns (google.protobuf.Empty);
}

message RestartRequest {
  string cluster = 1;
  string group = 2;
  string version = 3;
  string resource = 4;
  string namespace = 5;
  string name = 6;
}
`;

describe("a client of the published Restart proto", () => {
  it("restarts by another path", async () => {
    await using folder = await temporaryFolder();
    const file = await folder.write("runtime.proto", PUBLISHED);
    const published = rpc("Restart", serviceOf(await protoLoader.load(file, OPTIONS), "runtime.v1.RuntimeService"));

    const elsewhere = await unary(published, WEB).ended;
    expect(elsewhere.error).toMatchObject({
      code: grpc.status.UNIMPLEMENTED,
      details: `no procedure "/runtime.v1.RuntimeService/Restart" here; did you mean /${SERVICE}/Restart?`,
    });

    const generation = () =>
      Number(configured.backend.simulator.get("apps", "deployments", "shop", "web")?.metadata.generation);
    const before = generation();
    const here = { ...published, path: `/${SERVICE}/Restart` };
    expect(await unary(here, WEB).ended).toMatchObject({ error: null, message: {} });
    expect(generation()).toBe(before + 1);
    expect((await unary(here, CHECKOUT).ended).error).toMatchObject({ details: PAUSED });
  });
});
