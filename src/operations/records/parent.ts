import { type DescMessage, fromJsonString, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import { Failure } from "../../core/errors.ts";
import type { BatchAction, ItemResult, OperationState } from "../../core/operation.ts";
import { formatFailure, registry } from "../../core/status.ts";
import { type AuditEvent, type Change, ENDED, type OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { answerOf, endOf } from "./answer.ts";
import type { FailpointHook } from "./failpoint.ts";

/** What {@link rollUp} takes. */
export interface RollUpOptions {
  readonly store: Store;
  /** Epoch ms. */
  readonly now: () => number;
  readonly failpoint: FailpointHook;
}

/** What is known of one part of an operation. */
interface ChildResult<Input extends DescMessage, Output extends DescMessage> extends ItemResult<Input, Output> {
  /** False while nobody can tell how its item is answered. */
  readonly known: boolean;
}

/** What the call of an operation with parts is answered with, as far as that is known. */
type Answer<Output extends DescMessage> =
  | { readonly response: MessageShape<Output>; readonly failure?: undefined }
  | { readonly failure: Failure; readonly response?: undefined };

/**
 * What is known of a part. While it has not ended that is the vendor's answer, or that nobody knows whether there is one; then it is
 * its end.
 */
export function resultOf<Input extends DescMessage, Output extends DescMessage>(
  { method }: Pick<BatchAction<Input, Output>, "method">,
  part: OperationRecord,
): ChildResult<Input, Output> {
  const request = fromJsonString(method.input, part.request, { ignoreUnknownFields: true });
  const result = { request, operation: part.name, failure: undefined, response: undefined };
  if (ENDED.has(part.state) && part.state !== "SUCCEEDED") {
    return { ...result, failure: endOf(part), known: true };
  }
  try {
    const response = answerOf({ method }, part);
    return { ...result, response, known: response !== undefined };
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    return { ...result, failure, known: true };
  }
}

/** The answer of a call, made of its items' results. */
export function combined<Input extends DescMessage, Output extends DescMessage>(
  batch: Pick<BatchAction<Input, Output>, "combine">,
  request: MessageShape<Input>,
  results: readonly ItemResult<Input, Output>[],
): Answer<Output> {
  try {
    return { response: batch.combine(request, results) };
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    return { failure };
  }
}

/**
 * Brings an operation with parts to where its parts are. Before the last part's send has ended it is left as it is; after that it is
 *
 * - UNKNOWN while the outcome of some part is, otherwise SENT, until the last part has ended;
 * - UNRESOLVED when some part is: an operator resolves the part, and the whole follows;
 * - SUCCEEDED when the call is answered without an error: some part has ended well, and the response tells how each one did;
 * - otherwise CANCELLED or NOT_OBSERVED when every part is, and FAILED when they differ.
 *
 * Anybody may do this at any time, in any replica: it goes by what is stored alone, and a compare-and-set lets nobody overwrite what
 * was made of newer knowledge.
 */
export async function rollUp<Input extends DescMessage, Output extends DescMessage>(
  name: string,
  batch: Pick<BatchAction<Input, Output>, "method" | "combine">,
  { store, now, failpoint }: RollUpOptions,
): Promise<void> {
  for (;;) {
    const whole = await store.get(name);
    if (whole === undefined || (ENDED.has(whole.state) && whole.state !== "UNRESOLVED")) {
      return;
    }
    // After the whole: whoever changes that meanwhile, and may know more, makes the compare-and-set miss.
    const next = follow(batch, whole, await store.children(name), now());
    if (next === undefined) {
      return;
    }
    const write = next.change.endTime === undefined ? "W3" : "W4";
    await failpoint(`before ${write}`);
    const changed = await store.change(whole, next.change, next.event);
    await failpoint(`after ${write}`);
    if (changed !== undefined) {
      return;
    }
  }
}

function follow<Input extends DescMessage, Output extends DescMessage>(
  batch: Pick<BatchAction<Input, Output>, "method" | "combine">,
  whole: OperationRecord,
  parts: readonly OperationRecord[],
  now: number,
): { change: Change; event: AuditEvent | undefined } | undefined {
  if (parts.length === 0 || parts.some(({ state }) => state === "ACCEPTED" || state === "SENDING")) {
    return undefined;
  }
  const results = parts.map((part) => resultOf(batch, part));
  const request = fromJsonString(batch.method.input, whole.request, { ignoreUnknownFields: true });
  const answer = results.every(({ known }) => known) ? combined(batch, request, results) : undefined;
  const state = stateOf(parts, answer?.failure === undefined);
  const ended = ENDED.has(state);
  const error = ended && state !== "SUCCEEDED" ? errorOf(whole, parts, answer?.failure) : undefined;
  const times = parts.flatMap(({ sendTime }) => sendTime ?? []);
  const change = {
    state,
    response: answer?.response && toJsonString(batch.method.output, answer.response, { registry }),
    error: error && formatFailure(error),
    warnings: [...new Set(parts.flatMap(({ warnings }) => warnings))],
    progress: progressOf(parts),
    ...(times.length > 0 && { sendTime: Math.min(...times) }),
  } satisfies Change;
  if (whole.state === state && whole.response === change.response && whole.progress === change.progress) {
    return undefined;
  }
  return {
    change: { ...change, ...(ended && { endTime: now }) },
    event: whole.state === state ? undefined : { event: EVENTS[state], detail: change.progress },
  };
}

const EVENTS: Readonly<Record<OperationState, string>> = {
  ACCEPTED: "accepted",
  SENDING: "sending parts",
  SENT: "sent",
  UNKNOWN: "outcome unknown",
  SUCCEEDED: "succeeded",
  FAILED: "failed",
  CANCELLED: "cancelled",
  NOT_OBSERVED: "not observed",
  UNRESOLVED: "unresolved",
};

/** See {@link rollUp}. Nothing of it leads back: no part goes from SENT to UNKNOWN, nor on from its end. */
function stateOf(parts: readonly OperationRecord[], answered: boolean): OperationState {
  const states = new Set(parts.map(({ state }) => state));
  if (states.has("UNKNOWN")) return "UNKNOWN";
  if (states.has("SENT")) return "SENT";
  if (states.has("UNRESOLVED")) return "UNRESOLVED";
  if (answered) return "SUCCEEDED";
  const [first] = states;
  return states.size === 1 && (first === "CANCELLED" || first === "NOT_OBSERVED") ? first : "FAILED";
}

function errorOf(
  whole: OperationRecord,
  parts: readonly OperationRecord[],
  failure: Failure | undefined,
): Failure | undefined {
  const open = parts.filter(({ state }) => state === "UNRESOLVED");
  if (open.length === 0) return failure;
  const outcome = open.every((part) => endOf(part).outcome === "applied") ? "applied" : "unknown";
  const what = `${open.length} of the ${parts.length} requests for ${whole.target}`;
  const doubt = outcome === "applied" ? `how ${what} ended` : `whether ${what} were applied`;
  const names = open.map(({ name }) => name).join(", ");
  return new Failure(
    "OUTCOME_UNRESOLVED",
    `nothing shows ${doubt}; their targets stay blocked until an operator resolves ${names}`,
    { outcome, metadata: { operation: whole.name } },
  );
}

/** In how many parts each state is, such as `2 SUCCEEDED, 1 FAILED`. */
function progressOf(parts: readonly OperationRecord[]): string {
  const counts = new Map<OperationState, number>();
  for (const { state } of parts) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
}
