import { fromJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RestartInstanceRequestSchema } from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { DDM_FAILURES, refused } from "../../../src/targets/ddm/simulator.ts";
import { failureOf } from "../../support/served-target.ts";
import { newId, type ServedDdm, startServedDdm } from "./served.ts";

let ddm: ServedDdm;
beforeEach(async () => {
  ddm = await startServedDdm();
});
afterEach(async () => {
  await ddm[Symbol.asyncDispose]();
});

const projectId = () => ddm.simulator.server.account.projectId;
/** Replaces the next answer. */
const say = (body: string | Record<string, unknown>, status = 200) =>
  ddm.simulator.server.inject({ answer: { status, body } });

describe("getInstance()", () => {
  it("tells an instance in the vendor's words", async () => {
    const { id, name } = ddm.simulator.world.add({ id: newId(), nodeCount: 3 });
    const { $typeName, ...instance } = await ddm.client.getInstance(ddm.request(id));
    expect(instance).toEqual({ instanceId: id, name, status: "RUNNING", engineVersion: "3.0.8.5", nodeCount: 3 });
    expect(ddm.simulator.server.requests.map(({ url }) => url)).toEqual([`/v1/${projectId()}/instances/${id}`]);
  });

  it("leaves out what the vendor does not say, and what does not fit", async () => {
    say({ id: "i1", status: "RUNNING", node_count: 1e12, name: null });
    expect(await ddm.client.getInstance(ddm.request("i1"))).toMatchObject({ nodeCount: 2_147_483_647, name: "" });
    say({ id: "i1", status: "RUNNING", node_count: "many" });
    expect(await ddm.client.getInstance(ddm.request("i1"))).toMatchObject({ nodeCount: 0 });
  });

  it.each([
    ["a list", "[]"],
    ["no status", { id: "i1" }],
    ["HTML", "<html><body>hello</body></html>"],
    ["nothing", ""],
  ])("does not take %s for an instance", async (_what, body) => {
    say(body);
    expect(await failureOf(ddm.client.getInstance(ddm.request("i1")))).toMatchObject({
      code: Code.Internal,
      reason: "VENDOR_BAD_RESPONSE",
    });
  });

  it.each(["notFound", "notFound200013", "notFoundAs400"] as const)("tells that it is not there: %s", async (name) => {
    const { status, code, message } = DDM_FAILURES[name];
    ddm.simulator.server.inject({ answer: refused(status, code, message) });
    expect(await failureOf(ddm.client.getInstance(ddm.request("i1")))).toMatchObject({
      code: Code.NotFound,
      reason: "TARGET_NOT_FOUND",
      resources: [`projects/${projectId()}/ddm/instances/i1`],
    });
  });

  it("does not take a 404 of something in front of DDM for an instance that is not there", async () => {
    say("", 404);
    expect(await failureOf(ddm.client.getInstance(ddm.request("i1")))).toMatchObject({ reason: "VENDOR_BAD_RESPONSE" });
  });

  it.each(["serverFailure", "serverFailureAs400"] as const)("tells the vendor's own errors: %s", async (name) => {
    const { status, code, message } = DDM_FAILURES[name];
    ddm.simulator.server.inject({ answer: refused(status, code, message) });
    expect(await failureOf(ddm.client.getInstance(ddm.request("i1")))).toMatchObject({
      code: Code.Internal,
      reason: "VENDOR_INTERNAL_ERROR",
      metadata: { outcome: "not_applied", vendor_code: code },
    });
  });

  it("is about a configured project", async () => {
    expect(await failureOf(ddm.client.getInstance({ projectId: "other", instanceId: "i1" }))).toMatchObject({
      code: Code.NotFound,
      reason: "PROJECT_NOT_FOUND",
    });
    expect(ddm.simulator.server.requests).toEqual([]);
  });
});

describe("listInstances()", () => {
  it.each([
    ["says how many there are", (body: object) => body],
    ["does not say how many there are", (body: object) => ({ ...body, total_record: undefined })],
  ])("pages, when the vendor %s", async (_what, change) => {
    const ids = Array.from({ length: 5 }, () => ddm.simulator.world.add({ id: newId() }).id);
    ddm.simulator.server.inject({
      times: Number.POSITIVE_INFINITY,
      answer: (reply) => ({ ...reply, body: { ...change(asObject(reply.body)) } }),
    });
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await ddm.client.listInstances({ projectId: projectId(), pageSize: 2, pageToken });
      seen.push(...page.instances.map(({ instanceId }) => instanceId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(ids);
    expect(ddm.simulator.server.requests.map(({ url }) => url.split("?")[1])).toEqual([
      "offset=0&limit=2",
      "offset=2&limit=2",
      "offset=4&limit=2",
    ]);
  });

  it.each([
    ["takes null for an empty list", () => null, []],
    ["shows the others beside an odd one", (items: unknown[]) => [{ id: 7 }, ...items], ["a0", "a1"]],
  ])("%s", async (_what, change, expected) => {
    for (const id of ["a0", "a1"]) ddm.simulator.world.add({ id });
    ddm.simulator.server.inject({
      answer: (reply) => {
        const { instances } = asObject(reply.body) as { instances: unknown[] };
        return { ...reply, body: { ...asObject(reply.body), instances: change(instances) } };
      },
    });
    const page = await ddm.client.listInstances({ projectId: projectId() });
    expect(page.instances.map(({ instanceId }) => instanceId)).toEqual(expected);
  });

  it("refuses a token of another list, what is no token, and more than the vendor gives", async () => {
    for (const request of [
      { pageToken: Buffer.from('["other",2]').toString("base64url") },
      { pageToken: "x" },
      { pageSize: 129 },
      { pageSize: -1 },
    ]) {
      expect(await failureOf(ddm.client.listInstances({ projectId: projectId(), ...request }))).toMatchObject({
        reason: "INVALID_ARGUMENT",
      });
    }
    expect(ddm.simulator.server.requests).toEqual([]);
  });
});

const asObject = (value: unknown): object => (typeof value === "object" && value !== null ? value : {});

describe("a request with an id that is none", () => {
  it.each(["..", "a/b", "a%2Fb", "a?b", "a#b", "", "a--b", "-a", "a b", "a".repeat(65)])(
    "is refused by the schema: %j",
    async (instanceId) => {
      for (const call of [
        ddm.client.restartInstance({ projectId: projectId(), instanceId }),
        ddm.client.getInstance({ projectId: projectId(), instanceId }),
      ]) {
        expect(await failureOf(call)).toMatchObject({ code: Code.InvalidArgument, reason: "INVALID_ARGUMENT" });
      }
      expect(ddm.simulator.server.requests).toEqual([]);
    },
  );

  it("is refused when it is a project's, or a type that there is not", async () => {
    for (const call of [
      ddm.client.getInstance({ projectId: "../x", instanceId: "i1" }),
      ddm.client.restartInstance(
        fromJson(RestartInstanceRequestSchema, { projectId: projectId(), instanceId: "i1", type: 7 }),
      ),
    ]) {
      expect(await failureOf(call)).toMatchObject({ code: Code.InvalidArgument, reason: "INVALID_ARGUMENT" });
    }
    expect(ddm.simulator.server.requests).toEqual([]);
  });
});
