import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyIs, anyUnpack } from "@bufbuild/protobuf/wkt";
import grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { InstanceService } from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { createAccount, SANDBOX_KEY } from "../../src/clouds/huawei/simulator/account.ts";
import { type InstanceSeed, type Simulator, startSimulator } from "../../src/targets/dcs/simulator.ts";
import { run } from "../support/command.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { descriptorSet } from "../support/descriptor-set.ts";
import { temporaryFolder } from "../support/folder.ts";
import { need } from "./tools.ts";

const python = need("python");
const SCRIPT = join(import.meta.dirname, "python/fifty.py");
const { projectId, region } = createAccount();

const stack = new AsyncDisposableStack();
let simulator: Simulator;
let configured: Configured;

beforeAll(async () => {
  simulator = stack.use(await startSimulator({ instances: [] }));
  const endpoints = { cse: simulator.url, dcs: simulator.url, ddm: simulator.url };
  const credentials = { access_key: { env: "HW_AK" }, secret_key: { env: "HW_SK" } };
  const huaweicloud = { projects: [{ project_id: projectId, region, credentials, endpoints }] };
  const env = { HW_AK: SANDBOX_KEY.accessKey, HW_SK: SANDBOX_KEY.secretKey };
  configured = stack.use(await startConfigured({ huaweicloud }, env));
});

afterAll(() => stack.disposeAsync());

/** A call for fifty new instances; the vendor takes it, and says of each that it failed. */
function failing(): { projectId: string; instanceIds: string[] } {
  const instanceIds = Array.from({ length: 50 }, () => randomUUID());
  for (const instanceId of instanceIds) {
    simulator.instances.add({ instanceId } satisfies InstanceSeed);
    simulator.instances.fail(instanceId);
  }
  return { projectId, instanceIds };
}

/** Calls by grpc-js. */
function call(path: string, bytes: Uint8Array) {
  const client = new grpc.Client(configured.program.address, grpc.credentials.createInsecure());
  const { promise, resolve } = Promise.withResolvers<{
    error: grpc.ServiceError | null;
    answer: Buffer | undefined;
    operation: string;
  }>();
  let operation = "";
  const same = (value: Buffer) => value;
  client
    .makeUnaryRequest(path, same, same, Buffer.from(bytes), (error, answer) => {
      client.close();
      resolve({ error, answer, operation });
    })
    .on("metadata", (metadata) => {
      operation = String(metadata.get("operation-name")[0] ?? "");
    });
  return promise;
}

const pathOf = ({ parent, name }: { parent: { typeName: string }; name: string }) => `/${parent.typeName}/${name}`;

const statusOf = (error: grpc.ServiceError | null): Status => {
  const [bytes] = error?.metadata.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(bytes)) throw new Error(`no details: ${error}`);
  return fromBinary(StatusSchema, bytes);
};

describe("fifty items that all fail after they were sent", () => {
  it("are told to grpc-js as far as they fit, and all by the operation", async () => {
    const { restartInstances } = InstanceService.method;
    const { getOperation } = Operations.method;
    const request = create(restartInstances.input, failing());
    const { error, operation } = await call(pathOf(restartInstances), toBinary(restartInstances.input, request));
    expect(error).toMatchObject({ code: grpc.status.UNKNOWN, details: expect.stringContaining("all 50 instances") });
    const { details } = statusOf(error);
    const info = details[0] && anyUnpack(details[0], ErrorInfoSchema);
    const items = details.filter((any) => anyIs(any, StatusSchema)).length;
    expect(items).toBeGreaterThan(5);
    expect(info).toMatchObject({
      reason: "VENDOR_REPORTED_FAILED",
      metadata: { outcome: "not_applied", details_left_out: String(50 - items) },
    });
    const name = toBinary(getOperation.input, create(getOperation.input, { name: operation }));
    const { answer } = await call(pathOf(getOperation), name);
    const { result } = fromBinary(getOperation.output, answer ?? Buffer.alloc(0));
    expect(result.case === "error" && result.value.details.filter((any) => anyIs(any, StatusSchema))).toHaveLength(50);
  });

  it.skipIf(python.missing)("are told to grpcio as far as they fit, and all by the operation", async () => {
    await using folder = await temporaryFolder();
    const schema = join(folder.path, "schema.binpb");
    await writeFile(schema, descriptorSet());
    const { code, stdout, stderr } = await run(python.path, [SCRIPT, configured.program.address, schema], {
      env: { PYTHONDONTWRITEBYTECODE: "1" },
      input: JSON.stringify(failing()),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { failure, items, wrong } = JSON.parse(stdout);
    expect(failure).toMatchObject({ code: "UNKNOWN", message: expect.stringContaining("all 50 instances") });
    expect(failure.details[0]).toMatchObject({
      reason: "VENDOR_REPORTED_FAILED",
      metadata: { outcome: "not_applied" },
    });
    expect(items.filter((type: string) => type.endsWith("/google.rpc.Status"))).toHaveLength(50);
    expect(wrong).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(wrong.details[1].fieldViolations.length).toBeGreaterThan(5);
  });
});
