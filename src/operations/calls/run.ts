import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { callKey, warn } from "../../core/call.ts";
import { identityIn } from "../../core/identity.ts";
import type { Action, MutatingRequest, Operations } from "../../core/operation.ts";
import type { Passed } from "../records/freezes.ts";
import { guarded } from "../records/unavailable.ts";
import type { OperationRecord } from "../store/record.ts";
import type { Found } from "../store/store.ts";
import { inProgress, newRecord, refuseReuse } from "./accept.ts";
import { blockedBy, findUse, nameBlockingOperation } from "./blocking-operation.ts";
import {
  acceptance,
  type CallEnvironment,
  name,
  newPrepareContext,
  overrideOf,
  waitForAnswer,
  whileWanted,
  within,
} from "./environment.ts";
import { type Begin, type Execution, execute } from "./execute.ts";

/** See {@link Operations.run}. */
export const createRun =
  (environment: CallEnvironment): Operations["run"] =>
  async (action, request, context) => {
    const target = action.targetOf(request);
    context.values.get(callKey).target = target;
    const { prepareContext, warnings } = newPrepareContext(request, context);
    const override = overrideOf(request, context);
    const refused = (error: unknown) => nameBlockingOperation(error, target, environment);
    if (request.validateOnly) {
      await environment.freezes.pass([target], override, true);
      await action.prepare(request, prepareContext).catch(async (error: unknown) => {
        throw await refused(error);
      });
      const blocked = await blockedBy(target, environment);
      if (blocked !== undefined) throw blocked;
      return create(action.method.output);
    }
    const record = newRecord(action, request, acceptance(environment, context));
    const before = await findUse(environment, record);
    if (before !== undefined) {
      return repeat(environment, before, record, action, context);
    }
    const prepared = await environment.freezes
      .pass([target], override)
      .then(() => action.prepare(request, prepareContext))
      .then(
        (plan) => ({ plan }),
        (error: unknown) => ({ error }),
      );
    if ("error" in prepared) {
      const meanwhile = await findUse(environment, record);
      if (meanwhile !== undefined) {
        return repeat(environment, meanwhile, record, action, context);
      }
      throw await refused(prepared.error);
    }
    const { plan } = prepared;
    const send = (begin?: Begin) =>
      execute(record, action, request, plan, prepareContext, warnings, override, environment.execution, begin);
    const preparedCall = { record, action, request, context, send };
    return action.permitsAtOnce === true
      ? acceptWithPermit(environment, preparedCall)
      : accept(environment, preparedCall);
  };

/** Answers a call whose request_id was used before: by what is known, once it is. Nothing is sent. */
async function repeat<Output extends DescMessage>(
  { waiter }: CallEnvironment,
  found: Found,
  repeated: OperationRecord,
  action: Action<DescMessage, Output>,
  context: HandlerContext,
): Promise<MessageShape<Output>> {
  const known = found.record ?? found.tombstone;
  refuseReuse(repeated, known);
  name(context, known);
  const call = context.values.get(callKey);
  const answered = await waitForAnswer(known, action, { waiter, call, signal: context.signal });
  warn(context, answered.warnings);
  call.outcome = "applied";
  return answered.response;
}

/** The call's work, once it has passed its checks. */
interface PreparedCall<Input extends DescMessage, Output extends DescMessage> {
  readonly record: OperationRecord;
  readonly action: Action<Input, Output>;
  readonly request: MutatingRequest;
  readonly context: HandlerContext;
  readonly send: (begin?: Begin) => Promise<Execution<Output>>;
}

/** W1, then the send; the caller is answered as soon as its outcome is known, and may leave before. */
async function accept<Input extends DescMessage, Output extends DescMessage>(
  environment: CallEnvironment,
  preparedCall: PreparedCall<Input, Output>,
): Promise<MessageShape<Output>> {
  const { record, action, context, send } = preparedCall;
  const finish = environment.inFlight.take([record.name]);
  let duplicate: Found | undefined;
  try {
    ({ duplicate } = await insert(environment, preparedCall, record));
  } catch (error) {
    finish();
    throw error;
  }
  if (duplicate !== undefined) {
    finish();
    return repeat(environment, duplicate, record, action, context);
  }
  const executed = send();
  environment.inFlight.land(executed.then(({ stored }) => stored).finally(finish));
  return whileWanted(record, context, answerOf(environment, preparedCall, executed), environment);
}

/** The same where acceptance and permit are one write, which is made when the action asks for its permit. */
async function acceptWithPermit<Input extends DescMessage, Output extends DescMessage>(
  environment: CallEnvironment,
  preparedCall: PreparedCall<Input, Output>,
): Promise<MessageShape<Output>> {
  const { record, action, context, send } = preparedCall;
  const finish = environment.inFlight.take([record.name]);
  const { promise: notBegun, reject } = Promise.withResolvers<never>();
  let duplicate: Found | undefined;
  const executed = send(async (permitted, passed) => {
    let stale = false;
    try {
      ({ duplicate, stale } = await insert(environment, preparedCall, permitted, passed));
    } catch (error) {
      reject(error); // without waiting for the action to pass it on: what is true now may not be for long
      throw error;
    }
    if (duplicate !== undefined) throw inProgress(permitted, environment.now()); // nobody is told: the call is repeated
    return !stale;
  });
  environment.inFlight.land(executed.then(({ stored }) => stored).finally(finish));
  try {
    const answered = Promise.race([notBegun, answerOf(environment, preparedCall, executed)]);
    return await whileWanted(record, context, answered, environment);
  } catch (error) {
    if (duplicate === undefined) throw error;
    return repeat(environment, duplicate, record, action, context);
  }
}

/**
 * W1. Answers who has used the request_id before, and whether freezes have changed since it was judged.
 *
 * @param passed where it is stored with its permit.
 * @throws Failure when another operation is in the way, or the store is.
 */
async function insert<Input extends DescMessage, Output extends DescMessage>(
  { store, now, inFlight, execution: { failpoint } }: CallEnvironment,
  { request, context }: PreparedCall<Input, Output>,
  record: OperationRecord,
  passed?: Passed,
): Promise<{ duplicate: Found | undefined; stale: boolean }> {
  await failpoint("before W1");
  const what = passed === undefined || passed.over.length === 0 ? "accepted" : "accepted over a freeze";
  const identity = identityIn(context, request.overrideFreeze);
  const event = { event: what, actor: record.principal, detail: request.reason, identity };
  const inserted = await guarded(store.insert([record], event, undefined, passed?.epoch)).catch((error: unknown) => {
    inFlight.disown(record.name);
    throw error;
  });
  if (inserted.duplicate !== undefined || inserted.stale === true) {
    return { duplicate: inserted.duplicate, stale: inserted.stale === true };
  }
  const blocking = inserted.blocked.get(record.name);
  if (blocking !== undefined) {
    throw inProgress(blocking, now());
  }
  name(context, record);
  await failpoint("after W1");
  return { duplicate: undefined, stale: false };
}

/**
 * What the caller is told, and when: once the outcome is stored. Who was told that it succeeded must never be told by the same request_id
 * that nobody knows, and that is what a process that died in between would have left behind.
 */
async function answerOf<Input extends DescMessage, Output extends DescMessage>(
  { waiter, execution: { sendWindowMs } }: CallEnvironment,
  { record, action, context }: PreparedCall<Input, Output>,
  executed: Promise<Execution<Output>>,
): Promise<MessageShape<Output>> {
  const { failure, response, stored } = await executed;
  // While the store is away the caller is not kept waiting: what was recorded before the send is enough to find out again.
  const durable = await within(stored, sendWindowMs);
  if (failure !== undefined) {
    throw failure;
  }
  const waiting = { waiter, call: context.values.get(callKey), signal: context.signal };
  return response ?? (await waitForAnswer(durable ?? record, action, waiting)).response;
}
