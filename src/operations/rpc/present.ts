import { create, type DescMethodUnary, fromJsonString } from "@bufbuild/protobuf";
import { anyPack, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Operation, OperationSchema } from "../../../gen/google/longrunning/operations_pb.ts";
import {
  type RestartMetadata,
  RestartMetadata_Outcome,
  RestartMetadata_State,
  RestartMetadataSchema,
} from "../../../gen/restart/operation/v1/operation_pb.ts";
import type { Warning } from "../../core/call.ts";
import type { Failure, Outcome } from "../../core/errors.ts";
import { outcomeOfState } from "../../core/operation.ts";
import { registry, statusOf } from "../../core/status.ts";
import { endOf } from "../records/answer.ts";
import { ENDED, type OperationRecord } from "../store/record.ts";

/** The rpc of an operation by its full name, `package.Service/Method`; undefined when nothing here serves it any longer. */
export type MethodOf = (method: string) => DescMethodUnary | undefined;

/** What each warning means, in a sentence. */
const SENTENCES: Readonly<Record<Warning, string>> = {
  NO_REPLICAS: "There is no pod to restart; the next ones will be new.",
  RECREATE_DOWNTIME: "All pods go before the new ones come.",
  PARTITIONED: "A partition keeps some of the pods as they are.",
  PREFLIGHT_SKIPPED: "The object could not be read before; the guards inside the request held all the same.",
  MANAGED_BY_CONTROLLER: "Something else owns the object and may take the restart back.",
  SERVER_WARNING: "The vendor's server sent a warning of its own; it is in the server's log.",
};

const NOT_RECALLED = "asked to cancel: what was sent cannot be recalled";

const OUTCOMES: Readonly<Record<Outcome, RestartMetadata_Outcome>> = {
  applied: RestartMetadata_Outcome.APPLIED,
  not_applied: RestartMetadata_Outcome.NOT_APPLIED,
  unknown: RestartMetadata_Outcome.UNKNOWN,
};

/**
 * An operation as callers see it. What succeeded has the rpc's own answer in `response`; one whose rpc is not served any longer has
 * none.
 */
export function presentOperation(record: OperationRecord, methodOf: MethodOf): Operation {
  const done = ENDED.has(record.state);
  const failure = done && record.state !== "SUCCEEDED" ? endOf(record) : undefined;
  return create(OperationSchema, {
    name: record.name,
    metadata: anyPack(RestartMetadataSchema, metadataOf(record, failure)),
    done,
    ...(failure && { result: { case: "error", value: statusOf(failure) } }),
    ...(record.state === "SUCCEEDED" && { result: responseOf(record, methodOf(record.method)) }),
  });
}

function metadataOf(record: OperationRecord, failure: Failure | undefined): RestartMetadata {
  const outcome = failure?.outcome ?? outcomeOfState[record.state] ?? "unknown";
  const { target, action, vendorJob, reason, principal, cancelRequested, sendTime, endTime } = record;
  return create(RestartMetadataSchema, {
    target,
    action,
    state: RestartMetadata_State[record.state],
    outcome: OUTCOMES[outcome],
    vendorJob,
    warnings: record.warnings.map(explain),
    requestId: record.requestId ?? "",
    reason,
    principal,
    parent: record.parent ?? "",
    createTime: timestampFromMs(record.createTime),
    updateTime: timestampFromMs(record.updateTime),
    ...(sendTime !== undefined && { sendTime: timestampFromMs(sendTime) }),
    ...(endTime !== undefined && { endTime: timestampFromMs(endTime) }),
    progress: progressOf(record, outcome),
    cancelRequested,
  });
}

/** In the vendor's words, and what came of somebody's wish to cancel what may have been sent. */
function progressOf({ progress, cancelRequested }: OperationRecord, outcome: Outcome): string {
  return [
    ...(progress === "" ? [] : [progress]),
    ...(cancelRequested && outcome !== "not_applied" ? [NOT_RECALLED] : []),
  ].join("; ");
}

/** A token and what it means, where it was not kept with a sentence; one of another version stands for itself. */
function explain(token: string): string {
  const sentence = (SENTENCES as Readonly<Record<string, string>>)[token];
  return sentence === undefined ? token : `${token}: ${sentence}`;
}

function responseOf({ response }: OperationRecord, method: DescMethodUnary | undefined): Operation["result"] {
  if (method === undefined) {
    return { case: undefined };
  }
  const { output } = method;
  const message =
    response === undefined
      ? create(output) // an operator's word for it tells no more
      : fromJsonString(output, response, { ignoreUnknownFields: true, registry });
  return { case: "response", value: anyPack(output, message) };
}
