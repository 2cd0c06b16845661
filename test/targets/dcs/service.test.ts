import { isFieldSet } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { InstanceSchema } from "../../../gen/restart/dcs/v1/instance_pb.ts";
import { htmlReply, jsonReply } from "../../../src/clouds/simulator/exchange.ts";
import { dcsError } from "../../../src/targets/dcs/simulator.ts";
import { CLUSTER, failureOf, idOf, NOBODY, nameOf, PROJECT, SINGLE, startDcs } from "./support.ts";

describe("GetInstance", () => {
  it("tells what an instance is and how it does", async () => {
    await using dcs = await startDcs();
    expect(await dcs.client.getInstance({ projectId: PROJECT, instanceId: CLUSTER })).toMatchObject({
      instanceId: CLUSTER,
      name: "dcs-sessions",
      status: "RUNNING",
      task: "",
      engine: "Redis",
      engineVersion: "6.0",
      cacheMode: "cluster",
      replicaCount: 2,
      appendOnly: true,
    });
    dcs.simulator.instances.put(SINGLE, { status: "RUNNING", task: "BACKUPING" });
    expect(await dcs.client.getInstance({ projectId: PROJECT, instanceId: SINGLE })).toMatchObject({
      task: "BACKUPING",
      cacheMode: "single",
      replicaCount: 1,
      appendOnly: false,
    });
  });

  it.each([
    ["refused", dcsError("DCS.2007")],
    ["HTML", htmlReply(200, "Welcome")],
    ["a list without it", jsonReply(200, { redis_config: [{ param_name: "timeout", param_value: "0" }] })],
    [
      "a value that nobody knows",
      jsonReply(200, { redis_config: [{ param_name: "appendonly", param_value: "maybe" }] }),
    ],
  ])("leaves append_only unset when its configuration is %s", async (_what, answer) => {
    await using dcs = await startDcs();
    dcs.simulator.inject({ path: /\/configs$/, answer });
    const instance = await dcs.client.getInstance({ projectId: PROJECT, instanceId: CLUSTER });
    expect(isFieldSet(instance, InstanceSchema.field.appendOnly)).toBe(false);
  });

  it("tells of an instance that does not exist", async () => {
    await using dcs = await startDcs();
    expect(await failureOf(dcs.client.getInstance({ projectId: PROJECT, instanceId: NOBODY }))).toMatchObject({
      code: Code.NotFound,
      reason: "TARGET_NOT_FOUND",
      resources: [nameOf(NOBODY)],
      metadata: { vendor_code: "DCS.3022", vendor_http_status: "404", vendor_request_id: expect.stringMatching(/./) },
    });
  });

  it.each([
    ["HTML", htmlReply(200, "Welcome")],
    ["another instance", jsonReply(200, { instance_id: SINGLE, status: "RUNNING" })],
    ["no status", jsonReply(200, { instance_id: CLUSTER })],
    ["a status that is no word", jsonReply(200, { instance_id: CLUSTER, status: 1 })],
    ["a list", jsonReply(200, [])],
  ])("is VENDOR_BAD_RESPONSE when the answer is %s", async (_what, answer) => {
    await using dcs = await startDcs();
    dcs.simulator.inject({ method: "GET", answer });
    expect(await failureOf(dcs.client.getInstance({ projectId: PROJECT, instanceId: CLUSTER }))).toMatchObject({
      code: Code.Internal,
      reason: "VENDOR_BAD_RESPONSE",
      metadata: { outcome: "not_applied" },
    });
  });

  it("refuses ids that could change a path", async () => {
    await using dcs = await startDcs();
    for (const instanceId of ["..", "a/b", "%2e%2e", "status?x", "a b", "-"]) {
      const call = dcs.client.getInstance({ projectId: PROJECT, instanceId });
      expect(await failureOf(call)).toMatchObject({ reason: "INVALID_ARGUMENT", violations: 1 });
    }
    expect(dcs.simulator.requests).toEqual([]);
  });
});

describe("ListInstances", () => {
  const ids = Array.from({ length: 105 }, (_, index) => idOf(index));
  const instances = ids.map((instanceId) => ({ instanceId }));

  it("lists a hundred at a time, and goes on where it stopped", async () => {
    await using dcs = await startDcs({ instances });
    const first = await dcs.client.listInstances({ projectId: PROJECT });
    expect(first.instances.map(({ instanceId }) => instanceId)).toEqual(ids.slice(0, 100));
    expect(first.instances[0]).toMatchObject({ status: "RUNNING", task: "", cacheMode: "", replicaCount: 0 });
    expect(first.instances.some((one) => isFieldSet(one, InstanceSchema.field.appendOnly))).toBe(false);
    const second = await dcs.client.listInstances({ projectId: PROJECT, pageToken: first.nextPageToken });
    expect(second.instances.map(({ instanceId }) => instanceId)).toEqual(ids.slice(100));
    expect(second.nextPageToken).toBe("");
    expect(dcs.simulator.requests.map(({ url }) => url)).toEqual([
      `/v2/${PROJECT}/instances?offset=0&limit=100`,
      `/v2/${PROJECT}/instances?offset=100&limit=100`,
    ]);
  });

  it("ends with a full page", async () => {
    await using dcs = await startDcs({ instances });
    const { nextPageToken } = await dcs.client.listInstances({ projectId: PROJECT, pageSize: 105 });
    expect(nextPageToken).toBe("");
  });

  it("goes on after a full page where the vendor does not say how many there are", async () => {
    await using dcs = await startDcs();
    const page = jsonReply(200, { instances: [{ instance_id: CLUSTER, status: "RUNNING" }] });
    dcs.simulator.inject({ method: "GET", answer: page, times: 2 });
    expect((await dcs.client.listInstances({ projectId: PROJECT, pageSize: 1 })).nextPageToken).not.toBe("");
    expect((await dcs.client.listInstances({ projectId: PROJECT, pageSize: 2 })).nextPageToken).toBe("");
  });

  it("refuses a token that is not its own, and sizes that are none", async () => {
    await using dcs = await startDcs({ instances });
    for (const wrong of [{ pageToken: "x" }, { pageSize: -1 }, { pageSize: 1_001 }]) {
      expect(await failureOf(dcs.client.listInstances({ projectId: PROJECT, ...wrong }))).toMatchObject({
        code: Code.InvalidArgument,
        reason: "INVALID_ARGUMENT",
        violations: 1,
      });
    }
    expect(dcs.simulator.requests).toEqual([]);
  });

  it.each([
    ["no list", jsonReply(200, {})],
    ["instances that are no list", jsonReply(200, { instances: { status: "RUNNING" } })],
  ])("is VENDOR_BAD_RESPONSE when the answer has %s", async (_what, answer) => {
    await using dcs = await startDcs();
    dcs.simulator.inject({ method: "GET", answer });
    const call = dcs.client.listInstances({ projectId: PROJECT });
    expect(await failureOf(call)).toMatchObject({ reason: "VENDOR_BAD_RESPONSE" });
  });

  it.each([
    [null, []],
    [[{ status: "RUNNING" }, null, { instance_id: "i1", status: "Running" }], ["i1"]],
  ])("lists what can be understood of %o", async (instances, ids) => {
    await using dcs = await startDcs();
    dcs.simulator.inject({ method: "GET", answer: jsonReply(200, { instances }) });
    const listed = await dcs.client.listInstances({ projectId: PROJECT });
    expect(listed.instances.map(({ instanceId }) => instanceId)).toEqual(ids);
    expect(listed.instances.map(({ status }) => status)).toEqual(ids.map(() => "RUNNING"));
  });
});
