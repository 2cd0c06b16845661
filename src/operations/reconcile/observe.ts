import type { JsonObject } from "@bufbuild/protobuf";
import { create, type DescMessage, fromJsonString, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import type { Action, Observation, OperationView } from "../../core/operation.ts";
import { formatFailure, registry } from "../../core/status.ts";
import { notObserved, unresolved } from "../records/answer.ts";
import type { FailpointHook } from "../records/failpoint.ts";
import { type AuditEvent, type Change, ENDED, type OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";

/** What judging an observation takes. */
export interface ObserveOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  readonly failpoint: FailpointHook;
  /** Overrides every action's own. */
  readonly settleMs: number | undefined;
}

/** Where an operation is after an observation. */
export type Observed =
  /** It has not ended, and is to be looked at again after so long (ms). */
  | { readonly record: OperationRecord; readonly againMs: number }
  /** Nothing is left to look for, or somebody else has changed it since it was read: what is stored says which. */
  | { readonly record: undefined; readonly ended: boolean };

/** When to look again (ms) when the action does not say, and after a look that failed. */
const AGAIN_MS = 2_000;

/** The longest time (ms) between two looks that no action asked for. */
const MAX_AGAIN_MS = 15_000;

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
export const later = (age: number, askedMs = AGAIN_MS): number => Math.max(askedMs, Math.min(age / 10, MAX_AGAIN_MS));

/**
 * Takes an operation that is SENT or UNKNOWN one step on, by what was seen of its target. What was learned is written; an observation
 * that shows nothing new writes nothing. However often, and in however many replicas at once this happens, nothing is sent.
 *
 * @param age how long (ms) the operation has been in its state when the look began, as far as this process has seen: what settles the
 *   doubt is a look that began after everything still under way has ended.
 */
export async function judge(
  record: OperationRecord,
  action: AnyAction,
  seen: Observation,
  age: number,
  options: ObserveOptions,
): Promise<Observed> {
  const { store, failpoint } = options;
  const learned = learn(seen);
  const againMs = later(age, seen.againMs);
  if (seen.kind === "absent" || seen.kind === "unclear") {
    return record.state === "UNKNOWN" && age >= (options.settleMs ?? action.settleMs)
      ? end(record, giveUp(record, seen.kind), options, learned)
      : keep(record, learned, againMs, options);
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
  const ended = await store.change(
    record,
    { ...learned, blocks: change.state === "UNRESOLVED", endTime: now(), ...change },
    event,
  );
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
        event: { event: "unresolved" },
      };

/** What every kind of observation may have brought. */
const learn = ({ progress, vendorJob, evidence }: Observation): Change => ({
  ...(progress !== undefined && { progress }),
  ...(vendorJob !== undefined && { vendorJob }),
  ...(evidence && { evidence: JSON.stringify(evidence) }),
});

/** Whether an operation is one to look at: its call is over, and it has not ended. */
export const isToBeLookedAt = ({ state }: Pick<OperationRecord, "state">): boolean =>
  !ENDED.has(state) && state !== "ACCEPTED" && state !== "SENDING";
