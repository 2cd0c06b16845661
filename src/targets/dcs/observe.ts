import type { JsonObject } from "@bufbuild/protobuf";
import { ENDS_WITHIN_MS } from "../../clouds/tracking.ts";
import { Failure, type FailureOptions, resourceInfo } from "../../core/errors.ts";
import type { ObservationDetails, OperationView } from "../../core/operation.ts";
import type { DcsAction } from "./client.ts";
import { INSTANCE_TYPE } from "./errors.ts";
import type { DcsInstance } from "./instance.ts";
import { isKnown, phaseOf, WHILE } from "./states.ts";

/** What is looked at, and when. */
export interface LookContext {
  readonly operation: Pick<OperationView, "state" | "evidence" | "target">;
  readonly action: DcsAction;
  /** The instance as it was just read; undefined where there is none any more. */
  readonly instance: DcsInstance | undefined;
  /** The wall clock. */
  readonly now: Date;
  readonly pollIntervalMs: number;
}

/** What a look showed, but for the answer of its rpc. */
export type Look = ObservationDetails &
  ({ readonly kind: "running" | "succeeded" | "unclear" } | { readonly kind: "failed"; readonly failure: Failure });

/** How soon (ms) at most to look again while an outcome is unknown: the shortest restart, which has to be caught, takes 10 s. */
const CATCH_MS = 2_000;

/** What is recorded before a request leaves: the instance as it was then. */
export const baselineOf = ({ status, task, updateAt }: DcsInstance): JsonObject => ({
  status,
  task,
  ...(updateAt !== undefined && { update_at: updateAt }),
});

/** What is recorded of a request whose instance was seen at it. */
export const begunEvidence = (recorded: JsonObject): JsonObject => ({ ...recorded, begun: true });

/** What is recorded once the vendor took a request. */
export const takenEvidence = (baseline: JsonObject, now: Date): JsonObject => ({
  ...baseline,
  taken_at: now.toISOString(),
});

/**
 * Judges by the instance alone, since DCS has no jobs for this, and no record of it (contracts/huaweicloud.md B.2).
 *
 * Where the request's outcome is unknown, the instance at it now, and not before, proves that it was applied. Nothing proves that it
 * was not: a short one may have passed unseen.
 *
 * A request that was taken has ended once the instance is seen RUNNING without a task twice, a poll interval apart. Until it was seen
 * at it, that counts only from a poll interval after the answer on: `success` says that the request was accepted, and the status follows.
 * That it is gone counts when it is seen twice, too. The vendor says 30 minutes at most: what an instance is at after two hours is nobody's
 * restart that is waited for.
 */
export function evaluate(context: LookContext): Look {
  return context.operation.state === "SENT" ? evaluateSent(context) : evaluateUnknown(context);
}

function evaluateUnknown({ operation, action, instance, pollIntervalMs }: LookContext): Look {
  const { evidence } = operation;
  const againMs = Math.min(pollIntervalMs, CATCH_MS);
  if (instance === undefined) {
    return { kind: "unclear", againMs, progress: "the instance does not exist any more" };
  }
  const progress = progressOf(instance);
  if (typeof evidence.status !== "string") {
    return { kind: "unclear", againMs, progress: `${progress}; what it was before was not recorded` };
  }
  return hasBegun(evidence, action, instance)
    ? { kind: "running", againMs: pollIntervalMs, progress, evidence: begunEvidence(evidence) }
    : { kind: "unclear", againMs, progress };
}

/** Whether an instance is at it that was not when the request left. */
export const hasBegun = (baseline: JsonObject, action: DcsAction, { status }: DcsInstance): boolean =>
  status === WHILE[action] && baseline.status !== status;

function evaluateSent(context: LookContext): Look {
  const { operation, action, instance, now, pollIntervalMs } = context;
  const { idle: _, idle_since: __, gone: seenGone, ...recorded } = operation.evidence;
  if (instance === undefined) {
    const progress = "the instance does not exist any more";
    return seenGone === true
      ? { kind: "failed", progress, failure: gone(context) }
      : { kind: "unclear", againMs: pollIntervalMs, progress, evidence: { ...operation.evidence, gone: true } };
  }
  const progress = progressOf(instance);
  const begun = recorded.begun === true || instance.status === WHILE[action];
  const evidence = begun ? begunEvidence(recorded) : recorded;
  const phase = phaseOf(instance);
  if (phase === "idle") {
    return afterTwoLooks(context, instance, { kind: "succeeded", progress });
  }
  if (phase === "busy") {
    const overdue = now.getTime() - timeOf(evidence.taken_at, now.getTime()) > ENDS_WITHIN_MS;
    const kind = overdue || !isKnown(instance) ? "unclear" : "running";
    return { kind, againMs: pollIntervalMs, progress, evidence };
  }
  const failed: Look = { kind: "failed", progress, failure: endedBadly(context, instance) };
  // What was faulty before may not have begun yet.
  return begun || instance.status !== evidence.status ? failed : afterTwoLooks(context, instance, failed);
}

/** Believes a status once it is seen for the second time, and not too early. */
function afterTwoLooks({ operation, now, pollIntervalMs }: LookContext, { status }: DcsInstance, verdict: Look): Look {
  const { gone: _, ...evidence } = operation.evidence;
  const time = now.getTime();
  const wait = (untilMs: number, recorded: JsonObject): Look => ({
    kind: "running",
    againMs: Math.max(1, untilMs - time),
    ...(verdict.progress !== undefined && { progress: verdict.progress }),
    evidence: recorded,
  });
  const taken = timeOf(evidence.taken_at, time);
  // What was taken in the future was so by another clock.
  const countsFrom = evidence.begun === true || taken > time ? time : taken + pollIntervalMs;
  if (time < countsFrom) {
    return wait(countsFrom, evidence);
  }
  const first = evidence.idle === status ? timeOf(evidence.idle_since, Number.POSITIVE_INFINITY) : undefined;
  if (first === undefined || first > time) {
    return wait(time + pollIntervalMs, { ...evidence, idle: status, idle_since: now.toISOString() });
  }
  return time - first >= pollIntervalMs ? verdict : wait(first + pollIntervalMs, evidence);
}

/** Epoch ms of a recorded time, or what stands for none. */
const timeOf = (recorded: unknown, otherwise: number): number =>
  typeof recorded === "string" ? Date.parse(recorded) : otherwise;

const progressOf = ({ status, task }: DcsInstance): string => (task === "" ? status : `${status}, ${task}`);

const applied = ({ operation }: LookContext, metadata: Record<string, string>): FailureOptions => ({
  outcome: "applied",
  metadata: { vendor: "dcs", ...metadata },
  details: [resourceInfo(INSTANCE_TYPE, operation.target)],
});

function gone(context: LookContext): Failure {
  const sentence = `${context.operation.target} was deleted before what was asked of it had ended`;
  return new Failure("TARGET_NOT_FOUND", sentence, applied(context, {}));
}

function endedBadly(context: LookContext, { status }: DcsInstance): Failure {
  const { operation, action } = context;
  return new Failure(
    "VENDOR_JOB_FAILED",
    `${action} of ${operation.target} was taken, and left it ${status}; the console shows what it needs`,
    applied(context, { status }),
  );
}
