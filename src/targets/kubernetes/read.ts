import { Failure } from "../../core/errors.ts";
import type { OpenCluster } from "./cluster.ts";
import { type Asked, failureOfRead } from "./errors.ts";
import { asWorkload, objectPath, subjectOf, targetName, type WorkloadObject, type WorkloadRef } from "./object.ts";

/** How to read a workload. */
export interface ReadOptions {
  /** Bounds (ms) the wait for the API server. */
  readonly timeoutMs: number;
  /** Answer without an object, instead of looking by a dry run, where reading is forbidden. Default false. */
  readonly orBlind?: boolean;
}

/** A workload as its API server has it now; `blind` where reading it is forbidden. */
export interface Read<Found> {
  readonly object: Found;
  readonly blind: boolean;
}

/**
 * Reads a workload. Who may patch but not get still sees it in the answer to a dry run that changes nothing, which is how a precise
 * refusal is found for them.
 */
export function readWorkload(
  cluster: Pick<OpenCluster, "client">,
  ref: WorkloadRef,
  signal: AbortSignal,
  options: ReadOptions & { orBlind?: false },
): Promise<Read<WorkloadObject>>;
export function readWorkload(
  cluster: Pick<OpenCluster, "client">,
  ref: WorkloadRef,
  signal: AbortSignal,
  options: ReadOptions,
): Promise<Read<WorkloadObject | undefined>>;
export async function readWorkload(
  cluster: Pick<OpenCluster, "client">,
  ref: WorkloadRef,
  signal: AbortSignal,
  { timeoutMs, orBlind = false }: ReadOptions,
): Promise<Read<WorkloadObject | undefined>> {
  try {
    return { object: await fetchWorkload(cluster, ref, signal, timeoutMs, "get"), blind: false };
  } catch (error) {
    if (!(error instanceof Failure) || error.reason !== "RBAC_DENIED") {
      throw error;
    }
    return { object: orBlind ? undefined : await fetchWorkload(cluster, ref, signal, timeoutMs, "patch"), blind: true };
  }
}

async function fetchWorkload(
  { client }: Pick<OpenCluster, "client">,
  ref: WorkloadRef,
  signal: AbortSignal,
  timeoutMs: number,
  verb: "get" | "patch",
): Promise<WorkloadObject> {
  const asked: Asked = { cluster: ref.cluster, verb, what: subjectOf(ref), target: targetName(ref) };
  const request = {
    path: objectPath(ref),
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    timeoutMs,
  };
  const answer = await (verb === "get"
    ? client.request({ ...request, method: "GET" })
    : client.request({
        ...request,
        method: "PATCH",
        query: { dryRun: "All" },
        contentType: "application/json-patch+json",
        body: [],
      })
  ).catch((error: unknown) => {
    throw failureOfRead(error, asked);
  });
  const object = answer.status === 200 ? asWorkload(answer.json) : undefined;
  if (object === undefined) {
    throw failureOfRead(answer, asked);
  }
  return object;
}
