import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { callKey, warn } from "../../core/call.ts";
import type { BatchAction } from "../../core/operation.ts";
import { answerOf, endOf } from "../records/answer.ts";
import { notFound } from "../records/find.ts";
import { resultOf } from "../records/parent.ts";
import { guarded } from "../records/unavailable.ts";
import { ENDED, type OperationRecord } from "../store/record.ts";
import type { Found } from "../store/store.ts";
import { refuseReuse } from "./accept.ts";
import { type CallEnvironment, name, notFollowed, outcomeOfJoined } from "./environment.ts";
import { outcomeOfAll } from "./send-all.ts";

/** Answers a call about several targets whose request_id was used before: by what is known of each, once it is. Nothing is sent. */
export async function repeatAll<Input extends DescMessage, Output extends DescMessage, Plan>(
  environment: CallEnvironment,
  found: Found,
  repeated: OperationRecord,
  batch: BatchAction<Input, Output, Plan>,
  request: MessageShape<Input>,
  context: HandlerContext,
): Promise<MessageShape<Output>> {
  const known = found.record ?? found.tombstone;
  refuseReuse(repeated, known);
  name(context, known);
  const call = context.values.get(callKey);
  if (found.record === undefined || ENDED.has(found.record.state)) {
    warn(context, found.record?.warnings ?? []);
    const response = answerOf(batch, known);
    if (response === undefined) {
      throw endOf(known);
    }
    call.outcome = "applied";
    return response;
  }
  // Before the store is asked, which may take longer than the caller waits.
  call.outcome = outcomeOfJoined(found.record.state) ?? call.outcome;
  const children = await knownChildren(environment, found.record, batch, context);
  if (children === undefined) {
    // It has ended, and was deleted, since it was found.
    const left = await guarded(environment.store.find(repeated.principal, repeated.requestId ?? ""));
    if (left === undefined) throw notFound(known.name);
    return repeatAll(environment, left, repeated, batch, request, context);
  }
  warn(
    context,
    children.flatMap(({ warnings }) => warnings),
  );
  const response = batch.combine(
    request,
    children.map((child) => resultOf(batch, child)),
  );
  call.outcome = "applied";
  return response;
}

/** The children of an operation once something is known of each; undefined when it is gone. */
async function knownChildren<Input extends DescMessage, Output extends DescMessage>(
  { store, waiter }: CallEnvironment,
  parent: OperationRecord,
  batch: Pick<BatchAction<Input, Output>, "method">,
  { signal, values }: HandlerContext,
): Promise<OperationRecord[] | undefined> {
  const call = values.get(callKey);
  const lost = (error: unknown): never => {
    throw notFollowed(error, parent, signal, call);
  };
  for (;;) {
    const children = await guarded(store.children(parent.name)).catch(lost);
    if (children.length === 0) return undefined;
    const open = children.find((child) => !resultOf(batch, child).known);
    if (open === undefined) return children;
    call.outcome = outcomeOfAll(children.map(({ state }) => outcomeOfJoined(state) ?? "not_applied"));
    await waiter.nextChange(open, signal).catch(lost);
  }
}
