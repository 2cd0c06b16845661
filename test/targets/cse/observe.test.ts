import { describe, expect, it } from "vitest";
import { Failure } from "../../../src/core/errors.ts";
import type { CseClient } from "../../../src/targets/cse/client.ts";
import type { Engine, EngineJob } from "../../../src/targets/cse/engine.ts";
import { type RetryEvidence, writeEvidence } from "../../../src/targets/cse/evidence.ts";
import { hasMoved, observeRetry } from "../../../src/targets/cse/observe.ts";

const REF = { projectId: "p", engineId: "e1", enterpriseProjectId: "" };
const BEFORE = { id: 7, type: "Upgrade", status: "Error", startTime: 1_000, endTime: 2_000 } as const;
const SENT_AT = 10_000;
const POLL = 100;

const evidence = (part: Partial<RetryEvidence> = {}): RetryEvidence => ({
  engineName: "cse-1",
  engineStatus: "UpgradeFailed",
  deletes: false,
  job: BEFORE,
  sentAt: SENT_AT,
  moved: false,
  unchanged: 0,
  gone: false,
  ...part,
});

const absent = (reason: "TARGET_NOT_FOUND" | "JOB_NOT_FOUND"): Failure => new Failure(reason, "it is not there");

/** What reads show: a job by its id, an engine that is there unless said otherwise. */
function clientOf(jobs: Partial<EngineJob>[], engine: Partial<Engine> | "gone" = {}): CseClient {
  const never = () => Promise.reject(new Error("nothing else is asked for"));
  return {
    engine: async () => {
      if (engine === "gone") throw absent("TARGET_NOT_FOUND");
      const rest = { name: "cse-1", type: "CSE", version: "2", enterpriseProjectId: "0" };
      return { id: "e1", status: "UpgradeFailed", latestJobId: 7, ...rest, ...engine };
    },
    job: async (_ref, id) => {
      if (engine === "gone") throw absent("TARGET_NOT_FOUND");
      const found = jobs.find((job) => (job.id ?? 7) === Number(id));
      if (found === undefined) throw absent("JOB_NOT_FOUND");
      return { ...BEFORE, engineId: "e1", ...found };
    },
    engines: never,
    retry: never,
  };
}

const look = (
  client: CseClient,
  state: "SENT" | "UNKNOWN",
  part: Partial<RetryEvidence> = {},
  { now = SENT_AT + POLL, vendorJob = state === "SENT" ? "7" : "" } = {},
) =>
  observeRetry(
    { client, ref: REF, now: () => now, pollIntervalMs: POLL },
    { state, vendorJob, evidence: writeEvidence(evidence(part)) },
    new AbortController().signal,
  );

describe("observeRetry()", () => {
  it.each([
    ["Init", {}, "running"],
    ["Executing", {}, "running"],
    ["Finished", {}, "succeeded"],
    ["Error", {}, "running"], // may be the old one
    ["Error", { endTime: 20_000 }, "failed"],
    ["Error", { startTime: 20_000 }, "failed"],
    ["Timeout", {}, "failed"],
    ["SomethingNew", {}, "unclear"],
  ] as const)("after the vendor took it: a job that is %s %o", async (status, times, kind) => {
    expect(await look(clientOf([{ status, ...times }]), "SENT")).toMatchObject({ kind, progress: status });
  });

  it("remembers that a run was seen: the same failure is a new one then", async () => {
    const seen = await look(clientOf([{ status: "Executing" }]), "SENT");
    expect(seen.evidence).toMatchObject({ moved: true });
    expect(await look(clientOf([{}]), "SENT", { moved: true })).toMatchObject({
      kind: "failed",
      failure: { reason: "VENDOR_JOB_FAILED", outcome: "applied" },
    });
  });

  it.each([
    [4, SENT_AT + 600_000, "running"], // looked at too rarely, whatever the clock says
    [5, SENT_AT + 5 * POLL, "running"], // looked at often, but too early
    [5, SENT_AT + 6 * POLL, "failed"],
    [5, SENT_AT - 600_000, "failed"], // sent by a process whose clock is ahead
  ])("%i looks before, at %i: an unchanged failure is %s", async (unchanged, now, kind) => {
    const seen = await look(clientOf([{}]), "SENT", { unchanged }, { now });
    expect(seen).toMatchObject({ kind, evidence: { unchanged: unchanged + 1, moved: false } });
  });

  it("follows the job that the vendor named", async () => {
    const client = clientOf([{ id: 8, status: "Executing" }]);
    expect(await look(client, "SENT", {}, { vendorJob: "8" })).toMatchObject({ kind: "running", vendorJob: "8" });
    const failed = clientOf([{ id: 8, status: "Error" }]);
    expect(await look(failed, "SENT", {}, { vendorJob: "8" })).toMatchObject({ kind: "failed" });
  });

  it("has succeeded, when a deletion has taken the engine away: that is seen twice", async () => {
    for (const state of ["SENT", "UNKNOWN"] as const) {
      for (const client of [clientOf([], "gone"), clientOf([], { status: "Deleted" })]) {
        const once = await look(client, state, { deletes: true });
        expect(once).toMatchObject({ kind: "unclear", evidence: { gone: true } });
        expect(await look(client, state, { deletes: true, gone: true })).toMatchObject({ kind: "succeeded" });
      }
    }
  });

  it("has failed, or cannot tell, when somebody else has taken the engine away", async () => {
    expect(await look(clientOf([], "gone"), "SENT")).toMatchObject({ kind: "unclear", evidence: { gone: true } });
    expect(await look(clientOf([], "gone"), "SENT", { gone: true })).toMatchObject({ kind: "failed" });
    expect(await look(clientOf([], "gone"), "UNKNOWN", { gone: true })).toMatchObject({ kind: "unclear" });
  });

  it.each([
    ["SENT", { status: "Executing" }],
    ["SENT", {}],
    ["UNKNOWN", {}],
  ] as const)("while %s, forgets that the engine was away once it is there again, with %o", async (state, job) => {
    expect(await look(clientOf([job]), state, { gone: true })).toMatchObject({ evidence: { gone: false } });
  });

  it.each([
    ["Available", 0, "running"], // it may not be known yet
    ["Available", 5, "succeeded"],
    ["UpgradeFailed", 5, "failed"],
    ["Upgrading", 5, "running"],
    ["Freezed", 0, "running"],
    ["Freezed", 5, "unclear"],
  ])("a job that is not known, of an engine that is %s for %i looks, is %s", async (status, unchanged, kind) => {
    const now = SENT_AT + 6 * POLL;
    expect(await look(clientOf([], { status }), "SENT", { unchanged }, { now })).toMatchObject({ kind });
  });

  it.each([
    [{ status: "Executing" }, "running"],
    [{ status: "Finished" }, "succeeded"],
    [{ status: "Error", endTime: 20_000 }, "failed"],
    [{}, "absent"],
  ] as const)("while its outcome is unknown: %o is %s", async (job, kind) => {
    const seen = await look(clientOf([job]), "UNKNOWN");
    expect(seen.kind).toBe(kind);
    if (seen.kind === "running" || seen.kind === "succeeded") {
      expect(seen.response).toMatchObject({ id: "e1", name: "cse-1", jobId: 7n });
    }
  });

  it("cannot tell of an unchanged job that has no times, or is not known from before", async () => {
    const { startTime, endTime, ...timeless } = BEFORE;
    const job = { ...timeless, startTime: undefined, endTime: undefined };
    expect(await look(clientOf([job]), "UNKNOWN", { job })).toMatchObject({ kind: "unclear" });
    expect(await look(clientOf([{}]), "UNKNOWN", { job: undefined })).toMatchObject({ kind: "unclear" });
    expect(await look(clientOf([], { latestJobId: undefined }), "UNKNOWN", { job: undefined })).toMatchObject({
      kind: "unclear",
    });
  });

  it.each([
    ["Upgrade", "running"],
    ["Modify", "absent"],
  ])("while its outcome is unknown: a later job that is a %s makes it %s", async (type, kind) => {
    const client = clientOf([{}, { id: 8, type, status: "Executing" }], { latestJobId: 8 });
    expect(await look(client, "UNKNOWN")).toMatchObject({ kind });
  });

  it("concludes nothing of a read that failed, or of what no request recorded", async () => {
    const broken = { ...clientOf([]), job: () => Promise.reject(new Failure("VENDOR_UNREACHABLE", "away")) };
    await expect(look(broken, "SENT")).rejects.toMatchObject({ reason: "VENDOR_UNREACHABLE" });
    const view = { state: "UNKNOWN", vendorJob: "", evidence: {} } as const;
    const options = { client: clientOf([{}]), ref: REF, now: () => 0, pollIntervalMs: POLL };
    expect(await observeRetry(options, view, new AbortController().signal)).toMatchObject({ kind: "unclear" });
  });
});

describe("hasMoved()", () => {
  it("takes a time that is told no more for no movement", () => {
    const job = { ...BEFORE, engineId: "e1" };
    expect(hasMoved({ job: BEFORE }, { ...job, endTime: undefined, startTime: undefined })).toBe(false);
    expect(hasMoved({ job: undefined }, job)).toBe(false);
    expect(hasMoved({ job: undefined }, { ...job, status: "Init" })).toBe(true);
  });
});
