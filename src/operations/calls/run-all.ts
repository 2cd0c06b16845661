import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { callKey } from "../../core/call.ts";
import { Failure } from "../../core/errors.ts";
import { identityOf } from "../../core/identity.ts";
import type { BatchAction, ItemResult, Operations, PrepareContext } from "../../core/operation.ts";
import { endOf } from "../records/answer.ts";
import type { Override } from "../records/freezes.ts";
import { guarded } from "../records/unavailable.ts";
import type { AuditEvent, OperationRecord } from "../store/record.ts";
import type { Inserted } from "../store/store.ts";
import { inProgress, newChild, newRecord, refusedRecord } from "./accept.ts";
import { blockedBy, findUse, nameBlockingOperation } from "./blocking-operation.ts";
import { acceptance, type CallEnvironment, name, overrideOf, prepareContext, whileWanted } from "./environment.ts";
import { repeatAll } from "./repeat-all.ts";
import { type Child, sendAll } from "./send-all.ts";

/** See {@link Operations.runAll}. */
export const createRunAll =
  (running: CallEnvironment): Operations["runAll"] =>
  async (batch, request, context) => {
    context.values.get(callKey).target = batch.targetOf(request);
    const { asking } = prepareContext(request, context);
    const override = overrideOf(request, context);
    const items = batch.itemsOf(request);
    const plan = async () => {
      await running.freezes.pass(items.map(batch.item.targetOf), override, request.validateOnly);
      return planAll(running, batch, request, items, asking);
    };
    if (request.validateOnly) {
      return batch.combine(request, unsent(await plan()));
    }
    const accepted = acceptance(running, context);
    const whole = { ...newRecord(batch, request, accepted), blocks: false };
    const before = await findUse(running, whole);
    if (before !== undefined) {
      return repeatAll(running, before, whole, batch, request, context);
    }
    const prepared = await plan().then(
      (planned) => ({ planned }),
      (error: unknown) => ({ error }),
    );
    const sendable = "planned" in prepared && prepared.planned.some((one) => !(one.plan instanceof Failure));
    const meanwhile = sendable ? undefined : await findUse(running, whole);
    if (meanwhile !== undefined) {
      return repeatAll(running, meanwhile, whole, batch, request, context);
    }
    if ("error" in prepared) {
      throw prepared.error;
    }
    const { planned } = prepared;
    if (!sendable) {
      return batch.combine(request, unsent(planned));
    }
    const parts = planned.map(({ request: item, plan }) => {
      const record = newChild(batch.item, item, whole, accepted);
      return { request: item, plan, record: plan instanceof Failure ? refusedRecord(record, plan) : record };
    });
    return acceptAll(running, batch, request, whole, parts, { asking, override, context });
  };

async function planAll<Input extends DescMessage, Output extends DescMessage, Plan>(
  running: CallEnvironment,
  batch: BatchAction<Input, Output, Plan>,
  request: MessageShape<Input>,
  items: readonly MessageShape<Input>[],
  asking: PrepareContext,
): Promise<{ readonly request: MessageShape<Input>; readonly plan: Plan | Failure }[]> {
  const plans = await batch.prepareAll(request, items, asking);
  if (plans.length !== items.length) {
    throw new Error(`${plans.length} plans for ${items.length} items`);
  }
  const judge = async (plan: Plan | Failure, target: string): Promise<Plan | Failure> =>
    plan instanceof Failure
      ? nameBlockingOperation(plan, target, running)
      : ((asking.validateOnly ? await blockedBy(target, running) : undefined) ?? plan);
  const judged = items.map((item, at) =>
    plans
      .slice(at, at + 1)
      .map(async (plan) => ({ request: item, plan: await judge(plan, batch.item.targetOf(item)) })),
  );
  return Promise.all(judged.flat());
}

/** What is known of items that nothing was stored of. */
const unsent = <Input extends DescMessage, Output extends DescMessage, Plan>(
  planned: readonly { readonly request: MessageShape<Input>; readonly plan: Plan | Failure }[],
): ItemResult<Input, Output>[] =>
  planned.map(({ request, plan }) => ({
    request,
    operation: "",
    failure: plan instanceof Failure ? plan : undefined,
    response: undefined,
  }));

/** How a call asks. */
interface BatchCall {
  readonly asking: PrepareContext;
  readonly override: Override;
  readonly context: HandlerContext;
}

/** W1 of the whole and of its parts, then the sends; the caller is answered as soon as their outcomes are known, and may leave before. */
async function acceptAll<Input extends DescMessage, Output extends DescMessage, Plan>(
  running: CallEnvironment,
  batch: BatchAction<Input, Output, Plan>,
  request: MessageShape<Input>,
  whole: OperationRecord,
  parts: readonly Child<Input, Plan>[],
  { asking, override, context }: BatchCall,
): Promise<MessageShape<Output>> {
  const finish = running.inFlight.take([whole.name, ...parts.map(({ record }) => record.name)]);
  let inserted: Inserted;
  try {
    inserted = await insertAll(running, whole, parts, identityOf(asking, override.asked));
  } catch (error) {
    finish();
    throw error;
  }
  if (inserted.duplicate !== undefined) {
    finish();
    return repeatAll(running, inserted.duplicate, whole, batch, request, context);
  }
  const { blocked } = inserted;
  const judged = parts.map((part) => {
    const blocking = blocked.get(part.record.name);
    return blocking === undefined ? part : { ...part, plan: inProgress(blocking, whole.createTime) };
  });
  if (judged.every(({ plan }) => plan instanceof Failure)) {
    finish();
    return batch.combine(request, unsent(judged));
  }
  name(context, whole);
  const answered = sendAll(running, batch, whole, judged, asking, override, finish).then((results) =>
    batch.combine(request, results),
  );
  const response = await whileWanted(whole, context, answered, running);
  asking.call.outcome = "applied";
  return response;
}

async function insertAll<Input extends DescMessage, Plan>(
  { store, driving: { failpoint } }: CallEnvironment,
  whole: OperationRecord,
  parts: readonly Child<Input, Plan>[],
  identity: string | undefined,
): Promise<Inserted> {
  const eventOf = (record: OperationRecord): AuditEvent => {
    if (record.state === "ACCEPTED") {
      return { event: "accepted", actor: whole.principal, detail: whole.reason, identity };
    }
    const { reason, message } = endOf(record);
    return { event: "refused", detail: `${reason}: ${message}` };
  };
  await failpoint("before W1");
  const records = [whole, ...parts.map(({ record }) => record)];
  const inserted = await guarded(
    store.insert(records, eventOf, (record, blocking) => refusedRecord(record, inProgress(blocking, whole.createTime))),
  );
  if (inserted.duplicate === undefined) await failpoint("after W1");
  return inserted;
}
