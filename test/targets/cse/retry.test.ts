import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CSE_FAILURES, type NewEngine, refused } from "../../../src/targets/cse/simulator.ts";
import { errorOf, failureOf } from "../../support/served-target.ts";
import { newId, type ServedCse, startServedCse } from "./served.ts";

let cse: ServedCse;
beforeEach(async () => {
  cse = await startServedCse();
});
afterEach(async () => {
  await cse[Symbol.asyncDispose]();
});

const engine = (part: Omit<NewEngine, "id"> = {}) => cse.simulator.world.add({ id: newId(), ...part });
const ACTIONS = /\/actions$/;

describe("retryEngine()", () => {
  it("runs the failed job again, by one request as the vendor wants it, and follows it to its end", async () => {
    const { id, name, latestJobId } = engine();
    const answer = await cse.client.retryEngine(cse.request(id));
    expect(answer).toMatchObject({ id, name, jobId: BigInt(latestJobId) });
    const [write, ...more] = cse.writes();
    expect(more).toEqual([]);
    expect(write).toMatchObject({
      method: "PUT",
      url: `/v2/${cse.simulator.server.account.projectId}/enginemgr/engines/${id}/actions`,
      body: '{"action":"Retry"}',
      headers: { "content-type": "application/json;charset=UTF-8", accept: "application/json" },
    });
    expect(write?.headers["x-enterprise-project-id"]).toBeUndefined();
    const ended = await cse.served.until("SUCCEEDED", "FAILED");
    expect(ended).toMatchObject({
      state: "SUCCEEDED",
      target: `projects/${cse.simulator.server.account.projectId}/cse/engines/${id}`,
      vendorJob: String(latestJobId),
      progress: "Finished",
    });
    expect(cse.simulator.world.retries(id)).toBe(1);
    expect(cse.simulator.world.engine(id)?.status).toBe("Available");
  });

  it("sends the enterprise project, without which the engine is not found", async () => {
    const enterpriseProjectId = "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0";
    const { id } = engine({ enterpriseProjectId });
    expect(await failureOf(cse.client.retryEngine(cse.request(id)))).toMatchObject({
      code: Code.NotFound,
      reason: "TARGET_NOT_FOUND",
    });
    await cse.client.retryEngine(cse.request(id, { enterpriseProjectId }));
    expect(cse.simulator.server.requests.slice(-3).map(({ headers }) => headers["x-enterprise-project-id"])).toEqual([
      enterpriseProjectId,
      enterpriseProjectId,
      enterpriseProjectId,
    ]);
    await cse.served.until("SUCCEEDED");
  });

  it.each([
    ["a finished job", { jobStatus: "Finished" }, "NOTHING_TO_RETRY", Code.FailedPrecondition],
    ["a job that runs", { jobStatus: "Executing" }, "OPERATION_IN_PROGRESS", Code.Aborted],
    ["a job that is about to run", { jobStatus: "Init" }, "OPERATION_IN_PROGRESS", Code.Aborted],
    [
      "a job that runs in an engine that failed before",
      { jobStatus: "Executing", status: "UpgradeFailed" },
      "OPERATION_IN_PROGRESS",
      Code.Aborted,
    ],
    ["a failed deletion by force", { jobType: "ForceDelete" }, "DELETION_NOT_ACKNOWLEDGED", Code.FailedPrecondition],
    ["a failed deletion in other letters", { jobType: "DELETE" }, "DELETION_NOT_ACKNOWLEDGED", Code.FailedPrecondition],
    ["a failed Delete job", { jobType: "Delete" }, "DELETION_NOT_ACKNOWLEDGED", Code.FailedPrecondition],
    [
      "an engine whose deletion failed, whatever its latest job is called",
      { jobType: "Modify", status: "DeleteFailed" },
      "DELETION_NOT_ACKNOWLEDGED",
      Code.FailedPrecondition,
    ],
  ] as const)("refuses %s, and sends nothing", async (_what, part, reason, code) => {
    const { id } = engine(part);
    const failure = await failureOf(cse.client.retryEngine(cse.request(id)));
    expect(failure).toMatchObject({ code, reason, metadata: { outcome: "not_applied", vendor: "cse" } });
    const target = `projects/${cse.simulator.server.account.projectId}/cse/engines/${id}`;
    expect(code === Code.Aborted ? failure.resources : failure.violations).toEqual(
      code === Code.Aborted ? [target] : [[reason, target]],
    );
    expect(cse.writes()).toEqual([]);
    expect(cse.served.events()).toEqual([]);
  });

  it.each(["Error", "Timeout"] as const)("retries a job that ended with %s", async (jobStatus) => {
    const { id } = engine({ jobStatus, jobType: "Create" });
    await cse.client.retryEngine(cse.request(id));
    await cse.served.until("SUCCEEDED");
    expect(cse.simulator.world.retries(id)).toBe(1);
  });

  it("retries an engine that says that it failed, though its latest job is Finished", async () => {
    const { id } = engine({ jobStatus: "Finished", status: "CreateFailed" });
    await cse.client.retryEngine(cse.request(id));
    expect((await cse.served.until("SUCCEEDED")).evidence).toContain('"moved":true');
  });

  it("judges by the engine alone when its latest job cannot be found", async () => {
    const { id } = engine({ status: "Upgrading" });
    const noJob = { path: /\/jobs\//, answer: failed("noSuchJob", "camel") };
    cse.simulator.server.inject(noJob);
    expect(await failureOf(cse.client.retryEngine(cse.request(id)))).toMatchObject({ reason: "OPERATION_IN_PROGRESS" });
    const idle = engine({ status: "Available" });
    cse.simulator.server.inject(noJob);
    expect(await failureOf(cse.client.retryEngine(cse.request(idle.id)))).toMatchObject({ reason: "NOTHING_TO_RETRY" });
    expect(cse.writes()).toEqual([]);
  });

  it("deletes the engine when that is acknowledged, and takes its absence for the end", async () => {
    const { id } = engine({ jobType: "Delete" });
    await cse.client.retryEngine(cse.request(id, { acknowledgeDeletion: true }));
    expect(await cse.served.until("SUCCEEDED", "FAILED")).toMatchObject({ state: "SUCCEEDED", progress: "Deleted" });
    expect(cse.simulator.world.engine(id)).toBeUndefined();
  });

  it("checks alone: reads, and neither sends nor keeps anything", async () => {
    const { id } = engine();
    await cse.client.retryEngine(cse.request(id, { validateOnly: true }));
    const { id: other } = engine({ jobType: "Delete" });
    expect(await failureOf(cse.client.retryEngine(cse.request(other, { validateOnly: true })))).toMatchObject({
      reason: "DELETION_NOT_ACKNOWLEDGED",
    });
    expect(cse.writes()).toEqual([]);
    expect(cse.simulator.server.requests).toHaveLength(4);
    expect(cse.served.events()).toEqual([]);
  });

  it.each(["Error", "Timeout"] as const)("tells that the job has failed again: %s", async (end) => {
    const { id, latestJobId } = engine();
    cse.simulator.world.script(id, { end });
    await cse.client.retryEngine(cse.request(id));
    const record = await cse.served.until("SUCCEEDED", "FAILED");
    expect(record.state).toBe("FAILED");
    expect(errorOf(record)).toMatchObject({
      reason: "VENDOR_JOB_FAILED",
      outcome: "applied",
      metadata: { job: String(latestJobId), job_status: end, vendor: "cse" },
    });
  });

  it("does not take the old failure for the new one: the job is run again under the same id, and late", async () => {
    const { id } = engine();
    cse.simulator.world.script(id, { lagMs: 70, jobMs: 60 });
    await cse.client.retryEngine(cse.request(id));
    const record = await cse.served.until("SUCCEEDED", "FAILED");
    expect(record.state).toBe("SUCCEEDED");
    const reads = cse.simulator.server.requests.filter(({ path }) => path.includes("/jobs/"));
    expect(reads.length, "the old failure was seen at least once after the send").toBeGreaterThan(3);
  });

  it("takes the old failure for the new one when nothing has moved for long", async () => {
    const { id } = engine();
    cse.simulator.world.script(id, { lagMs: 600_000 });
    await cse.client.retryEngine(cse.request(id));
    const record = await cse.served.until("SUCCEEDED", "FAILED");
    expect(errorOf(record)).toMatchObject({ reason: "VENDOR_JOB_FAILED", outcome: "applied" });
    expect(record.updateTime - (record.sendTime ?? 0)).toBeGreaterThanOrEqual(6 * 20);
  });

  it("follows another job, when that is what the vendor answers", async () => {
    const { id, latestJobId } = engine();
    cse.simulator.world.script(id, { newJob: true });
    const { jobId } = await cse.client.retryEngine(cse.request(id));
    expect(jobId).not.toBe(BigInt(latestJobId));
    expect(await cse.served.until("SUCCEEDED")).toMatchObject({ vendorJob: String(jobId) });
  });

  it("tells that the engine was deleted while its job ran", async () => {
    const { id } = engine();
    cse.simulator.world.script(id, { jobMs: 600_000 });
    await cse.client.retryEngine(cse.request(id));
    cse.simulator.world.remove(id);
    expect(errorOf(await cse.served.until("FAILED"))).toMatchObject({
      reason: "VENDOR_JOB_FAILED",
      outcome: "applied",
    });
  });
});

/** A failure of the contract's table. */
const failed = (name: keyof typeof CSE_FAILURES, shape: "snake" | "camel" = "snake") => {
  const { status, code, message } = CSE_FAILURES[name];
  return refused(status, code, message, shape);
};

describe("a retry that is refused", () => {
  it.each([
    ["notFound", Code.NotFound, "TARGET_NOT_FOUND"],
    ["notFoundAsIllegal", Code.NotFound, "TARGET_NOT_FOUND"],
    ["notFoundAs401", Code.NotFound, "TARGET_NOT_FOUND"],
    ["notFoundAs401Illegal", Code.NotFound, "TARGET_NOT_FOUND"],
    ["nodesAbnormal", Code.FailedPrecondition, "TARGET_STATE_FORBIDS"],
    ["cannotBeDeleted", Code.FailedPrecondition, "TARGET_STATE_FORBIDS"],
    ["jobIdFormat", Code.InvalidArgument, "VENDOR_REFUSED_REQUEST"],
    ["unknownCode", Code.InvalidArgument, "VENDOR_REFUSED_REQUEST"],
  ] as const)("%s, in both shapes: nothing was applied, and nothing is sent again", async (name, code, reason) => {
    for (const shape of ["snake", "camel"] as const) {
      const { id } = engine();
      cse.simulator.server.inject({ path: ACTIONS, answer: failed(name, shape) });
      const failure = await failureOf(cse.client.retryEngine(cse.request(id)));
      expect(failure).toMatchObject({
        code,
        reason,
        metadata: {
          outcome: "not_applied",
          vendor: "cse",
          vendor_code: CSE_FAILURES[name].code,
          vendor_http_status: String(CSE_FAILURES[name].status),
          vendor_request_id: expect.any(String),
        },
      });
      expect(failure.message).not.toContain(CSE_FAILURES[name].message);
      expect(cse.served.operation(failure.operation)).toMatchObject({ state: "FAILED", blocks: false });
    }
    expect(cse.writes()).toHaveLength(2);
  });
});

describe("a retry whose outcome is unknown", () => {
  const lost = { path: ACTIONS, disconnect: "after-executing" } as const;

  it.each([
    ["the connection is cut after the vendor acted", lost],
    ["the answer breaks off", { path: ACTIONS, disconnect: "while-answering" }],
    ["HTTP 500 with a code that says nothing", { path: ACTIONS, execute: true, answer: failed("unknownServerCode") }],
    ["HTTP 504", { path: ACTIONS, execute: true, answer: { status: 504, body: "<html>gateway</html>" } }],
    ["a 200 without a job", { path: ACTIONS, execute: true, answer: { status: 200, body: { id: "x", name: "y" } } }],
    ["an empty 200", { path: ACTIONS, execute: true, answer: { status: 200, body: "" } }],
    [
      "a 200 about another engine",
      { path: ACTIONS, execute: true, answer: { status: 200, body: { id: "x", jobId: 1 } } },
    ],
    ["a 200 that is HTML", { path: ACTIONS, execute: true, answer: { status: 200, body: "<html></html>" } }],
  ] as const)("is answered once a read proves it: %s", async (_what, fault) => {
    const { id, name, latestJobId } = engine();
    cse.simulator.server.inject(fault);
    const answer = await cse.client.retryEngine(cse.request(id));
    expect(answer).toMatchObject({ id, name, jobId: BigInt(latestJobId) });
    expect(await cse.served.until("SUCCEEDED", "FAILED")).toMatchObject({
      state: "SUCCEEDED",
      vendorJob: String(latestJobId),
    });
    expect(cse.writes()).toHaveLength(1);
    expect(cse.simulator.world.retries(id)).toBe(1);
  });

  it("is found later when the job shows late", async () => {
    const { id, name, latestJobId } = engine();
    cse.simulator.world.script(id, { lagMs: 1_000 });
    cse.simulator.server.inject(lost);
    const failure = await failureOf(cse.client.retryEngine(cse.request(id)));
    expect(failure).toMatchObject({ code: Code.Unknown, reason: "OUTCOME_UNKNOWN", metadata: { outcome: "unknown" } });
    const record = await cse.served.until("SUCCEEDED", "FAILED");
    expect(record).toMatchObject({ state: "SUCCEEDED", vendorJob: String(latestJobId) });
    expect(JSON.parse(record.response ?? "")).toEqual({ id, name, jobId: String(latestJobId) });
    expect(cse.writes()).toHaveLength(1);
  });

  it("is found later in another job of the same kind", async () => {
    const { id, latestJobId } = engine();
    cse.simulator.world.script(id, { newJob: true, lagMs: 1_000 });
    cse.simulator.server.inject(lost);
    await failureOf(cse.client.retryEngine(cse.request(id)));
    const record = await cse.served.until("SUCCEEDED", "FAILED");
    expect(record.state).toBe("SUCCEEDED");
    expect(record.vendorJob).not.toBe(String(latestJobId));
  });

  it("is found by an engine that a deletion has taken away", async () => {
    const { id } = engine({ jobType: "Delete" });
    cse.simulator.world.script(id, { jobMs: 0 });
    cse.simulator.server.inject(lost);
    const told = await failureOf(cse.client.retryEngine(cse.request(id, { acknowledgeDeletion: true })));
    expect(told.reason).toBe("OUTCOME_UNKNOWN");
    expect(await cse.served.until("SUCCEEDED", "NOT_OBSERVED", "UNRESOLVED")).toMatchObject({ state: "SUCCEEDED" });
  });

  it.each([
    ["its sister's spelling", { job_id: 4711 }],
    ["digits in a text", { jobId: "4711" }],
  ])("is told when the vendor's answer says which job runs in %s", async (_how, job) => {
    const { id, name } = engine();
    const answer = { status: 200, body: { id, name, ...job } };
    cse.simulator.server.inject({ path: ACTIONS, execute: true, answer });
    expect((await cse.client.retryEngine(cse.request(id))).jobId).toBe(4711n);
  });
});

describe("a retry that is answered briefly", () => {
  it("is believed by its job", async () => {
    const { id, latestJobId } = engine();
    cse.simulator.server.inject({
      path: ACTIONS,
      execute: true,
      answer: { status: 200, body: { jobId: latestJobId } },
    });
    expect(await cse.client.retryEngine(cse.request(id))).toMatchObject({ id, name: "", jobId: BigInt(latestJobId) });
    expect(await cse.served.until("SUCCEEDED", "FAILED")).toMatchObject({ state: "SUCCEEDED" });
  });
});

describe("a retry that was not applied", () => {
  it("ends as not observed: the job would show it", async () => {
    await cse[Symbol.asyncDispose]();
    cse = await startServedCse({ timing: { settleMs: 60 } });
    const { id } = engine();
    cse.simulator.server.inject({ path: ACTIONS, disconnect: "before-executing" });
    expect(await failureOf(cse.client.retryEngine(cse.request(id)))).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    const record = await cse.served.until("NOT_OBSERVED", "UNRESOLVED", "SUCCEEDED");
    expect(record).toMatchObject({ state: "NOT_OBSERVED", blocks: false });
    expect(cse.simulator.world.retries(id)).toBe(0);
    expect(cse.writes()).toHaveLength(1);
  });

  it("is told when CSE cannot be reached", async () => {
    const { id } = engine();
    await cse.simulator.server[Symbol.asyncDispose]();
    expect(await failureOf(cse.client.retryEngine(cse.request(id)))).toMatchObject({
      code: Code.Unavailable,
      reason: "VENDOR_UNREACHABLE",
      metadata: { outcome: "not_applied" },
      retries: true,
    });
  });
});
