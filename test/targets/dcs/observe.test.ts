import { describe, expect, it } from "vitest";
import type { DcsAction } from "../../../src/targets/dcs/client.ts";
import type { DcsInstance } from "../../../src/targets/dcs/instance.ts";
import { baselineOf, evaluate, type LookContext, takenEvidence } from "../../../src/targets/dcs/observe.ts";
import { CLUSTER, nameOf } from "./support.ts";

const POLL_MS = 10_000;
const TAKEN = Date.UTC(2026, 0, 31, 12);

/** An instance with this status and task. */
const instance = (status: string, task = ""): DcsInstance => ({
  instanceId: CLUSTER,
  name: "dcs",
  status,
  task,
  engine: "Redis",
  engineVersion: "6.0",
  cacheMode: "cluster",
  replicaCount: 2,
  updateAt: "2026-01-31T11:00:00.000Z",
});

/** Judges so many seconds after the answer. */
const look = (
  state: "SENT" | "UNKNOWN",
  evidence: LookContext["operation"]["evidence"],
  seen: DcsInstance | undefined,
  seconds: number,
  action: DcsAction = "restart",
) =>
  evaluate({
    operation: { state, evidence, target: nameOf(CLUSTER) },
    action,
    instance: seen,
    now: new Date(TAKEN + seconds * 1_000),
    pollIntervalMs: POLL_MS,
  });

const taken = (before = instance("RUNNING")) => takenEvidence(baselineOf(before), new Date(TAKEN));

/** Looks at one thing after the other, each with what the one before recorded. */
function follow(evidence: ReturnType<typeof taken>, ...looks: (readonly [seconds: number, seen: DcsInstance])[]) {
  let recorded = evidence;
  return looks.map(([seconds, seen]) => {
    const result = look("SENT", recorded, seen, seconds);
    recorded = result.evidence ?? recorded;
    return result.kind === "failed" ? `${result.kind} ${result.failure.reason}` : result.kind;
  });
}

describe("judge() of a request that was taken", () => {
  it("believes RUNNING once it is seen twice, a poll interval apart", () => {
    expect(
      follow(
        taken(),
        [1, instance("RESTARTING")],
        [11, instance("RUNNING")],
        [15, instance("RUNNING")],
        [21, instance("RUNNING")],
      ),
    ).toEqual(["running", "running", "running", "succeeded"]);
  });

  it("counts a RUNNING that was never left only from a poll interval after the answer on", () => {
    const first = look("SENT", taken(), instance("RUNNING"), 0.5);
    expect(first).toEqual({ kind: "running", againMs: 9_500, progress: "RUNNING", evidence: taken() });
    const second = look("SENT", taken(), instance("RUNNING"), 10);
    expect(second).toEqual({
      kind: "running",
      againMs: POLL_MS,
      progress: "RUNNING",
      evidence: { ...taken(), idle: "RUNNING", idle_since: "2026-01-31T12:00:10.000Z" },
    });
    expect(look("SENT", second.evidence ?? {}, instance("RUNNING"), 19.9)).toMatchObject({
      kind: "running",
      againMs: 100,
    });
    expect(look("SENT", second.evidence ?? {}, instance("RUNNING"), 20)).toEqual({
      kind: "succeeded",
      progress: "RUNNING",
    });
  });

  it("begins to count anew when the instance was busy in between", () => {
    expect(
      follow(
        taken(),
        [1, instance("RESTARTING")],
        [11, instance("RUNNING")],
        [21, instance("RUNNING", "BACKUPING")],
        [31, instance("RUNNING")],
        [41, instance("RUNNING")],
      ),
    ).toEqual(["running", "running", "running", "running", "succeeded"]);
  });

  it("begins to count anew when the clock went back", () => {
    const evidence = { ...taken(), begun: true, idle: "RUNNING", idle_since: "2026-01-31T13:00:00.000Z" };
    expect(look("SENT", evidence, instance("RUNNING"), 60)).toMatchObject({
      kind: "running",
      evidence: { idle_since: "2026-01-31T12:01:00.000Z" },
    });
  });

  it("does not wait for the clock of the process that sent it, which was ahead", () => {
    expect(follow(taken(), [-600, instance("RUNNING")], [-590, instance("RUNNING")])).toEqual(["running", "succeeded"]);
  });

  it.each(["ERROR", "FROZEN", "CREATEFAILED"])("fails when the instance becomes %s", (status) => {
    const seen = look("SENT", taken(), instance(status), 5);
    expect(seen).toMatchObject({ kind: "failed", failure: { reason: "VENDOR_JOB_FAILED", outcome: "applied" } });
  });

  it("lets what was faulty before begin", () => {
    const before = taken(instance("ERROR"));
    expect(follow(before, [1, instance("ERROR")], [5, instance("RESTARTING")], [15, instance("ERROR")])).toEqual([
      "running",
      "running",
      "failed VENDOR_JOB_FAILED",
    ]);
    expect(follow(before, [1, instance("ERROR")], [10, instance("ERROR")], [20, instance("ERROR")])).toEqual([
      "running",
      "running",
      "failed VENDOR_JOB_FAILED",
    ]);
    expect(follow(before, [10, instance("ERROR")], [20, instance("RUNNING")], [30, instance("RUNNING")])).toEqual([
      "running",
      "running",
      "succeeded",
    ]);
  });

  it("cannot tell by a status that nobody knows, nor by any after two hours", () => {
    expect(look("SENT", taken(), instance("POWEROFF"), 60)).toMatchObject({ kind: "unclear", againMs: POLL_MS });
    expect(look("SENT", taken(), instance("RESTARTING"), 7_200)).toMatchObject({ kind: "running", againMs: POLL_MS });
    expect(look("SENT", taken(), instance("RESTARTING"), 7_201)).toMatchObject({ kind: "unclear", againMs: POLL_MS });
  });

  it("fails when the instance is deleted: that is seen twice", () => {
    const once = look("SENT", taken(), undefined, 5);
    expect(once).toMatchObject({ kind: "unclear", againMs: POLL_MS, evidence: { gone: true } });
    expect(look("SENT", once.evidence ?? {}, undefined, 15)).toMatchObject({
      kind: "failed",
      failure: { reason: "TARGET_NOT_FOUND", outcome: "applied" },
    });
  });

  it.each([instance("RESTARTING"), instance("RUNNING"), instance("ERROR", "BACKUPING")])(
    "forgets that the instance was away once it is there again: %o",
    (seen) => {
      expect(look("SENT", { ...taken(), gone: true }, seen, 15).evidence).not.toHaveProperty("gone");
    },
  );
});

describe("judge() of a request whose outcome is unknown", () => {
  const before = baselineOf(instance("RUNNING"));

  it.each([
    ["restart", "RESTARTING"],
    ["soft_restart", "RESTARTING"],
    ["flush", "FLUSHING"],
  ] as const)("%s was applied when the instance is %s and was not before", (action, status) => {
    expect(look("UNKNOWN", before, instance(status), 5, action)).toEqual({
      kind: "running",
      againMs: POLL_MS,
      progress: status,
      evidence: { ...before, begun: true },
    });
    const already = baselineOf(instance(status));
    expect(look("UNKNOWN", already, instance(status), 5, action)).toMatchObject({ kind: "unclear" });
  });

  it.each([
    ["restart", instance("RUNNING")],
    ["restart", instance("FLUSHING")],
    ["restart", instance("ERROR")],
    ["restart", instance("RUNNING", "BACKUPING")],
    ["flush", instance("RESTARTING")],
    ["flush", undefined],
  ] as const)("%s stays unclear when %o is seen, and is soon looked at again", (action, seen) => {
    expect(look("UNKNOWN", before, seen, 3_600, action)).toMatchObject({ kind: "unclear", againMs: 2_000 });
  });

  it("stays unclear where nothing was recorded", () => {
    expect(look("UNKNOWN", {}, instance("RESTARTING"), 5)).toMatchObject({ kind: "unclear" });
  });
});
