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
  running: CallEnvironment,
  found: Found,
  asked: OperationRecord,
  batch: BatchAction<Input, Output, Plan>,
  request: MessageShape<Input>,
  context: HandlerContext,
): Promise<MessageShape<Output>> {
  const known = found.record ?? found.tombstone;
  refuseReuse(asked, known);
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
  const parts = await knownParts(running, found.record, batch, context);
  if (parts === undefined) {
    // It has ended, and was deleted, since it was found.
    const left = await guarded(running.store.find(asked.principal, asked.requestId ?? ""));
    if (left === undefined) throw notFound(known.name);
    return repeatAll(running, left, asked, batch, request, context);
  }
  warn(
    context,
    parts.flatMap(({ warnings }) => warnings),
  );
  const response = batch.combine(
    request,
    parts.map((part) => resultOf(batch, part)),
  );
  call.outcome = "applied";
  return response;
}

/** The parts of an operation once something is known of each; undefined when it is gone. */
async function knownParts<Input extends DescMessage, Output extends DescMessage>(
  { store, waiter }: CallEnvironment,
  whole: OperationRecord,
  batch: Pick<BatchAction<Input, Output>, "method">,
  { signal, values }: HandlerContext,
): Promise<OperationRecord[] | undefined> {
  const call = values.get(callKey);
  const lost = (error: unknown): never => {
    throw notFollowed(error, whole, signal, call);
  };
  for (;;) {
    const parts = await guarded(store.children(whole.name)).catch(lost);
    if (parts.length === 0) return undefined;
    const open = parts.find((part) => !resultOf(batch, part).known);
    if (open === undefined) return parts;
    call.outcome = outcomeOfAll(parts.map(({ state }) => outcomeOfJoined(state) ?? "not_applied"));
    await waiter.nextChange(open, signal).catch(lost);
  }
}
