import { Failure } from "../../../core/errors.ts";
import { failureOfRead, type RequestSubject } from "../errors.ts";
import { asWorkload, objectPath, subjectOf, type WorkloadObject, type WorkloadRef } from "../workload/object.ts";
import type { OpenCluster } from "./cluster.ts";

type Reader = (
  cluster: Pick<OpenCluster, "client">,
  ref: WorkloadRef,
  signal: AbortSignal,
  /** Bounds (ms) the wait for the API server. */
  timeoutMs: number,
) => Promise<WorkloadObject>;

/** Reads a workload. */
export const readWorkload: Reader = (cluster, ref, signal, timeoutMs) =>
  fetchWorkload(cluster, ref, signal, timeoutMs, "get");

/**
 * Reads a workload for somebody who may patch it but not get it: the answer to a dry run that changes nothing shows it. Admission is
 * asked as for any write, so that this is not for reads that callers make.
 */
export const peekWorkload: Reader = (cluster, ref, signal, timeoutMs) =>
  fetchWorkload(cluster, ref, signal, timeoutMs, "patch");

/** Whether a read failed because it is not allowed. */
export const isForbidden = (error: unknown): boolean => error instanceof Failure && error.reason === "RBAC_DENIED";

async function fetchWorkload(
  { client }: Pick<OpenCluster, "client">,
  ref: WorkloadRef,
  signal: AbortSignal,
  timeoutMs: number,
  verb: "get" | "patch",
): Promise<WorkloadObject> {
  const subject: RequestSubject = { cluster: ref.cluster, verb, what: subjectOf(ref), ref, as: client.as };
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
    throw failureOfRead(error, subject);
  });
  const object = answer.status === 200 ? asWorkload(answer.json) : undefined;
  if (object === undefined) {
    throw failureOfRead(answer, subject);
  }
  return object;
}
