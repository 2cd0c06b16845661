import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { Ask } from "./system.ts";
import type { Listed, Told } from "./verdicts.ts";

/** How one call is made. */
export interface Manner {
  /** `connect-timeout-ms`; undefined: none is sent. */
  readonly deadlineMs: number | undefined;
  /** The caller hangs up after so long (ms). */
  readonly patienceMs: number;
}

/**
 * Asks for a restart once. Whatever goes wrong on the way is an answer that says nothing.
 *
 * @param requestId empty: each call is another restart.
 */
export async function restart(url: string, { procedure, body }: Ask, requestId: string, manner: Manner): Promise<Told> {
  const { deadlineMs, patienceMs } = manner;
  try {
    const answer = await fetch(`${url}/${procedure}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(deadlineMs !== undefined && { "connect-timeout-ms": String(deadlineMs) }),
      },
      body: JSON.stringify({ ...body, ...(requestId !== "" && { requestId }) }),
      signal: AbortSignal.timeout(patienceMs),
    });
    const operation = answer.headers.get("operation-name") ?? undefined;
    const json: unknown = await answer.json();
    return answer.ok
      ? { requestId, operation, outcome: "applied", reason: undefined, why: undefined }
      : { requestId, operation, ...errorOf(json) };
  } catch {
    return { requestId, operation: undefined, outcome: undefined, reason: undefined, why: undefined };
  }
}

/** Makes a call once that says nothing of its outcome: whether it was answered, and the reason where an error says one. */
export async function answerOf(
  url: string,
  procedure: string,
  body: object,
): Promise<{ readonly ok: boolean; readonly reason: string | undefined }> {
  const told = await restart(url, { procedure, body: { ...body } }, "", { deadlineMs: undefined, patienceMs: 8_000 });
  return { ok: told.outcome === "applied", reason: told.reason };
}

/** What ErrorInfo says of an error. */
function errorOf(json: unknown): Pick<Told, "outcome" | "reason" | "why"> {
  const { details = [], message: why } = json as { details?: { type: string; value: string }[]; message?: string };
  const detail = details.find(({ type }) => type === ErrorInfoSchema.typeName);
  if (detail === undefined) return { outcome: undefined, reason: undefined, why };
  const { reason, metadata } = fromBinary(ErrorInfoSchema, base64Decode(detail.value));
  const { outcome } = metadata;
  const known = outcome === "applied" || outcome === "not_applied" || outcome === "unknown";
  return { outcome: known ? outcome : undefined, reason, why };
}

/** Whether an answer leaves nothing to ask: whether it restarted, or that nobody can know. */
export const isDefinite = ({ operation, outcome, reason }: Told): boolean =>
  operation !== undefined && (outcome === "applied" || outcome === "not_applied" || reason === "OUTCOME_UNRESOLVED");

/** Every operation. Rejects when a page does not come. */
export async function listOperations(url: string): Promise<Listed[]> {
  const listed: Listed[] = [];
  let pageToken = "";
  do {
    const page = await call(url, "google.longrunning.Operations/ListOperations", { pageSize: 100, pageToken });
    // biome-ignore lint/suspicious/noExplicitAny: JSON of a message
    for (const { name, done = false, metadata } of (page.operations ?? []) as any[]) {
      const { state, outcome = "", target, requestId = "", vendorJob = "", parent = "" } = metadata;
      listed.push({ name, done, state, outcome, target, requestId, vendorJob, parent });
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
