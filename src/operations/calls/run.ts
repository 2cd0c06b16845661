import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { callKey, type Warning, warn } from "../../core/call.ts";
import type { Action, MutatingRequest, Operations } from "../../core/operation.ts";
import { guarded } from "../records/unavailable.ts";
import type { OperationRecord } from "../store/record.ts";
import type { Found } from "../store/store.ts";
import { inProgress, newRecord, refuseReuse } from "./accept.ts";
import { blockedBy, findUse, nameBlockingOperation } from "./blocking-operation.ts";
import {
  acceptance,
  type CallEnvironment,
  name,
  prepareContext,
  waitForAnswer,
  whileWanted,
  within,
} from "./environment.ts";
import { type Execution, execute } from "./execute.ts";

/** See {@link Operations.run}. */
export const createRun =
  (running: CallEnvironment): Operations["run"] =>
  async (action, request, context) => {
    const target = action.targetOf(request);
    context.values.get(callKey).target = target;
    const { asking, warnings } = prepareContext(request, context);
    const refused = (error: unknown) => nameBlockingOperation(error, target, running);
    if (request.validateOnly) {
      await action.prepare(request, asking).catch(async (error: unknown) => {
        throw await refused(error);
      });
      const blocked = await blockedBy(target, running);
      if (blocked !== undefined) throw blocked;
      return create(action.method.output);
    }
    const record = newRecord(action, request, acceptance(running, context));
    const before = await findUse(running, record);
    if (before !== undefined) {
      return repeat(running, before, record, action, context);
    }
    const prepared = await action.prepare(request, asking).then(
      (plan) => ({ plan }),
      (error: unknown) => ({ error }),
    );
    if ("error" in prepared) {
      const meanwhile = await findUse(running, record);
      if (meanwhile !== undefined) {
        return repeat(running, meanwhile, record, action, context);
      }
      throw await refused(prepared.error);
    }
    const { plan } = prepared;
    return accept(running, record, action, request, context, () =>
      execute(record, action, request, plan, asking, warnings, running.driving),
    );
  };

/** Answers a call whose request_id was used before: by what is known, once it is. Nothing is sent. */
async function repeat<Output extends DescMessage>(
  { waiter }: CallEnvironment,
  found: Found,
  asked: OperationRecord,
  action: Action<DescMessage, Output>,
  context: HandlerContext,
): Promise<MessageShape<Output>> {
  const known = found.record ?? found.tombstone;
  refuseReuse(asked, known);
  name(context, known);
  const call = context.values.get(callKey);
  const answered = await waitForAnswer(known, action, { waiter, call, signal: context.signal });
  warn(context, answered.warnings as readonly Warning[]);
  call.outcome = "applied";
  return answered.response;
}

/** W1, then the send; the caller is answered as soon as its outcome is known, and may leave before. */
async function accept<Input extends DescMessage, Output extends DescMessage, Plan>(
  running: CallEnvironment,
  record: OperationRecord,
  action: Action<Input, Output, Plan>,
  request: MutatingRequest,
  context: HandlerContext,
  send: () => Promise<Execution<Output>>,
): Promise<MessageShape<Output>> {
  const { store, now, waiter, inFlight, driving } = running;
  const { failpoint, sendWindowMs } = driving;
  const finish = inFlight.take([record.name]);
  let duplicate: Found | undefined;
  try {
    await failpoint("before W1");
    const inserted = await guarded(
      store.insert([record], { event: "accepted", actor: record.principal, detail: request.reason }),
    );
    const blocking = inserted.duplicate === undefined ? inserted.blocked.get(record.name) : undefined;
    if (blocking !== undefined) {
      throw inProgress(blocking, now());
    }
    duplicate = inserted.duplicate;
    if (duplicate === undefined) await failpoint("after W1");
  } catch (error) {
    finish();
    throw error;
  }
  if (duplicate !== undefined) {
    finish();
    return repeat(running, duplicate, record, action, context);
  }
  name(context, record);
  const driven = send();
  inFlight.land(driven.then((ended) => ended.stored).finally(finish));
  const answered = driven.then(async ({ failure, response, stored }) => {
    // While the store is away the caller is not kept waiting: what was recorded before the send is enough to find out again.
    const durable = await within(stored, sendWindowMs);
    if (failure !== undefined) {
      throw failure;
    }
    const told = { waiter, call: context.values.get(callKey), signal: context.signal };
    return response ?? (await waitForAnswer(durable ?? record, action, told)).response;
  });
  return whileWanted(record, context, answered, running);
}
