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
import { acceptance, type CallEnvironment, name, newPrepareContext, overrideOf, whileWanted } from "./environment.ts";
import { repeatAll } from "./repeat-all.ts";
import { type Child, sendAll } from "./send-all.ts";

/** See {@link Operations.runAll}. */
export const createRunAll =
  (environment: CallEnvironment): Operations["runAll"] =>
  async (batch, request, context) => {
    context.values.get(callKey).target = batch.targetOf(request);
    const { prepareContext } = newPrepareContext(request, context);
    const override = overrideOf(request, context);
    const items = batch.itemsOf(request);
    const plan = async () => {
      await environment.freezes.pass(items.map(batch.item.targetOf), override, request.validateOnly);
      return planAll(environment, batch, request, items, prepareContext);
    };
    if (request.validateOnly) {
      return batch.combine(request, unsent(await plan()));
    }
    const accepted = acceptance(environment, context);
    const parent = { ...newRecord(batch, request, accepted), blocks: false };
    const before = await findUse(environment, parent);
    if (before !== undefined) {
      return repeatAll(environment, before, parent, batch, request, context);
    }
    const prepared = await plan().then(
      (planned) => ({ planned }),
      (error: unknown) => ({ error }),
    );
    const sendable = "planned" in prepared && prepared.planned.some((one) => !(one.plan instanceof Failure));
    const meanwhile = sendable ? undefined : await findUse(environment, parent);
    if (meanwhile !== undefined) {
      return repeatAll(environment, meanwhile, parent, batch, request, context);
    }
    if ("error" in prepared) {
      throw prepared.error;
    }
    const { planned } = prepared;
    if (!sendable) {
      return batch.combine(request, unsent(planned));
    }
    const children = planned.map(({ request: item, plan }) => {
      const record = newChild(batch.item, item, parent, accepted);
      return { request: item, plan, record: plan instanceof Failure ? refusedRecord(record, plan) : record };
    });
    return acceptAll(environment, batch, request, parent, children, { prepareContext, override, context });
  };

async function planAll<Input extends DescMessage, Output extends DescMessage, Plan>(
  environment: CallEnvironment,
  batch: BatchAction<Input, Output, Plan>,
  request: MessageShape<Input>,
  items: readonly MessageShape<Input>[],
  prepareContext: PrepareContext,
): Promise<{ readonly request: MessageShape<Input>; readonly plan: Plan | Failure }[]> {
  const plans = await batch.prepareAll(request, items, prepareContext);
  if (plans.length !== items.length) {
    throw new Error(`${plans.length} plans for ${items.length} items`);
  }
  const nameBlocking = async (plan: Plan | Failure, target: string): Promise<Plan | Failure> =>
    plan instanceof Failure
      ? nameBlockingOperation(plan, target, environment)
      : ((prepareContext.validateOnly ? await blockedBy(target, environment) : undefined) ?? plan);
  const named = items.map((item, at) =>
    plans
      .slice(at, at + 1)
      .map(async (plan) => ({ request: item, plan: await nameBlocking(plan, batch.item.targetOf(item)) })),
  );
  return Promise.all(named.flat());
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
  readonly prepareContext: PrepareContext;
  readonly override: Override;
  readonly context: HandlerContext;
}

/** W1 of the parent and of its children, then the sends; the caller is answered as soon as their outcomes are known, and may leave before. */
async function acceptAll<Input extends DescMessage, Output extends DescMessage, Plan>(
  environment: CallEnvironment,
  batch: BatchAction<Input, Output, Plan>,
  request: MessageShape<Input>,
  parent: OperationRecord,
  children: readonly Child<Input, Plan>[],
  { prepareContext, override, context }: BatchCall,
): Promise<MessageShape<Output>> {
  const finish = environment.inFlight.take([parent.name, ...children.map(({ record }) => record.name)]);
  let inserted: Inserted;
  try {
    inserted = await insertAll(environment, parent, children, identityOf(prepareContext, override.asked));
  } catch (error) {
    finish();
    throw error;
  }
  if (inserted.duplicate !== undefined) {
    finish();
    return repeatAll(environment, inserted.duplicate, parent, batch, request, context);
  }
  const { blocked } = inserted;
  const checked = children.map((child) => {
    const blocking = blocked.get(child.record.name);
    return blocking === undefined ? child : { ...child, plan: inProgress(blocking, parent.createTime) };
  });
  if (checked.every(({ plan }) => plan instanceof Failure)) {
    finish();
    return batch.combine(request, unsent(checked));
  }
  name(context, parent);
  const answered = sendAll(environment, batch, parent, checked, prepareContext, override, finish).then((results) =>
    batch.combine(request, results),
  );
  const response = await whileWanted(parent, context, answered, environment);
  prepareContext.call.outcome = "applied";
  return response;
}

async function insertAll<Input extends DescMessage, Plan>(
  { store, execution: { failpoint } }: CallEnvironment,
  parent: OperationRecord,
  children: readonly Child<Input, Plan>[],
  identity: string | undefined,
): Promise<Inserted> {
  const eventOf = (record: OperationRecord): AuditEvent => {
    if (record.state === "ACCEPTED") {
      return { event: "accepted", actor: parent.principal, detail: parent.reason, identity };
    }
    const { reason, message } = endOf(record);
    return { event: "refused", detail: `${reason}: ${message}` };
  };
  await failpoint("before W1");
  const records = [parent, ...children.map(({ record }) => record)];
  const inserted = await guarded(
    store.insert(records, eventOf, (record, blocking) =>
      refusedRecord(record, inProgress(blocking, parent.createTime)),
    ),
  );
  if (inserted.duplicate === undefined) await failpoint("after W1");
  return inserted;
}
