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

/** What is known of one child of an operation. */
interface ChildResult<Input extends DescMessage, Output extends DescMessage> extends ItemResult<Input, Output> {
  /** False while nobody can tell how its item is answered. */
  readonly known: boolean;
}

/** What the call of an operation with children is answered with, as far as that is known. */
type Answer<Output extends DescMessage> =
  | { readonly response: MessageShape<Output>; readonly failure?: undefined }
  | { readonly failure: Failure; readonly response?: undefined };

/**
 * What is known of a child. While it has not ended that is the vendor's answer, or that nobody knows whether there is one; then it is
 * its end.
 */
export function resultOf<Input extends DescMessage, Output extends DescMessage>(
  { method }: Pick<BatchAction<Input, Output>, "method">,
  child: OperationRecord,
): ChildResult<Input, Output> {
  const request = fromJsonString(method.input, child.request, { ignoreUnknownFields: true });
  const result = { request, operation: child.name, failure: undefined, response: undefined };
  if (ENDED.has(child.state) && child.state !== "SUCCEEDED") {
    return { ...result, failure: endOf(child), known: true };
  }
  try {
    const response = answerOf({ method }, child);
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
 * Brings an operation with children to where its children are. Before the last child's send has ended it is left as it is; after that it is
 *
 * - UNKNOWN while the outcome of some child is, otherwise SENT, until the last child has ended;
 * - UNRESOLVED when some child is: an operator resolves the child, and the parent follows;
 * - SUCCEEDED when the call is answered without an error: some child has ended well, and the response tells how each one did;
 * - otherwise CANCELLED or NOT_OBSERVED when every child is, and FAILED when they differ.
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
    const parent = await store.get(name);
    if (parent === undefined || (ENDED.has(parent.state) && parent.state !== "UNRESOLVED")) {
      return;
    }
    // After the parent: whoever changes that meanwhile, and may know more, makes the compare-and-set miss.
    const next = follow(batch, parent, await store.children(name), now());
    if (next === undefined) {
      return;
    }
    const write = next.change.endTime === undefined ? "W3" : "W4";
    await failpoint(`before ${write}`);
    const changed = await store.change(parent, next.change, next.event);
    await failpoint(`after ${write}`);
    if (changed !== undefined) {
      return;
    }
  }
}

function follow<Input extends DescMessage, Output extends DescMessage>(
  batch: Pick<BatchAction<Input, Output>, "method" | "combine">,
  parent: OperationRecord,
  children: readonly OperationRecord[],
  now: number,
): { change: Change; event: AuditEvent | undefined } | undefined {
  if (children.length === 0 || children.some(({ state }) => state === "ACCEPTED" || state === "SENDING")) {
    return undefined;
  }
  const results = children.map((child) => resultOf(batch, child));
  const request = fromJsonString(batch.method.input, parent.request, { ignoreUnknownFields: true });
  const answer = results.every(({ known }) => known) ? combined(batch, request, results) : undefined;
  const state = stateOf(children, answer?.failure === undefined);
  const ended = ENDED.has(state);
  const error = ended && state !== "SUCCEEDED" ? errorOf(parent, children, answer?.failure) : undefined;
  const times = children.flatMap(({ sendTime }) => sendTime ?? []);
  const change = {
    state,
    response: answer?.response && toJsonString(batch.method.output, answer.response, { registry }),
    error: error && formatFailure(error),
    warnings: [...new Set(children.flatMap(({ warnings }) => warnings))],
    progress: progressOf(children),
    ...(times.length > 0 && { sendTime: Math.min(...times) }),
  } satisfies Change;
  if (parent.state === state && parent.response === change.response && parent.progress === change.progress) {
    return undefined;
  }
  return {
    change: { ...change, ...(ended && { endTime: now }) },
    event: parent.state === state ? undefined : { event: EVENTS[state], detail: change.progress },
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

/** See {@link rollUp}. Nothing of it leads back: no child goes from SENT to UNKNOWN, nor on from its end. */
function stateOf(children: readonly OperationRecord[], answered: boolean): OperationState {
  const states = new Set(children.map(({ state }) => state));
  if (states.has("UNKNOWN")) return "UNKNOWN";
  if (states.has("SENT")) return "SENT";
  if (states.has("UNRESOLVED")) return "UNRESOLVED";
  if (answered) return "SUCCEEDED";
  const [first] = states;
  return states.size === 1 && (first === "CANCELLED" || first === "NOT_OBSERVED") ? first : "FAILED";
}

function errorOf(
  parent: OperationRecord,
  children: readonly OperationRecord[],
  failure: Failure | undefined,
): Failure | undefined {
  const open = children.filter(({ state }) => state === "UNRESOLVED");
  if (open.length === 0) return failure;
  const outcome = open.every((child) => endOf(child).outcome === "applied") ? "applied" : "unknown";
  const what = `${open.length} of the ${children.length} requests for ${parent.target}`;
  const doubt = outcome === "applied" ? `how ${what} ended` : `whether ${what} were applied`;
  const names = open.map(({ name }) => name).join(", ");
  return new Failure(
    "OUTCOME_UNRESOLVED",
    `nothing shows ${doubt}; their targets stay blocked until an operator resolves ${names}`,
    { outcome, metadata: { operation: parent.name } },
  );
}

/** In how many children each state is, such as `2 SUCCEEDED, 1 FAILED`. */
function progressOf(children: readonly OperationRecord[]): string {
  const counts = new Map<OperationState, number>();
  for (const { state } of children) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
}
