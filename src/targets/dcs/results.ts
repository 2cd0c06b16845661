import { create } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { type InstanceResult, InstanceResultSchema } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import { type Detail, Failure, type Outcome, preconditionFailure, type Reason } from "../../core/errors.ts";
import { statusOf } from "../../core/status.ts";
import { INSTANCE_TYPE, targetName } from "./errors.ts";

/** What is known of one instance of a call. */
export interface Known {
  readonly projectId: string;
  readonly instanceId: string;
  /** operations/{id}; empty when there is none. */
  readonly operation: string;
  /** Why it failed; undefined: it did not. */
  readonly failure: Failure | undefined;
}

interface Failed extends Known {
  readonly failure: Failure;
}

/**
 * A result for each instance.
 *
 * @throws Failure when all failed: with their common code, or UNKNOWN, and with each one's Status in its details.
 */
export function resultsOf(all: readonly Known[]): InstanceResult[] {
  const failed = all.filter((known): known is Failed => known.failure !== undefined);
  const [first, ...others] = failed;
  if (first !== undefined && failed.length === all.length) {
    throw allFailed(first, others);
  }
  return all.map(resultOf);
}

/** What became of one instance, as callers are told. */
export const resultOf = (known: Known): InstanceResult =>
  create(InstanceResultSchema, {
    instanceId: known.instanceId,
    operation: known.operation,
    result: known.failure === undefined ? "success" : "failed",
    ...(known.failure && { error: statusNaming(known, known.failure) }),
  });

/** A failure's Status, which says in ResourceInfo which instance it is about. */
function statusNaming({ projectId, instanceId }: Known, failure: Failure): Status {
  const resourceName = targetName(projectId, instanceId);
  const status = statusOf(failure);
  const named = status.details.some((any) => anyUnpack(any, ResourceInfoSchema)?.resourceName === resourceName);
  if (!named) {
    const info = create(ResourceInfoSchema, { resourceType: INSTANCE_TYPE, resourceName });
    status.details.push(anyPack(ResourceInfoSchema, info));
  }
  return status;
}

function allFailed(first: Failed, others: readonly Failed[]): Failure {
  const all = [first, ...others];
  const failures = all.map(({ failure }) => failure);
  const statuses = all.map((known) => statusNaming(known, known.failure));
  const outcome = worst(failures);
  const common = failures.every(({ code }) => code === first.failure.code);
  const chosen = failures.find((failure) => failure.outcome === outcome) ?? first.failure;
  const differing: Reason = outcome === "unknown" ? "OUTCOME_UNKNOWN" : "VENDOR_REPORTED_FAILED";
  const message =
    others.length === 0
      ? first.failure.message
      : `all ${all.length} instances failed, ${common ? "each" : "for different reasons"} as its Status in the details says; ${chosen.message}`;
  return new Failure(common ? chosen.reason : differing, message, {
    outcome,
    deadlineExceeded: common && chosen.code === Code.DeadlineExceeded && chosen.reason === "OUTCOME_UNKNOWN",
    metadata: commonMetadata(failures),
    details: [
      ...(others.length === 0 ? first.failure.details : merged(statuses)),
      ...statuses.map((value): Detail => ({ desc: StatusSchema, value })),
    ],
    cause: chosen.cause,
  });
}

/** What is known of all of them together: whether anything may have been changed comes first. */
const worst = (failures: readonly Failure[]): Outcome =>
  (["unknown", "applied"] as const).find((outcome) => failures.some((one) => one.outcome === outcome)) ?? "not_applied";

/** What all say alike. */
const commonMetadata = ([first, ...others]: readonly Failure[]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(first?.metadata ?? {}).filter(([key, value]) =>
      others.every(({ metadata }) => metadata[key] === value),
    ),
  );

/** What has to change first for any of them, and how long to wait until all may succeed. */
function merged(statuses: readonly Status[]): Detail[] {
  const details = statuses.flatMap((status) => status.details);
  const violations = details.flatMap((any) => anyUnpack(any, PreconditionFailureSchema)?.violations ?? []);
  const retries = details.flatMap((any) => anyUnpack(any, RetryInfoSchema) ?? []);
  const longest = retries.sort((a, b) => Number((b.retryDelay?.seconds ?? 0n) - (a.retryDelay?.seconds ?? 0n)))[0];
  return [
    ...(violations.length > 0 ? [preconditionFailure(violations)] : []),
    // Where one of them cannot succeed by waiting, nor can all.
    ...(longest !== undefined && retries.length === statuses.length ? [{ desc: RetryInfoSchema, value: longest }] : []),
  ];
}
