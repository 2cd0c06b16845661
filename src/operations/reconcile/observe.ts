import type { JsonObject } from "@bufbuild/protobuf";
import { create, type DescMessage, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import type { Action, Observation } from "../../core/operation.ts";
import { formatFailure, registry } from "../../core/status.ts";
import { notObserved, unresolved } from "../records/answer.ts";
import type { FailpointHook } from "../records/failpoint.ts";
import type { AuditEvent, Change, OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";

/** What looking takes. */
export interface ObserveOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  readonly failpoint: FailpointHook;
  /** How long (ms) an operation has been in its state, as far as this process has seen. */
  readonly age: (record: OperationRecord) => number;
  /** Overrides every action's own. */
  readonly settleMs: number | undefined;
  /** Bounds (ms) one look. */
  readonly limitMs: number;
  /** Fires when the process ends: a look is not waited for then. */
  readonly stopping: AbortSignal;
  /** Told why a look failed; it is repeated. */
  readonly failed: (record: OperationRecord, error: unknown) => void;
}

/** When to look again (ms) when the action does not say, and after a look that failed. */
const AGAIN_MS = 2_000;

/** The longest time (ms) between two looks that no action asked for. */
const MAX_AGAIN_MS = 15_000;

type AnyAction = Action<DescMessage, DescMessage, unknown>;

/**
 * Looks what became of an operation that is SENT or UNKNOWN, and takes it one step on. Reads alone: however often, and in however many
 * replicas at once this happens, nothing is sent.
 */
export async function observe(record: OperationRecord, action: AnyAction, options: ObserveOptions): Promise<void> {
  const { now, limitMs, stopping, failed } = options;
  // Before the look: what settles the doubt is a look that began after everything still under way has ended.
  const age = options.age(record);
  let seen: Observation;
  try {
    seen = await action.observe(
      {
        name: record.name,
        target: record.target,
        state: record.state,
        evidence: JSON.parse(record.evidence) as JsonObject,
        vendorJob: record.vendorJob,
      },
      fromJsonString(action.method.input, record.request, { ignoreUnknownFields: true }),
      AbortSignal.any([stopping, AbortSignal.timeout(limitMs)]),
    );
  } catch (error) {
    if (stopping.aborted) return;
    failed(record, error);
    await options.store.change(record, { wakeTime: now() + later(age, AGAIN_MS) }, undefined);
    return;
  }
  await step(record, action, seen, age, options);
}

async function step(
  record: OperationRecord,
  action: AnyAction,
  seen: Observation,
  age: number,
  options: ObserveOptions,
): Promise<void> {
  const { store, now, failpoint } = options;
  const learned = learn(seen);
  const again = { ...learned, wakeTime: now() + later(age, seen.againMs ?? AGAIN_MS) };
  if (seen.kind === "absent" || seen.kind === "unclear") {
    const settleMs = options.settleMs ?? action.settleMs;
    if (record.state === "UNKNOWN" && age >= settleMs) {
      return end(record, giveUp(record, seen.kind), options, learned);
    }
    await store.change(record, again, undefined);
    return;
  }
  const answer = seen.kind === "failed" ? undefined : seen.response;
  const response = answer && { response: toJsonString(action.method.output, answer, { registry }) };
  let current: OperationRecord | undefined = record;
  if (record.state === "UNKNOWN") {
    await failpoint("before W3");
    current = await store.change(
      record,
      { ...again, ...response, state: "SENT", blocks: action.blocksUntil === "ended" },
      { event: "seen", ...(seen.progress !== undefined && { detail: seen.progress }) },
    );
    await failpoint("after W3");
  } else if (seen.kind === "running") {
    await store.change(record, { ...again, ...response }, undefined);
  }
  if (current === undefined || seen.kind === "running") {
    return;
  }
  const { output } = action.method;
  const verdict: Verdict =
    seen.kind === "failed"
      ? {
          change: { state: "FAILED", error: formatFailure(seen.failure) },
          event: { event: "failed", detail: `${seen.failure.reason}: ${seen.failure.message}` },
        }
      : {
          change: {
            state: "SUCCEEDED",
            response: response?.response ?? current.response ?? toJsonString(output, create(output)),
          },
          event: { event: "succeeded" },
        };
  return end(current, verdict, options, learned);
}

interface Verdict {
  readonly change: Change;
  readonly event: AuditEvent;
}

/** W4. */
async function end(
  record: OperationRecord,
  { change, event }: Verdict,
  { store, now, failpoint }: ObserveOptions,
  learned: Change,
): Promise<void> {
  await failpoint("before W4");
  await store.change(record, { ...learned, blocks: change.state === "UNRESOLVED", endTime: now(), ...change }, event);
  await failpoint("after W4");
}

const giveUp = (record: OperationRecord, kind: "absent" | "unclear"): Verdict =>
  kind === "absent"
    ? {
        change: { state: "NOT_OBSERVED", error: formatFailure(notObserved(record)) },
        event: { event: "not observed" },
      }
    : {
        change: { state: "UNRESOLVED", error: formatFailure(unresolved(record)) },
        event: { event: "unresolved" },
      };

/** What every kind of observation may have brought. */
const learn = ({ progress, vendorJob, evidence }: Observation): Change => ({
  ...(progress !== undefined && { progress }),
  ...(vendorJob !== undefined && { vendorJob }),
  ...(evidence && { evidence: JSON.stringify(evidence) }),
});

/** The longer it takes already, the more rarely it is looked at. Whole milliseconds: a store keeps nothing else. */
const later = (age: number, askedMs: number): number => Math.ceil(Math.max(askedMs, Math.min(age / 10, MAX_AGAIN_MS)));
