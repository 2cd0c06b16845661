import type { JsonObject } from "@bufbuild/protobuf";
import { create, type DescMessage, fromJsonString, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import { Failure, retryMsOf } from "../../core/errors.ts";
import type { Action, Observation, OperationView } from "../../core/operation.ts";
import { formatFailure, registry } from "../../core/status.ts";
import { notObserved, unresolved } from "../records/answer.ts";
import type { FailpointHook } from "../records/failpoint.ts";
import { spanOf, storedEvidence } from "../records/span.ts";
import type { Timing } from "../records/timing.ts";
import { type AuditEvent, type Change, ENDED, type OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";

/** What judging an observation takes. */
export interface ObserveOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  readonly failpoint: FailpointHook;
  /** What overrides every action's own. */
  readonly timing: Pick<Timing, "settleMs" | "endsWithinMs">;
}

/** Where an operation is after an observation. */
export type Observed =
  /** It has not ended, and is to be looked at again after so long (ms). */
  | { readonly record: OperationRecord; readonly againMs: number }
  /** Nothing is left to look for, or somebody else has changed it since it was read: what is stored says which. */
  | { readonly record: undefined; readonly ended: boolean };

/** The longest time (ms) between two looks that no action asked for. */
const MAX_AGAIN_MS = 15_000;

/** The longest time (ms) that looks which fail, one after the other, come to wait. */
const MAX_FAILED_AGAIN_MS = 300_000;

/** The longest time (ms) that a vendor's own word on when to ask again is waited for. */
const MAX_RETRY_MS = 3_600_000;

/** Nobody waits longer (ms) for an end, whatever the vendor goes on saying. */
const DAY_MS = 24 * 3_600_000;

/** Progress that nothing else comes with is written so long (ms) after the write before it. */
const PROGRESS_EVERY_MS = 1_000;

type AnyAction = Action<DescMessage, DescMessage, unknown>;

/** An operation as its action sees it. */
export const viewOf = (record: OperationRecord): OperationView => ({
  name: record.name,
  target: record.target,
  state: record.state,
  evidence: JSON.parse(record.evidence) as JsonObject,
  vendorJob: record.vendorJob,
});

/** The request of an operation. */
export const requestOf = ({ method }: Pick<AnyAction, "method">, record: OperationRecord): MessageShape<DescMessage> =>
  fromJsonString(method.input, record.request, { ignoreUnknownFields: true });

/** The longer it takes already, the more rarely it is looked at (ms). */
export const later = (age: number, askedMs: number): number => Math.max(askedMs, Math.min(age / 10, MAX_AGAIN_MS));

/**
 * When to look again (ms) after a look that failed: no sooner than after one that did not, twice as late each time, and not before the
 * vendor wants to be asked again.
 *
 * @param failures how many looks in a row have failed.
 */
export function afterFailure(lookMs: number, error: unknown, failures: number): number {
  const retryMs = error instanceof Failure ? (retryMsOf(error) ?? 0) : 0;
  return Math.max(Math.min(retryMs, MAX_RETRY_MS), Math.min(lookMs * 2 ** (failures - 1), MAX_FAILED_AGAIN_MS));
}

/**
 * How long (ms) the end of an operation is still waited for, by looks that do not show that it runs.
 *
 * The wall clock counts too, unlike where a doubt settles: processes end more often than a day passes, and giving up too early frees
 * no target.
 */
export const waitsFor = (record: OperationRecord, action: AnyAction, age: number, options: ObserveOptions): number =>
  (options.timing.endsWithinMs ?? action.endsWithinMs) -
  Math.max(age, options.now() - (record.sendTime ?? options.now()));

/** The same while looks show that it runs. */
export const waitsForRunning = (...asked: Parameters<typeof waitsFor>): number => {
  const [, action, , { timing }] = asked;
  const boundMs = timing.endsWithinMs ?? action.endsWithinMs;
  return waitsFor(...asked) + Math.max(0, DAY_MS - boundMs);
};

/**
 * Takes an operation that is SENT or UNKNOWN one step on, by what was seen of its target. What was learned is written; an observation
 * that shows nothing new writes nothing. However often, and in however many replicas at once this happens, nothing is sent.
 *
 * @param age how long (ms) the operation has been in its state when the look began, as far as this process has seen: what settles the
 *   doubt is a look that began after everything still under way has ended.
 */
export async function applyObservation(
  record: OperationRecord,
  action: AnyAction,
  seen: Observation,
  age: number,
  options: ObserveOptions,
): Promise<Observed> {
  const { store, failpoint } = options;
  const learned = learn(seen, record);
  const againMs = later(age, seen.againMs ?? action.lookMs);
  if (seen.kind === "absent" || seen.kind === "unclear") {
    if (record.state === "UNKNOWN" && age >= (options.timing.settleMs ?? action.settleMs)) {
      return end(record, giveUp(record, seen.kind), options, learned);
    }
    return record.state === "SENT" && waitsFor(record, action, age, options) <= 0
      ? end(record, giveUp(record, "unclear"), options, learned)
      : keep(record, learned, againMs, options);
  }
  if (seen.kind === "running" && record.state === "SENT" && waitsForRunning(record, action, age, options) <= 0) {
    return end(record, giveUp(record, "unclear"), options, learned);
  }
  const answer = seen.kind === "failed" ? undefined : seen.response;
  const response = answer && { response: toJsonString(action.method.output, answer, { registry }) };
  let current: OperationRecord | undefined = record;
  if (record.state === "UNKNOWN") {
    await failpoint("before W3");
    current = await store.change(
      record,
      { ...learned, ...response, state: "SENT", blocks: action.blocksUntil === "ended" },
      { event: "seen", ...(seen.progress !== undefined && { detail: seen.progress }) },
    );
    await failpoint("after W3");
    if (current === undefined) return STALE;
  }
  if (seen.kind === "running") return keep(current, { ...learned, ...response }, againMs, options);
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

const STALE: Observed = { record: undefined, ended: false };

/** Writes what is new of an operation that goes on: progress alone once a second at most. */
async function keep(
  record: OperationRecord,
  learned: Change,
  againMs: number,
  { store, now }: ObserveOptions,
): Promise<Observed> {
  const news = Object.entries(learned).filter(([field, value]) => record[field as keyof Change] !== value);
  const sinceMs = Math.abs(now() - record.updateTime);
  if (news.length === 0) return { record, againMs };
  if (news.every(([field]) => field === "progress") && sinceMs < PROGRESS_EVERY_MS) {
    return { record, againMs: Math.min(againMs, PROGRESS_EVERY_MS - sinceMs) };
  }
  const current = await store.change(record, learned, undefined);
  return current === undefined ? STALE : { record: current, againMs };
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
): Promise<Observed> {
  await failpoint("before W4");
  // What has kept its target until now keeps it for as long as nobody knows how it is.
  const blocks = change.state === "UNRESOLVED" && record.blocks;
  const ended = await store.change(record, { ...learned, blocks, endTime: now(), ...change }, event);
  await failpoint("after W4");
  return { record: undefined, ended: ended !== undefined };
}

const giveUp = (record: OperationRecord, kind: "absent" | "unclear"): Verdict =>
  kind === "absent"
    ? {
        change: { state: "NOT_OBSERVED", error: formatFailure(notObserved(record)) },
        event: { event: "not observed" },
      }
    : {
        change: { state: "UNRESOLVED", error: formatFailure(unresolved(record)) },
        event: { event: "unresolved", detail: unresolved(record).message },
      };

/** What every kind of observation may have brought. */
const learn = ({ progress, vendorJob, evidence }: Observation, record: OperationRecord): Change => ({
  ...(progress !== undefined && { progress }),
  ...(vendorJob !== undefined && { vendorJob }),
  ...(evidence && { evidence: storedEvidence(evidence, spanOf(record)) }),
});

/** Whether an operation is one to look at: its call is over, and it has not ended. */
export const isToBeLookedAt = ({ state }: Pick<OperationRecord, "state">): boolean =>
  !ENDED.has(state) && state !== "ACCEPTED" && state !== "SENDING";
