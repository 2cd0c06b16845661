import {
  create,
  createRegistry,
  type DescMessage,
  fromJson,
  type JsonObject,
  type MessageInitShape,
  toJson,
} from "@bufbuild/protobuf";
import { anyIs, anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  ErrorInfoSchema,
  file_google_rpc_error_details,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status, type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { type Detail, ERROR_DOMAIN, Failure, type Outcome, type Reason } from "./errors.ts";

/** What a `google.protobuf.Any` of ours may hold, in an answer or a failure: details, and the whole failure of a part. */
export const registry = createRegistry(file_google_rpc_error_details, file_google_rpc_status);

/** A failure as `google.rpc.Status`, with ErrorInfo and its other details. */
export const statusOf = (failure: Failure): Status =>
  create(StatusSchema, {
    code: failure.code,
    message: failure.message,
    details: [
      pack(ErrorInfoSchema, {
        reason: failure.reason,
        domain: ERROR_DOMAIN,
        metadata: { ...failure.metadata, outcome: failure.outcome },
      }),
      ...failure.details.map(({ desc, value }) => pack(desc, value)),
    ],
  });

const pack = <Desc extends DescMessage>(desc: Desc, value: MessageInitShape<Desc>) =>
  anyPack(desc, create(desc, value));

/**
 * The failure that an operation ended with as text that {@link parseFailure} reads: JSON of its `google.rpc.Status`. Without RetryInfo,
 * for what has ended does not succeed by waiting.
 */
export function formatFailure(failure: Failure): string {
  const status = statusOf(failure);
  status.details = status.details.filter((any) => !anyIs(any, RetryInfoSchema));
  return JSON.stringify(toJson(StatusSchema, status, { registry }));
}

/** The failure that {@link formatFailure} wrote, but for its cause, which is in the log alone. */
export function parseFailure(text: string): Failure {
  const status = fromJson(StatusSchema, JSON.parse(text) as JsonObject, { registry });
  const details: Detail[] = [];
  let reason: Reason = "INTERNAL";
  let outcome: Outcome = "unknown";
  let metadata: Record<string, string> = {};
  for (const any of status.details) {
    const value = anyUnpack(any, registry);
    const desc = value && registry.getMessage(value.$typeName);
    if (value?.$typeName === ErrorInfoSchema.typeName) {
      const info = anyUnpack(any, ErrorInfoSchema);
      const { outcome: stored, ...rest } = info?.metadata ?? {};
      reason = (info?.reason ?? "INTERNAL") as Reason;
      outcome = (stored ?? "unknown") as Outcome;
      metadata = rest;
    } else if (desc !== undefined && value !== undefined) {
      details.push({ desc, value });
    }
  }
  return new Failure(reason, status.message, {
    outcome,
    metadata,
    details,
    deadlineExceeded: reason === "OUTCOME_UNKNOWN" && status.code === 4,
  });
}
