import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CSE_FAILURES, refused } from "../../../src/targets/cse/simulator.ts";
import { failureOf } from "../../support/served-target.ts";
import { newId, type ServedCse, startServedCse } from "./served.ts";

let cse: ServedCse;
beforeEach(async () => {
  cse = await startServedCse();
});
afterEach(async () => {
  await cse[Symbol.asyncDispose]();
});

const projectId = () => cse.simulator.server.account.projectId;
/** Replaces the body of the next answer. */
const say = (body: string | Record<string, unknown>, status = 200) =>
  cse.simulator.server.inject({ answer: { status, body } });

describe("getEngine()", () => {
  it("tells an engine in the vendor's words", async () => {
    const { id, name, latestJobId } = cse.simulator.world.add({ id: newId() });
    const { $typeName, ...engine } = await cse.client.getEngine(cse.request(id));
    expect(engine).toEqual({
      id,
      name,
      status: "UpgradeFailed",
      type: "CSE",
      version: "2.4.3",
      latestJobId: BigInt(latestJobId),
      enterpriseProjectId: "0",
    });
    expect(cse.simulator.server.requests).toHaveLength(1);
    expect(cse.simulator.server.requests[0]?.headers).toMatchObject({
      accept: "application/json",
      "content-type": "application/json;charset=UTF-8",
    });
  });

  it("leaves out what the vendor does not say", async () => {
    say({ id: "e1", status: "Available", latestJobId: null, version: 7 });
    expect(await cse.client.getEngine(cse.request("e1"))).toMatchObject({ version: "", latestJobId: 0n, name: "" });
  });

  it.each([
    ["a list", "[]"],
    ["no status", { id: "e1" }],
    ["HTML", "<html><body>hello</body></html>"],
    ["nothing", ""],
  ])("does not take %s for an engine", async (_what, body) => {
    say(body);
    expect(await failureOf(cse.client.getEngine(cse.request("e1")))).toMatchObject({
      code: Code.Internal,
      reason: "VENDOR_BAD_RESPONSE",
      metadata: { outcome: "not_applied", vendor_http_status: "200" },
    });
  });

  it.each(["snake", "camel"] as const)(
    "tells that it is not there, which the vendor says with 400 or 401 (%s)",
    async (shape) => {
      for (const name of ["notFound", "notFoundAsIllegal", "notFoundAs401", "notFoundAs401Illegal"] as const) {
        const { status, code, message } = CSE_FAILURES[name];
        cse.simulator.server.inject({ answer: refused(status, code, message, shape) });
        expect(await failureOf(cse.client.getEngine(cse.request("e1")))).toMatchObject({
          code: Code.NotFound,
          reason: "TARGET_NOT_FOUND",
          resources: [`projects/${projectId()}/cse/engines/e1`],
          metadata: { vendor_code: code, vendor_http_status: String(status) },
        });
      }
    },
  );

  it("takes a 401 without such a code for our own credentials refused, and does not ask again", async () => {
    cse.simulator.server.account.keys.splice(0);
    expect(await failureOf(cse.client.getEngine(cse.request("e1")))).toMatchObject({
      code: Code.Internal,
      reason: "VENDOR_CREDENTIALS_REJECTED",
      metadata: { vendor_http_status: "401" },
    });
    expect(cse.simulator.server.requests).toHaveLength(1);
  });

  it("is about a configured project", async () => {
    expect(await failureOf(cse.client.getEngine({ projectId: "other", engineId: "e1" }))).toMatchObject({
      code: Code.NotFound,
      reason: "PROJECT_NOT_FOUND",
    });
    expect(cse.simulator.server.requests).toEqual([]);
  });
});

describe("getEngineJob()", () => {
  it("tells a job", async () => {
    const { id, latestJobId } = cse.simulator.world.add({ id: newId(), jobType: "Create", jobStatus: "Timeout" });
    const job = cse.simulator.world.job(id, latestJobId);
    const told = await cse.client.getEngineJob(cse.request(id, { jobId: BigInt(latestJobId) }));
    expect(told).toMatchObject({
      id: BigInt(latestJobId),
      engineId: id,
      type: "Create",
      status: "Timeout",
      startTime: timestampFromMs(job?.startTime ?? 0),
      endTime: timestampFromMs(job?.endTime ?? 0),
    });
  });

  it.each([
    ["milliseconds", 1_763_740_800_000],
    ["seconds", 1_763_740_800],
    ["milliseconds in a text", "1763740800000"],
    ["ISO 8601", "2025-11-21T16:00:00Z"],
  ])("understands times in %s, and none while it runs", async (_what, startTime) => {
    say({ id: 5, status: "Executing", startTime, endTime: 0 });
    const told = await cse.client.getEngineJob(cse.request("e1", { jobId: 5n }));
    expect(told.startTime).toEqual(timestampFromMs(1_763_740_800_000));
    expect(told.endTime).toBeUndefined();
    expect(told.engineId).toBe("e1");
  });

  it.each([9e15, -1, 0, "soon", null])("has no time where the vendor's is none: %s", async (time) => {
    say({ id: 5, status: "Finished", startTime: time, endTime: time });
    const { startTime, endTime } = await cse.client.getEngineJob(cse.request("e1", { jobId: 5n }));
    expect([startTime, endTime]).toEqual([undefined, undefined]);
  });

  it("tells a job that is not there from an engine that is not", async () => {
    const { id } = cse.simulator.world.add({ id: newId() });
    expect(await failureOf(cse.client.getEngineJob(cse.request(id, { jobId: 1n })))).toMatchObject({
      code: Code.NotFound,
      reason: "JOB_NOT_FOUND",
      metadata: { vendor_code: "SVCSTG.00501153" },
    });
    expect(await failureOf(cse.client.getEngineJob(cse.request(newId(), { jobId: 1n })))).toMatchObject({
      reason: "TARGET_NOT_FOUND",
    });
  });
});

describe("listEngines()", () => {
  it("pages, whatever the vendor means by offset", async () => {
    const ids = Array.from({ length: 5 }, () => cse.simulator.world.add({ id: newId() }).id);
    cse.simulator.world.add({ id: newId(), type: "NACOS" });
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await cse.client.listEngines({ projectId: projectId(), pageSize: 2, pageToken });
      seen.push(...page.engines.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(ids);
    expect(cse.simulator.server.requests.map(({ url }) => url.split("?")[1])).toEqual([
      "offset=0&limit=2&type=CSE",
      "offset=0&limit=4&type=CSE",
      "offset=0&limit=6&type=CSE",
    ]);
  });

  it("refuses a token of another list, and what is no token", async () => {
    for (let i = 0; i < 2; i++) cse.simulator.world.add({ id: newId() });
    const { nextPageToken: pageToken } = await cse.client.listEngines({ projectId: projectId(), pageSize: 1 });
    for (const request of [
      { projectId: projectId(), enterpriseProjectId: "0", pageToken },
      { projectId: projectId(), pageToken: "x" },
    ]) {
      expect(await failureOf(cse.client.listEngines(request))).toMatchObject({ reason: "INVALID_ARGUMENT" });
    }
    expect(cse.simulator.server.requests).toHaveLength(1);
  });

  it("takes null for an empty list, and shows the others beside an odd one", async () => {
    say({ total: 0, data: null });
    expect((await cse.client.listEngines({ projectId: projectId() })).engines).toEqual([]);
    say({ total: 3, data: [{ id: "e1", status: "Available" }, null, { id: "e3", status: "Available" }] });
    const { engines } = await cse.client.listEngines({ projectId: projectId() });
    expect(engines.map(({ id }) => id)).toEqual(["e1", "e3"]);
  });

  it("does not take a part for the whole", async () => {
    say({ total: 3, data: [{ id: "e1", status: "Available" }] });
    expect(await failureOf(cse.client.listEngines({ projectId: projectId() }))).toMatchObject({
      reason: "VENDOR_BAD_RESPONSE",
    });
  });
});

describe("a request with an id that is none", () => {
  it.each(["..", "a/b", "a%2Fb", "a?b", "a#b", "", "a--b", "-a", "a b", "a".repeat(65)])(
    "is refused by the schema: %j",
    async (engineId) => {
      for (const call of [
        cse.client.retryEngine({ projectId: projectId(), engineId }),
        cse.client.getEngine({ projectId: projectId(), engineId }),
        cse.client.getEngineJob({ projectId: projectId(), engineId, jobId: 1n }),
      ]) {
        expect(await failureOf(call)).toMatchObject({ code: Code.InvalidArgument, reason: "INVALID_ARGUMENT" });
      }
      expect(cse.simulator.server.requests).toEqual([]);
    },
  );

  it("is refused in the other fields", async () => {
    for (const call of [
      cse.client.getEngine({ projectId: "../x", engineId: "e1" }),
      cse.client.getEngine({ projectId: projectId(), engineId: "e1", enterpriseProjectId: "a\r\nx: y" }),
      cse.client.getEngineJob({ projectId: projectId(), engineId: "e1", jobId: -1n }),
    ]) {
      expect(await failureOf(call)).toMatchObject({ code: Code.InvalidArgument, reason: "INVALID_ARGUMENT" });
    }
    expect(cse.simulator.server.requests).toEqual([]);
  });
});
