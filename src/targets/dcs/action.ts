import { create, type DescMessage, type DescMethodUnary, type MessageShape } from "@bufbuild/protobuf";
import {
  type FlushInstancesRequestSchema,
  FlushInstancesResponseSchema,
  type InstanceResult,
  InstanceService,
  RestartInstancesRequest_Action,
  type RestartInstancesRequestSchema,
  RestartInstancesResponseSchema,
} from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import { type Projects, patient } from "../../clouds/huawei/project.ts";
import { ENDS_WITHIN_MS, LOOK_TURN_MS } from "../../clouds/tracking.ts";
import { Failure } from "../../core/errors.ts";
import type { Action, BatchAction, PrepareContext, SendResult } from "../../core/operation.ts";
import { checkAll } from "./check.ts";
import { createClient, type DcsClient, REQUEST_LIMIT_MS } from "./client.ts";
import { targetName } from "./errors.ts";
import type { Ask } from "./guards.ts";
import type { DcsInstance } from "./instance.ts";
import { evaluate, takenEvidence } from "./observe.ts";
import { resultOf, resultsOf } from "./results.ts";
import { sendChange } from "./send.ts";
import { isDeleted } from "./states.ts";

/** What the actions work with. */
export interface ActionOptions {
  readonly projects: Pick<Projects, "find">;
  /** How often (ms) an instance is looked at. */
  readonly pollIntervalMs: number;
  /** The wall clock. */
  readonly now: () => Date;
}

/** What is sent for one instance. */
export interface ChangePlan {
  /** The instance as it was checked. */
  readonly before: DcsInstance;
  /** Whether it is one of several of a call. */
  readonly together: boolean;
}

/** What RestartInstances does. */
export type RestartAction = BatchAction<
  typeof RestartInstancesRequestSchema,
  typeof RestartInstancesResponseSchema,
  ChangePlan
>;

/** What FlushInstances does. */
export type FlushAction = BatchAction<
  typeof FlushInstancesRequestSchema,
  typeof FlushInstancesResponseSchema,
  ChangePlan
>;

/** What is particular to one of the two rpcs. */
interface Rpc<Input extends DescMessage, Output extends DescMessage> {
  readonly method: DescMethodUnary<Input, Output>;
  readonly verbs: readonly Ask["action"][];
  ask(request: MessageShape<Input>): Ask;
  narrow(request: MessageShape<Input>, instanceId: string): MessageShape<Input>;
  answer(results: InstanceResult[]): MessageShape<Output>;
}

/** How long (ms) after its permit a request may still leave. */
const SEND_WINDOW_MS = 5_000;

/** How long (ms) a process, a network or the vendor may pause and go on as if nothing had happened (store.md §3.3). */
const PAUSE_MS = 600_000;

/** The wait for a connection and the one for an answer, each with the limit of a request. */
const SETTLE_MS = SEND_WINDOW_MS + 2 * REQUEST_LIMIT_MS + PAUSE_MS;

/** The restart of instances, as operations know it. */
export const createRestartAction = (options: ActionOptions): RestartAction =>
  createBatch(options, {
    method: InstanceService.method.restartInstances,
    verbs: ["restart", "soft_restart"],
    ask: ({ projectId, instanceIds, action, acknowledgeDataLoss }) => ({
      projectId,
      instanceIds,
      action: action === RestartInstancesRequest_Action.SOFT_RESTART ? "soft_restart" : "restart",
      acknowledged: acknowledgeDataLoss,
    }),
    narrow: (request, instanceId) => ({ ...request, instanceIds: [instanceId] }),
    answer: (results) => create(RestartInstancesResponseSchema, { results }),
  });

/** The deletion of all data of instances, as operations know it. */
export const createFlushAction = (options: ActionOptions): FlushAction =>
  createBatch(options, {
    method: InstanceService.method.flushInstances,
    verbs: ["flush"],
    ask: ({ projectId, instanceIds, acknowledgeDataLoss }) => ({
      projectId,
      instanceIds,
      action: "flush",
      acknowledged: acknowledgeDataLoss,
    }),
    narrow: (request, instanceId) => ({ ...request, instanceIds: [instanceId] }),
    answer: (results) => create(FlushInstancesResponseSchema, { results }),
  });

function createBatch<Input extends DescMessage, Output extends DescMessage>(
  options: ActionOptions,
  rpc: Rpc<Input, Output>,
): BatchAction<Input, Output, ChangePlan> {
  const { method } = rpc;
  const actionOf = (request: MessageShape<Input>): string => rpc.ask(request).action;
  const prepareAll = async (request: MessageShape<Input>, context: PrepareContext) => {
    const ask = rpc.ask(request);
    const project = options.projects.find(ask.projectId);
    const together = ask.instanceIds.length > 1;
    const client = createClient(together ? patient(project, context.remainingMs) : project);
    const checked = await checkAll(client, ask, context.signal);
    return checked.map((before) => (before instanceof Failure ? before : { before, together }));
  };
  return {
    method,
    verbs: rpc.verbs,
    actionOf,
    item: createItem(options, rpc, prepareAll),
    targetOf: (request) => `projects/${encodeURIComponent(rpc.ask(request).projectId)}/dcs/instances`,
    itemsOf: (request) => rpc.ask(request).instanceIds.map((id) => rpc.narrow(request, id)),
    prepareAll: (request, _items, context) => prepareAll(request, context),
    combine: (_request, results) =>
      rpc.answer(
        resultsOf(
          results.map(({ request, operation, failure }) => ({ ...oneOf(rpc.ask(request)), operation, failure })),
        ),
      ),
  };
}

function createItem<Input extends DescMessage, Output extends DescMessage>(
  { projects, pollIntervalMs, now }: ActionOptions,
  rpc: Rpc<Input, Output>,
  prepareAll: (request: MessageShape<Input>, context: PrepareContext) => Promise<readonly (ChangePlan | Failure)[]>,
): Action<Input, Output, ChangePlan> {
  const success = (ask: Ask, operation: string): MessageShape<Output> =>
    rpc.answer([resultOf({ ...oneOf(ask), operation, failure: undefined })]);
  const clientOf = ({ projectId }: Ask): DcsClient => createClient(projects.find(projectId));
  return {
    method: rpc.method,
    blocksUntil: "ended",
    settleMs: SETTLE_MS,
    verbs: rpc.verbs,
    endsWithinMs: ENDS_WITHIN_MS,
    lookMs: pollIntervalMs,
    actionOf: (request) => rpc.ask(request).action,
    targetOf(request) {
      const { projectId, instanceId } = oneOf(rpc.ask(request));
      return targetName(projectId, instanceId);
    },

    async prepare(request, context) {
      const [plan] = await prepareAll(request, context);
      if (plan === undefined || plan instanceof Failure) {
        throw plan ?? new Error("a request without an instance");
      }
      return plan;
    },

    async send(request, plan, sending): Promise<SendResult<Output>> {
      const ask = rpc.ask(request);
      const evidence = await sendChange(clientOf(ask), { ...plan, action: ask.action }, sending);
      return { response: success(ask, sending.operation), evidence: takenEvidence(evidence, now()) };
    },

    async observe(operation, request, signal) {
      const ask = rpc.ask(request);
      const instance = await createClient(patient(projects.find(ask.projectId), () => LOOK_TURN_MS))
        .instance(oneOf(ask).instanceId, signal)
        .then((seen) => (isDeleted(seen) ? undefined : seen))
        .catch((error: unknown) => {
          if (error instanceof Failure && error.reason === "TARGET_NOT_FOUND") return undefined;
          throw error;
        });
      const look = evaluate({ operation, action: ask.action, instance, now: now(), pollIntervalMs });
      return look.kind === "running" || look.kind === "succeeded"
        ? { ...look, response: success(ask, operation.name) }
        : look;
    },
  };
}

/** The one instance of an item's request. */
function oneOf({ projectId, instanceIds: [instanceId = ""] }: Ask): { projectId: string; instanceId: string } {
  return { projectId, instanceId };
}
