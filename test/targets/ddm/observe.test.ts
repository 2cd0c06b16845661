import { describe, expect, it } from "vitest";
import { Failure, type Reason } from "../../../src/core/errors.ts";
import type { DdmClient, Job } from "../../../src/targets/ddm/client.ts";
import { type RestartEvidence, writeEvidence } from "../../../src/targets/ddm/evidence.ts";
import { observeRestart } from "../../../src/targets/ddm/observe.ts";

const REF = { projectId: "p", instanceId: "i1" };
const SENT_AT = 10_000;
const POLL = 100;

/** What reads show: a status, or why there is none; a job, or why there is none. */
function clientOf(
  status: string | Failure,
  job: Partial<Job> | Failure = new Failure("JOB_NOT_FOUND", "-"),
): DdmClient {
  const never = () => Promise.reject(new Error("nothing else is asked for"));
  return {
    instance: async () => {
      if (status instanceof Failure) throw status;
      return { id: "i1", name: "ddm-1", status, engineVersion: "3", nodeCount: 2 };
    },
    job: async (_ref, id) => {
      if (job instanceof Failure) throw job;
      return { id, status: "Running", process: "", instanceId: "i1", ...job };
    },
    instances: never,
    restart: never,
    restartV3: never,
  };
}

const look = (
  client: DdmClient,
  state: "SENT" | "UNKNOWN",
  part: Partial<RestartEvidence> = {},
  { now = SENT_AT + POLL, vendorJob = "" } = {},
) => {
  const evidence = { statusBefore: "RUNNING", sentAt: SENT_AT, restarting: false, last: "", looks: 0, ...part };
  return observeRestart(
    { client, ref: REF, now: () => now, pollIntervalMs: POLL },
    { state, vendorJob, evidence: writeEvidence(evidence) },
    new AbortController().signal,
  );
};

describe("observeRestart()", () => {
  it.each([
    ["Running", "60%", "running", "Running 60%"],
    ["Running", "", "running", "Running"],
    ["Completed", "", "succeeded", "Completed"],
    ["COMPLETED", "", "succeeded", "COMPLETED"],
    ["Failed", "", "failed", "Failed"],
  ])("believes the job: %s %s is %s, whatever the instance shows", async (status, process, kind, progress) => {
    const seen = await look(clientOf("RUNNING", { status, process }), "SENT", {}, { vendorJob: "j1" });
    expect(seen).toMatchObject({ kind, progress });
  });

  it.each<[string, Partial<Job> | Failure]>([
    ["of another instance", { instanceId: "i2", status: "Failed" }],
    ["with a status that is not known", { status: "Paused" }],
    ...(
      [
        "JOB_NOT_FOUND",
        "TARGET_NOT_FOUND",
        "VENDOR_REFUSED_REQUEST",
        "VENDOR_PERMISSION_DENIED",
        "VENDOR_INTERNAL_ERROR",
      ] satisfies Reason[]
    ).map((reason): [string, Failure] => [`that cannot be read: ${reason}`, new Failure(reason, "-")]),
  ])("goes by the status for a job %s", async (_what, job) => {
    const seen = await look(clientOf("RESTARTING", job), "SENT", {}, { vendorJob: "j1" });
    expect(seen).toMatchObject({ kind: "running", progress: "RESTARTING", evidence: { restarting: true } });
  });

  it("concludes nothing of a read that failed", async () => {
    const away = new Failure("VENDOR_UNREACHABLE", "away");
    await expect(look(clientOf("RUNNING", away), "SENT", {}, { vendorJob: "j1" })).rejects.toBe(away);
    await expect(look(clientOf(away), "SENT")).rejects.toBe(away);
  });

  it.each([
    [{ restarting: true, last: "RESTARTING", looks: 3 }, SENT_AT + 1, "succeeded"],
    [{}, SENT_AT + 600_000, "running"], // looked at too rarely, whatever the clock says
    [{ last: "RUNNING", looks: 5 }, SENT_AT + 5 * POLL, "running"], // looked at often, but too early
    [{ last: "RUNNING", looks: 5 }, SENT_AT + 6 * POLL, "succeeded"],
    [{ last: "RUNNING", looks: 5 }, SENT_AT - 600_000, "succeeded"], // sent by a process whose clock is ahead
  ] as const)("RUNNING after %o, at %i, is %s", async (part, now, kind) => {
    expect(await look(clientOf("RUNNING"), "SENT", part, { now })).toMatchObject({ kind });
  });

  it.each([
    ["ERROR", { last: "ERROR", looks: 1 }, "failed"],
    ["ERROR", { last: "RESTARTING", looks: 9 }, "unclear"],
    ["FROZEN", { last: "FROZEN", looks: 1 }, "failed"],
    ["BACKUP", { last: "BACKUP", looks: 99 }, "unclear"],
    ["RESTARTING", { last: "RESTARTING", looks: 99 }, "running"],
  ] as const)("%s after %o is %s", async (status, part, kind) => {
    expect(await look(clientOf(status), "SENT", part)).toMatchObject({ kind });
  });

  it("has failed when the instance is gone, twice", async () => {
    for (const gone of [clientOf(new Failure("TARGET_NOT_FOUND", "-")), clientOf("DELETED")]) {
      const once = await look(gone, "SENT");
      expect(once).toMatchObject({ kind: "unclear", evidence: { last: "gone", looks: 1 } });
      expect(await look(gone, "SENT", { last: "gone", looks: 1 })).toMatchObject({
        kind: "failed",
        failure: { reason: "VENDOR_JOB_FAILED", outcome: "applied" },
      });
    }
  });

  it.each([
    ["RESTARTING", {}, "running"],
    ["RUNNING", { restarting: true }, "running"], // which then is SENT, and ends
    ["RUNNING", { last: "RUNNING", looks: 99 }, "unclear"],
    ["ERROR", { last: "ERROR", looks: 99 }, "unclear"],
  ] as const)("while its outcome is unknown: %s after %o is %s", async (status, part, kind) => {
    const seen = await look(clientOf(status), "UNKNOWN", part);
    expect(seen.kind).toBe(kind);
    if (seen.kind === "running") {
      expect(seen.response).toMatchObject({ instanceId: "i1", instanceName: "", jobId: "" });
    }
  });

  it("cannot tell of what no request recorded", async () => {
    const view = { state: "UNKNOWN", vendorJob: "", evidence: {} } as const;
    const options = { client: clientOf("RESTARTING"), ref: REF, now: () => 0, pollIntervalMs: POLL };
    expect(await observeRestart(options, view, new AbortController().signal)).toMatchObject({ kind: "unclear" });
  });
});
