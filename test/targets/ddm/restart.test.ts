import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RestartInstanceRequest_Type as Type } from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { DDM_FAILURES, type NewInstance, refused } from "../../../src/targets/ddm/simulator.ts";
import { errorOf, failureOf } from "../../support/served-target.ts";
import { newId, type ServedDdm, startServedDdm } from "./served.ts";

let ddm: ServedDdm;
beforeEach(async () => {
  ddm = await startServedDdm();
});
afterEach(async () => {
  await ddm[Symbol.asyncDispose]();
});

const instance = (part: Omit<NewInstance, "id"> = {}) => ddm.simulator.world.add({ id: newId(), ...part });
const projectId = () => ddm.simulator.server.account.projectId;
const ACTION = /\/action$/;

describe("restartInstance()", () => {
  it.each([
    [Type.UNSPECIFIED, "soft"],
    [Type.SOFT, "soft"],
    [Type.HARD, "hard"],
  ] as const)("type %i: one request as the vendor wants it, followed by its job to its end", async (type, word) => {
    const { id, name } = instance();
    const answer = await ddm.client.restartInstance(ddm.request(id, { type }));
    expect(answer).toMatchObject({
      instanceId: id,
      instanceName: name,
      jobId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    const [write, ...more] = ddm.writes();
    expect(more).toEqual([]);
    expect(write).toMatchObject({
      method: "POST",
      url: `/v1/${projectId()}/instances/${id}/action`,
      body: JSON.stringify({ restart: { type: word } }),
    });
    expect(write?.headers["content-type"]).toMatch(/^application\/json/);
    expect(await ddm.served.until("SUCCEEDED", "FAILED")).toMatchObject({
      state: "SUCCEEDED",
      action: `${word}_restart`,
      target: `projects/${projectId()}/ddm/instances/${id}`,
      vendorJob: answer.jobId,
      progress: "Completed",
    });
    expect(ddm.simulator.world.restarts(id)).toEqual([word]);
  });

  it.each([
    ["RESTARTING", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["RESIZING", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["CREATING", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["SWITCH_SSL", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["CREATE_DATABASE", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["DROP_DATABASE", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["MODIFY_PORT", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["SET_WHITELIST", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["ROLLING", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["CREATE_FAILED", "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
    ["MODIFY_PORT_FAILED", "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
    ["FROZEN", "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
    ["ERROR", "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
    ["CREATEFAILED", "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
    ["SOMETHING_NEW", "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
  ] as const)("refuses an instance that is %s, and sends nothing", async (status, reason, code) => {
    const { id } = instance({ status });
    const failure = await failureOf(ddm.client.restartInstance(ddm.request(id)));
    expect(failure).toMatchObject({
      code,
      reason,
      metadata: { outcome: "not_applied", vendor: "ddm", state: status },
    });
    const target = `projects/${projectId()}/ddm/instances/${id}`;
    expect(code === Code.Aborted ? failure.resources : failure.violations).toEqual(
      code === Code.Aborted ? [target] : [[reason, target]],
    );
    expect(ddm.writes()).toEqual([]);
    expect(ddm.served.events()).toEqual([]);
  });

  it("refuses an instance that is not there", async () => {
    expect(await failureOf(ddm.client.restartInstance(ddm.request(newId())))).toMatchObject({
      code: Code.NotFound,
      reason: "TARGET_NOT_FOUND",
      metadata: { vendor_code: "DBS.200002" },
    });
    expect(ddm.writes()).toEqual([]);
  });

  it("checks alone: reads, and neither sends nor keeps anything", async () => {
    const { id } = instance();
    await ddm.client.restartInstance(ddm.request(id, { validateOnly: true }));
    expect(ddm.simulator.server.requests.map(({ method }) => method)).toEqual(["GET"]);
    expect(ddm.served.events()).toEqual([]);
  });
});

describe("a restart without a job to read", () => {
  it.each(["{}", "a job that cannot be read"])("%s: it ends when the instance runs again", async (what) => {
    const { id, name } = instance();
    const empty = what === "{}";
    ddm.simulator.world.script(id, { answer: empty ? "empty" : "job", jobReadable: false, restartMs: 1_500 });
    const answer = await ddm.client.restartInstance(ddm.request(id));
    expect(answer).toMatchObject(empty ? { instanceId: id, instanceName: "", jobId: "" } : { instanceName: name });
    const record = await ddm.served.until("SUCCEEDED", "FAILED");
    expect(record).toMatchObject({ state: "SUCCEEDED", progress: "RUNNING" });
    expect(JSON.parse(record.evidence)).toMatchObject({ restarting: true, status_before: "RUNNING" });
  });

  it("is not believed to have ended because the instance still runs", async () => {
    const { id } = instance();
    ddm.simulator.world.script(id, { answer: "empty", lagMs: 60, restartMs: 1_500 });
    await ddm.client.restartInstance(ddm.request(id));
    const record = await ddm.served.until("SUCCEEDED", "FAILED");
    expect(JSON.parse(record.evidence)).toMatchObject({ restarting: true });
    expect(record.updateTime - (record.sendTime ?? 0)).toBeGreaterThanOrEqual(1_560);
  });

  it("has ended when the instance runs for long and was never seen to restart", async () => {
    const { id } = instance();
    ddm.simulator.world.script(id, { answer: "empty", restartMs: 0 });
    await ddm.client.restartInstance(ddm.request(id));
    const record = await ddm.served.until("SUCCEEDED", "FAILED");
    expect(record.state).toBe("SUCCEEDED");
    const { restarting, looks } = JSON.parse(record.evidence);
    expect(restarting).toBe(false);
    expect(looks).toBeGreaterThanOrEqual(6);
    expect(record.updateTime - (record.sendTime ?? 0)).toBeGreaterThanOrEqual(6 * 20);
  });

  it.each(["ERROR", "FROZEN"])("fails when the instance stays %s", async (end) => {
    const { id } = instance();
    ddm.simulator.world.script(id, { answer: "empty", end });
    await ddm.client.restartInstance(ddm.request(id));
    expect(errorOf(await ddm.served.until("SUCCEEDED", "FAILED"))).toMatchObject({
      reason: "VENDOR_JOB_FAILED",
      outcome: "applied",
    });
  });

  it("is not failed by an ERROR that passes", async () => {
    const { id } = instance();
    ddm.simulator.world.script(id, { answer: "empty", restartMs: 1_500 });
    await ddm.client.restartInstance(ddm.request(id));
    ddm.simulator.server.inject({
      method: "GET",
      answer: (reply) => ({ ...reply, body: { ...asObject(reply.body), status: "ERROR" } }),
    });
    expect((await ddm.served.until("SUCCEEDED", "FAILED")).state).toBe("SUCCEEDED");
  });

  it("fails when the instance is deleted", async () => {
    const { id } = instance();
    ddm.simulator.world.script(id, { restartMs: 600_000, jobReadable: false });
    await ddm.client.restartInstance(ddm.request(id));
    ddm.simulator.world.remove(id);
    expect(errorOf(await ddm.served.until("FAILED"))).toMatchObject({
      reason: "VENDOR_JOB_FAILED",
      outcome: "applied",
    });
  });

  it("follows no job whose id would change a path", async () => {
    const { id } = instance();
    const answer = { status: 200, body: { instanceId: id, instanceName: "x", jobId: "../../v1/instances" } };
    ddm.simulator.server.inject({ path: ACTION, execute: true, answer });
    expect((await ddm.client.restartInstance(ddm.request(id))).jobId).toBe("");
    await ddm.served.until("SUCCEEDED");
    expect(ddm.simulator.server.requests.every(({ path }) => path.startsWith(`/v1/${projectId()}/instances/`))).toBe(
      true,
    );
  });
});

const asObject = (value: unknown): object => (typeof value === "object" && value !== null ? value : {});

describe("a restart whose job fails", () => {
  it("is told in the operation", async () => {
    const { id } = instance();
    ddm.simulator.world.script(id, { end: "ERROR" });
    await ddm.client.restartInstance(ddm.request(id));
    expect(errorOf(await ddm.served.until("SUCCEEDED", "FAILED"))).toMatchObject({
      reason: "VENDOR_JOB_FAILED",
      outcome: "applied",
      metadata: { vendor: "ddm" },
    });
  });
});

/** A failure of the contract's table. */
const failed = (name: keyof typeof DDM_FAILURES) => {
  const { status, code, message } = DDM_FAILURES[name];
  return refused(status, code, message);
};

describe("a 200 that is an error", () => {
  it("is no success, in whichever shape", async () => {
    for (const body of [
      { errCode: "DBS.200019", externalMessage: "x" },
      { error_code: "DBS.200019", error_msg: "x" },
      { errCode: "DBS.200019", error_code: "" },
    ]) {
      const { id } = instance();
      ddm.simulator.server.inject({ path: ACTION, answer: { status: 200, body } });
      expect(await failureOf(ddm.client.restartInstance(ddm.request(id)))).toMatchObject({
        reason: "OPERATION_IN_PROGRESS",
        metadata: { vendor_code: "DBS.200019", vendor_http_status: "200", outcome: "not_applied" },
      });
    }
  });

  it("leaves the outcome open where nobody knows the error", async () => {
    const { id } = instance();
    ddm.simulator.server.inject({ path: ACTION, answer: { status: 200, body: { error: { code: "X.1" } } } });
    expect(await failureOf(ddm.client.restartInstance(ddm.request(id)))).toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      metadata: { vendor_code: "X.1", outcome: "unknown" },
    });
  });
});

describe("a restart that is refused", () => {
  it.each([
    ["busy", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["busyAsForbidden", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["operated", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["busyAs400", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["busy201014", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["busy201015", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["busyByNumber", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["busyAs500", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["notFound280238", Code.NotFound, "TARGET_NOT_FOUND"],
    ["unknownForbidden", Code.InvalidArgument, "VENDOR_REFUSED_REQUEST"],
    ["busy200011", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["busyOldest", Code.Aborted, "OPERATION_IN_PROGRESS"],
    ["statusForbids", Code.FailedPrecondition, "TARGET_STATE_FORBIDS"],
    ["statusForbids200076", Code.FailedPrecondition, "TARGET_STATE_FORBIDS"],
    ["statusForbids200086", Code.FailedPrecondition, "TARGET_STATE_FORBIDS"],
    ["rdsNotUsable", Code.FailedPrecondition, "TARGET_STATE_FORBIDS"],
    ["notFound", Code.NotFound, "TARGET_NOT_FOUND"],
    ["notFound200013", Code.NotFound, "TARGET_NOT_FOUND"],
    ["notFoundAs400", Code.NotFound, "TARGET_NOT_FOUND"],
    ["notAuthorised", Code.PermissionDenied, "VENDOR_PERMISSION_DENIED"],
    ["notAuthorisedAs400", Code.PermissionDenied, "VENDOR_PERMISSION_DENIED"],
    ["taskTypeForbids", Code.FailedPrecondition, "OPERATION_UNSUPPORTED_BY_TARGET"],
    ["parameter", Code.InvalidArgument, "VENDOR_REFUSED_REQUEST"],
    ["invalidParameter", Code.InvalidArgument, "VENDOR_REFUSED_REQUEST"],
    ["emptyRequest", Code.InvalidArgument, "VENDOR_REFUSED_REQUEST"],
    ["unknownCode", Code.Aborted, undefined],
  ] as const)("%s: nothing was applied, and nothing is sent again", async (name, code, reason) => {
    const { id } = instance();
    ddm.simulator.server.inject({ path: ACTION, answer: failed(name) });
    const failure = await failureOf(ddm.client.restartInstance(ddm.request(id)));
    expect(failure).toMatchObject({
      code,
      ...(reason !== undefined && { reason }),
      metadata: {
        outcome: "not_applied",
        vendor: "ddm",
        vendor_code: DDM_FAILURES[name].code,
        vendor_http_status: String(DDM_FAILURES[name].status),
        vendor_request_id: expect.any(String),
      },
    });
    expect(failure.message).not.toContain(DDM_FAILURES[name].message);
    expect(ddm.served.operation(failure.operation)).toMatchObject({ state: "FAILED", blocks: false });
    expect(ddm.writes()).toHaveLength(1);
  });

  it.each(["serverFailure", "serverFailureRds", "serverFailureAs400"] as const)(
    "%s does not say whether it was applied",
    async (name) => {
      const { id } = instance();
      ddm.simulator.server.inject({ path: ACTION, answer: failed(name) });
      expect(await failureOf(ddm.client.restartInstance(ddm.request(id)))).toMatchObject({
        code: Code.Unknown,
        reason: "OUTCOME_UNKNOWN",
        metadata: { outcome: "unknown", vendor_code: DDM_FAILURES[name].code },
      });
      expect(ddm.served.operation()).toMatchObject({ state: "UNKNOWN", blocks: true });
      expect(ddm.writes()).toHaveLength(1);
    },
  );
});

describe("a restart whose outcome is unknown", () => {
  const lost = { path: ACTION, disconnect: "after-executing" } as const;

  it.each([
    ["the connection is cut after the vendor acted", lost],
    ["the answer breaks off", { path: ACTION, disconnect: "while-answering" }],
    ["HTTP 500", { path: ACTION, execute: true, answer: failed("serverFailure") }],
    ["HTTP 504", { path: ACTION, execute: true, answer: { status: 504, body: "<html>gateway</html>" } }],
    ["an empty 200", { path: ACTION, execute: true, answer: { status: 200, body: "" } }],
    ["a 200 that is HTML", { path: ACTION, execute: true, answer: { status: 200, body: "<html></html>" } }],
    [
      "a 200 about another instance",
      { path: ACTION, execute: true, answer: { status: 200, body: { instanceId: "x" } } },
    ],
  ] as const)("is answered once a read proves it: %s", async (_what, fault) => {
    const { id } = instance();
    ddm.simulator.world.script(id, { restartMs: 1_500 });
    ddm.simulator.server.inject(fault);
    expect(await ddm.client.restartInstance(ddm.request(id))).toMatchObject({
      instanceId: id,
      instanceName: "",
      jobId: "",
    });
    expect((await ddm.served.until("SUCCEEDED", "FAILED")).state).toBe("SUCCEEDED");
    expect(ddm.writes()).toHaveLength(1);
    expect(ddm.simulator.world.restarts(id)).toEqual(["soft"]);
  });

  it("is found later when it shows late", async () => {
    const { id } = instance();
    ddm.simulator.world.script(id, { lagMs: 1_000, restartMs: 1_500 });
    ddm.simulator.server.inject(lost);
    expect(await failureOf(ddm.client.restartInstance(ddm.request(id)))).toMatchObject({
      code: Code.Unknown,
      reason: "OUTCOME_UNKNOWN",
      metadata: { outcome: "unknown" },
    });
    const record = await ddm.served.until("SUCCEEDED", "FAILED");
    expect(record.state).toBe("SUCCEEDED");
    expect(JSON.parse(record.response ?? "")).toEqual({ instanceId: id });
    expect(ddm.writes()).toHaveLength(1);
  });

  it("stays open, and the target blocked, when nothing shows it", async () => {
    await ddm[Symbol.asyncDispose]();
    ddm = await startServedDdm({ timing: { settleMs: 60 } });
    const { id } = instance();
    ddm.simulator.server.inject({ path: ACTION, disconnect: "before-executing" });
    await failureOf(ddm.client.restartInstance(ddm.request(id)));
    expect(await ddm.served.until("NOT_OBSERVED", "UNRESOLVED", "SUCCEEDED")).toMatchObject({
      state: "UNRESOLVED",
      blocks: true,
    });
    expect(ddm.simulator.world.restarts(id)).toEqual([]);
    expect(ddm.writes()).toHaveLength(1);
    expect(await failureOf(ddm.client.restartInstance(ddm.request(id)))).toMatchObject({
      reason: "OPERATION_IN_PROGRESS",
    });
  });
});
