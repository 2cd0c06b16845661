import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { type Call, newCall, type Warned } from "../../core/call.ts";
import { Failure, type Outcome } from "../../core/errors.ts";
import type { BatchAction, ItemResult, PrepareContext } from "../../core/operation.ts";
import type { Override } from "../records/freezes.ts";
import { rollUp } from "../records/parent.ts";
import { storeUnavailable } from "../records/unavailable.ts";
import type { OperationRecord } from "../store/record.ts";
import { type CallEnvironment, waitForAnswer, within } from "./environment.ts";
import { type Execution, execute } from "./execute.ts";

/** So many items of a call are sent at a time. */
const CONCURRENCY = 8;

/** One item of a call, with its stored operation. */
export interface Child<Input extends DescMessage, Plan> {
  readonly request: MessageShape<Input>;
  readonly record: OperationRecord;
  /** What to send by, or why it is not sent. */
  readonly plan: Plan | Failure;
}

/**
 * Sends each child that is to be sent, and brings the parent to where they are then.
 *
 * @param override what the call may do in spite of freezes.
 * @param finish called when nothing of them is left to do.
 * @returns what is known of each child, once that is something.
 */
export async function sendAll<Input extends DescMessage, Output extends DescMessage, Plan>(
  environment: CallEnvironment,
  batch: BatchAction<Input, Output, Plan>,
  parent: OperationRecord,
  children: readonly Child<Input, Plan>[],
  prepareContext: PrepareContext,
  override: Override,
  finish: () => void,
): Promise<ItemResult<Input, Output>[]> {
  const { store, now, waiter, inFlight, onError, execution } = environment;
  const calls = callsOf(prepareContext.call, children.length);
  const executed = begin(environment, parent).then(() =>
    pooled(children, ({ record, request, plan }, at) => {
      if (plan instanceof Failure) return undefined;
      const own = childContext(prepareContext, calls[at]);
      return execute(record, batch.item, request, plan, own.prepareContext, own.warnings, override, execution);
    }),
  );
  const landed = executed
    .then((all) => Promise.all(all.map((one) => one?.stored)))
    .then(() => rollUp(parent.name, batch, { store, now, failpoint: execution.failpoint }))
    .finally(finish);
  inFlight.land(landed);
  const all = await executed;
  // While the store is away the caller is not kept waiting; what remains of the parent is made up for by whoever sweeps.
  const recorded = landed.catch((error: unknown) => onError(error, `recording what became of ${parent.name}`));
  await within(recorded, execution.sendWindowMs);
  prepareContext.call.serverWarning ??= calls.find(({ serverWarning }) => serverWarning !== undefined)?.serverWarning;
  return Promise.all(
    children.map(({ request, record, plan }, at) => {
      const result = { request, operation: record.name, failure: undefined, response: undefined };
      if (plan instanceof Failure) return { ...result, failure: plan };
      const wait = () =>
        waitForAnswer(record, batch.item, {
          waiter,
          call: calls[at] ?? prepareContext.call,
          signal: prepareContext.signal,
        });
      return answered(result, all[at], wait);
    }),
  );
}

/**
 * Says durably that something may be sent from now on: nobody must take the parent for one of which nothing was. That it misses says
 * that somebody was faster to cancel it, or to take this process for dead; then the children miss as well.
 */
async function begin({ store, now }: CallEnvironment, parent: OperationRecord): Promise<void> {
  await store
    .change(parent, { state: "SENDING", sendTime: now() }, { event: "sending parts" })
    .catch((error: unknown) => {
      throw storeUnavailable(error);
    });
}

async function answered<Input extends DescMessage, Output extends DescMessage>(
  result: ItemResult<Input, Output>,
  execution: Execution<Output> | undefined,
  wait: () => Promise<{ response: MessageShape<Output> }>,
): Promise<ItemResult<Input, Output>> {
  if (execution?.failure !== undefined) return { ...result, failure: execution.failure };
  try {
    return { ...result, response: execution?.response ?? (await wait()).response };
  } catch (failure) {
    if (failure instanceof Failure) return { ...result, failure };
    throw failure;
  }
}

/** The outcome of a parent by those of its children: what may have been changed counts first, then what was. */
export function outcomeOfAll(outcomes: readonly Outcome[]): Outcome {
  if (outcomes.includes("unknown")) return "unknown";
  return outcomes.includes("applied") ? "applied" : "not_applied";
}

/** A call for each child, so that what one concludes says nothing of another; together they say what the whole call's outcome is. */
function callsOf(call: Call, count: number): Call[] {
  const outcomes: Outcome[] = Array.from({ length: count }, () => "not_applied");
  return outcomes.map((_, at) => ({
    ...newCall(call.id, call.origin),
    authorization: call.authorization,
    received: true,
    get outcome() {
      return outcomes[at] ?? "not_applied";
    },
    set outcome(outcome) {
      outcomes[at] = outcome;
      call.outcome = outcomeOfAll(outcomes);
    },
  }));
}

/** What the action of one child is asked with: its warnings are the whole call's too. */
function childContext(
  prepareContext: PrepareContext,
  call: Call = prepareContext.call,
): { prepareContext: PrepareContext; warnings: ReadonlySet<Warned> } {
  const warnings = new Set<Warned>();
  const warn: PrepareContext["warn"] = (added) => {
    const tokens = [...added];
    for (const token of tokens) warnings.add(token);
    prepareContext.warn(tokens);
  };
  return { prepareContext: { ...prepareContext, call, warn }, warnings };
}

/** Works on items in order, some at a time. What goes wrong with one is thrown when nothing is at work any more. */
async function pooled<Item, Result>(
  items: readonly Item[],
  work: (item: Item, at: number) => Promise<Result> | undefined,
): Promise<(Result | undefined)[]> {
  const results = new Map<number, Result | undefined>();
  const left = items.entries();
  const worker = async () => {
    for (const [at, item] of left) results.set(at, await work(item, at));
  };
  const ends = await Promise.allSettled(Array.from({ length: CONCURRENCY }, worker));
  for (const end of ends) {
    if (end.status === "rejected") throw end.reason;
  }
  return items.map((_, at) => results.get(at));
}
