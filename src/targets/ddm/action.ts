import {
  InstanceService,
  type RestartInstanceRequest,
  type RestartInstanceRequestSchema,
  type RestartInstanceResponseSchema,
  RestartInstanceRequest_Type as Type,
} from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { isTransient } from "../../clouds/huawei/statuses.ts";
import { readBack } from "../../clouds/read-back.ts";
import { ENDS_WITHIN_MS } from "../../clouds/tracking.ts";
import { Failure } from "../../core/errors.ts";
import type { Action, SendContext, SendResult } from "../../core/operation.ts";
import type { DdmClient, Instance, RestartType } from "./client.ts";
import { type InstanceRef, inProgress, noHardRestart, stateForbids, targetName } from "./errors.ts";
import { plannedEvidence, type RestartEvidence, writeEvidence } from "./evidence.ts";
import { type LookOptions, observeRestart, responseOf } from "./observe.ts";

/** What the action works with. */
export interface RestartActionOptions {
  /** @throws Failure PROJECT_NOT_FOUND */
  readonly clientOf: (projectId: string) => DdmClient;
  /** The same, of one that waits for its turn to read. */
  readonly lookingClientOf: (projectId: string) => DdmClient;
  /** How often (ms) an instance is looked at. */
  readonly pollIntervalMs: number;
  /** The wall clock. */
  readonly now: () => Date;
}

/** What RestartInstance does; its plan is the instance as it was read. */
export type RestartAction = Action<typeof RestartInstanceRequestSchema, typeof RestartInstanceResponseSchema, Instance>;

/** How long (ms) a restart may take to show after its outcome became unknown: clouds are given ten minutes (store.md §3.3). */
const SETTLE_MS = 600_000;

/** Further statuses in which something is done to an instance that will end (contracts: huaweicloud §C.3, Huawei's and OTC's). */
const BUSY: ReadonlySet<string> = new Set([
  "CREATE",
  "RESTORE",
  "BACKUP",
  "RESET_PASSWORD",
  "MIGRATE_DATABASE",
  "DELETE_GROUP",
  "SWITCH_SSL",
]);

/** Which instance a request names. */
export const toRef = ({ projectId, instanceId }: InstanceRef): InstanceRef => ({ projectId, instanceId });

/** The restart of an instance, as operations know it. */
export function createRestartAction({
  clientOf,
  lookingClientOf,
  pollIntervalMs,
  now,
}: RestartActionOptions): RestartAction {
  const clock = (): number => now().getTime();
  return {
    method: InstanceService.method.restartInstance,
    blocksUntil: "ended",
    settleMs: SETTLE_MS,
    endsWithinMs: ENDS_WITHIN_MS,
    lookMs: pollIntervalMs,
    targetOf: targetName,
    verbs: ["soft_restart", "hard_restart"],
    actionOf: (request) => `${typeOf(request)}_restart`,

    async prepare(request, { signal }) {
      const ref = toRef(request);
      const instance = await clientOf(ref.projectId).instance(ref, signal);
      if (instance.status === "RUNNING") {
        return instance;
      }
      throw BUSY.has(instance.status) || isTransient(instance.status)
        ? inProgress(ref, instance.status)
        : stateForbids(ref, instance.status);
    },

    async send(request, { status }, sending) {
      const ref = toRef(request);
      const client = clientOf(ref.projectId);
      const evidence = plannedEvidence(status, clock());
      const options = async () => ({
        signal: sending.signal,
        onSend: await sending.permit(writeEvidence(evidence)),
      });
      try {
        const restarted = await client.restart(ref, typeOf(request), await options()).catch(async (error: unknown) => {
          if (!isNotServed(error)) throw error;
          sending.call.outcome = "not_applied";
          if (typeOf(request) === "hard") throw noHardRestart(ref);
          return client.restartV3(ref, await options());
        });
        sending.call.outcome = "applied";
        return { response: responseOf(ref, restarted), vendorJob: restarted.jobId };
      } catch (error) {
        return settle(error, evidence, { client, ref, now: clock, pollIntervalMs }, sending);
      }
    },

    async observe(operation, request, signal) {
      const ref = toRef(request);
      const client = lookingClientOf(ref.projectId);
      return observeRestart({ client, ref, now: clock, pollIntervalMs }, operation, signal);
    },
  };
}

/** Whether the gateway has no such path, which proves that the service was not reached. */
const isNotServed = (error: unknown): boolean => error instanceof Failure && error.reason === "API_VERSION_NOT_SERVED";

/** The vendor's default is soft (contracts: huaweicloud §C.1). */
const typeOf = ({ type }: RestartInstanceRequest): RestartType => (type === Type.HARD ? "hard" : "soft");

/** One bounded look decides what became of a request that may have been applied; it is never sent again. */
async function settle(
  error: unknown,
  evidence: RestartEvidence,
  options: LookOptions,
  { call }: SendContext,
): Promise<SendResult<typeof RestartInstanceResponseSchema>> {
  if (error instanceof Failure) {
    call.outcome = error.outcome;
  }
  const view = { state: "UNKNOWN", vendorJob: "", evidence: writeEvidence(evidence) } as const;
  const seen = await readBack(error, (signal) => observeRestart(options, view, signal));
  if (seen.kind !== "running") {
    throw error;
  }
  call.outcome = "applied";
  return { response: responseOf(options.ref, {}), evidence: seen.evidence ?? view.evidence };
}
