import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { NAMESPACE } from "./vendor.ts";
import type { Listed, Told } from "./verdicts.ts";

/** A restart that somebody wants. */
export interface Job {
  readonly deployment: string;
  /** Empty: each call is another restart. */
  readonly requestId: string;
}

/** How one call is made. */
export interface Manner {
  /** `connect-timeout-ms`; undefined: none is sent. */
  readonly deadlineMs: number | undefined;
  /** The caller hangs up after so long (ms). */
  readonly patienceMs: number;
}

/** Asks for a restart once. Whatever goes wrong on the way is an answer that says nothing. */
export async function restart(url: string, job: Job, { deadlineMs, patienceMs }: Manner): Promise<Told> {
  const { deployment, requestId } = job;
  const body = {
    cluster: "chaos",
    group: "apps",
    version: "v1",
    resource: "deployments",
    namespace: NAMESPACE,
    name: deployment,
    ...(requestId !== "" && { requestId }),
  };
  try {
    const answer = await fetch(`${url}/restart.kubernetes.v1.WorkloadService/Restart`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(deadlineMs !== undefined && { "connect-timeout-ms": String(deadlineMs) }),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patienceMs),
    });
    const operation = answer.headers.get("operation-name") ?? undefined;
    const json: unknown = await answer.json();
    return { deployment, requestId, operation, outcome: answer.ok ? "applied" : outcomeOf(json) };
  } catch {
    return { deployment, requestId, operation: undefined, outcome: undefined };
  }
}

/** What ErrorInfo says of an error. */
function outcomeOf(json: unknown): Told["outcome"] {
  const { details = [] } = json as { details?: { type: string; value: string }[] };
  const info = details.find(({ type }) => type === ErrorInfoSchema.typeName);
  if (info === undefined) return undefined;
  const { outcome } = fromBinary(ErrorInfoSchema, base64Decode(info.value)).metadata;
  return outcome === "applied" || outcome === "not_applied" || outcome === "unknown" ? outcome : undefined;
}

/** Whether an answer leaves nothing to ask: how the operation ended, or that it restarted. */
export const isDefinite = ({ operation, outcome }: Told): boolean =>
  operation !== undefined && (outcome === "applied" || outcome === "not_applied");

/** Every operation. Rejects when a page does not come. */
export async function listOperations(url: string): Promise<Listed[]> {
  const listed: Listed[] = [];
  let pageToken = "";
  do {
    const page = await call(url, "google.longrunning.Operations/ListOperations", { pageSize: 100, pageToken });
    // biome-ignore lint/suspicious/noExplicitAny: JSON of a message
    for (const { name, done = false, metadata } of (page.operations ?? []) as any[]) {
      const { state, outcome = "", target, requestId = "", vendorJob = "" } = metadata;
      listed.push({ name, done, state, outcome, deployment: target.split("/").at(-1), requestId, vendorJob });
    }
    pageToken = page.nextPageToken ?? "";
  } while (pageToken !== "");
  return listed;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of a message
async function call(url: string, method: string, request: object): Promise<any> {
  const answer = await fetch(`${url}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method}: ${answer.status} ${text}`);
  return JSON.parse(text);
}
