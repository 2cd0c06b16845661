import type { JsonObject } from "@bufbuild/protobuf";
import type { OperationRecord } from "../store/record.ts";

/** Evidence as it is stored: with the span of the call, by the header of W3C Trace Context, where somebody keeps track of calls. */
export const storedEvidence = (evidence: JsonObject, traceparent: string | undefined): string =>
  JSON.stringify(traceparent === undefined ? evidence : { ...evidence, traceparent });

/** The span of the call that an operation comes from; undefined where nobody kept track. */
export function spanOf({ evidence }: Pick<OperationRecord, "evidence">): string | undefined {
  const { traceparent } = JSON.parse(evidence) as JsonObject;
  return typeof traceparent === "string" ? traceparent : undefined;
}
