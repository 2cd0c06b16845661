import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type BadRequest_FieldViolationSchema,
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  type PreconditionFailure_ViolationSchema,
  PreconditionFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";

/** Owner of every {@link Reason}: `google.rpc.ErrorInfo.domain` of every failure. */
export const ERROR_DOMAIN = "restartd";

/**
 * Whether a failed call changed anything: `applied`, `not_applied`, or `unknown` when the request left and no answer proves
 * either. Metadata `outcome` of every failure's ErrorInfo.
 */
export type Outcome = "applied" | "not_applied" | "unknown";

/**
 * The closed list of reasons why a call may fail, each with its code. docs/errors.md says the same for callers; a test holds the two
 * together. UNAVAILABLE stands only where surely nothing was applied, because clients repeat it by themselves.
 */
export const REASONS = {
  INVALID_ARGUMENT: Code.InvalidArgument,
  MALFORMED_REQUEST: Code.InvalidArgument,
  REQUEST_TOO_LARGE: Code.ResourceExhausted,
  QUEUE_FULL: Code.ResourceExhausted,
  RATE_LIMITED: Code.ResourceExhausted,
  UNKNOWN_PROCEDURE: Code.Unimplemented,
  UNSUPPORTED_PROTOCOL: Code.Unimplemented,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  CANCELLED: Code.Canceled,
  SHUTTING_DOWN: Code.Unavailable,
  STORE_UNAVAILABLE: Code.Unavailable,
  UNAUTHENTICATED: Code.Unauthenticated,
  ISSUER_UNAVAILABLE: Code.Unavailable,
  PERMISSION_DENIED: Code.PermissionDenied,
  HOST_NOT_ALLOWED: Code.PermissionDenied,
  REASON_REQUIRED: Code.InvalidArgument,
  FROZEN: Code.FailedPrecondition,
  FREEZE_NOT_FOUND: Code.NotFound,
  FREEZE_IS_CONFIGURED: Code.FailedPrecondition,
  INTERNAL: Code.Internal,
  REQUEST_ID_REUSED: Code.InvalidArgument,
  OPERATION_IN_PROGRESS: Code.Aborted,
  OPERATION_NOT_FOUND: Code.NotFound,
  OPERATION_NOT_FINISHED: Code.FailedPrecondition,
  OPERATION_NOT_UNRESOLVED: Code.FailedPrecondition,
  RESTART_NOT_OBSERVED: Code.Aborted,
  OUTCOME_UNRESOLVED: Code.Unknown,
  CLUSTER_NOT_FOUND: Code.NotFound,
  SITE_NOT_FOUND: Code.NotFound,
  PROJECT_NOT_FOUND: Code.NotFound,
  TARGET_NOT_FOUND: Code.NotFound,
  JOB_NOT_FOUND: Code.NotFound,
  API_VERSION_NOT_SERVED: Code.NotFound,
  RESOURCE_NOT_RECOGNIZED: Code.InvalidArgument,
  SCOPE_MISMATCH: Code.InvalidArgument,
  RESTART_NOT_SUPPORTED: Code.FailedPrecondition,
  OPERATION_UNSUPPORTED_BY_TARGET: Code.FailedPrecondition,
  PAUSED: Code.FailedPrecondition,
  UPDATE_STRATEGY_ON_DELETE: Code.FailedPrecondition,
  NOTHING_TO_RESTART: Code.FailedPrecondition,
  DELETING: Code.FailedPrecondition,
  TARGET_STATE_FORBIDS: Code.FailedPrecondition,
  NOTHING_TO_RETRY: Code.FailedPrecondition,
  DATA_LOSS_NOT_ACKNOWLEDGED: Code.FailedPrecondition,
  OUTAGE_NOT_ACKNOWLEDGED: Code.FailedPrecondition,
  DELETION_NOT_ACKNOWLEDGED: Code.FailedPrecondition,
  ADMISSION_DENIED: Code.FailedPrecondition,
  OBJECT_INVALID: Code.FailedPrecondition,
  ANNOTATION_STRIPPED: Code.FailedPrecondition,
  PROGRESS_DEADLINE_EXCEEDED: Code.FailedPrecondition,
  DRY_RUN_UNSUPPORTED: Code.FailedPrecondition,
  OBJECT_REPLACED: Code.Aborted,
  ROLLOUT_SUPERSEDED: Code.Aborted,
  CONFLICT: Code.Aborted,
  RBAC_DENIED: Code.PermissionDenied,
  VENDOR_PERMISSION_DENIED: Code.PermissionDenied,
  THROTTLED: Code.ResourceExhausted,
  OBJECT_TOO_LARGE: Code.ResourceExhausted,
  CLUSTER_UNREACHABLE: Code.Unavailable,
  VENDOR_UNREACHABLE: Code.Unavailable,
  CLUSTER_NOT_READY: Code.Unavailable,
  ADMISSION_WEBHOOK_UNAVAILABLE: Code.Unavailable,
  CLUSTER_CREDENTIALS_REJECTED: Code.Internal,
  IMPERSONATION_DENIED: Code.Internal,
  IDENTITY_NOT_ENCODABLE: Code.PermissionDenied,
  VENDOR_CREDENTIALS_REJECTED: Code.Internal,
  OUTCOME_UNKNOWN: Code.Unknown,
  VENDOR_REFUSED_REQUEST: Code.InvalidArgument,
  VENDOR_INTERNAL_ERROR: Code.Internal,
  VENDOR_BAD_RESPONSE: Code.Internal,
  UPSTREAM_REDIRECT: Code.Internal,
  VENDOR_JOB_FAILED: Code.Internal,
  VENDOR_REPORTED_FAILED: Code.Unknown,
} as const satisfies Record<string, Code>;

/** Why a call failed: `google.rpc.ErrorInfo.reason`. */
export type Reason = keyof typeof REASONS;

/** One message of `google.rpc.Status.details`. */
export interface Detail<Desc extends DescMessage = DescMessage> {
  readonly desc: Desc;
  readonly value: MessageInitShape<Desc>;
}

/** What a {@link Failure} carries beside its reason and its sentence. */
export interface FailureOptions {
  /** Default `not_applied`. */
  readonly outcome?: Outcome;
  /** Set where our own deadline, or the caller's, ended a call whose outcome is unknown: the one reason with a second code. */
  readonly deadlineExceeded?: boolean;
  /** Dynamic parts of the message, for programs. `outcome` is added to it. */
  readonly metadata?: Record<string, string>;
  /** Beside ErrorInfo. */
  readonly details?: readonly Detail[];
  /** For the log alone: it never reaches a caller. */
  readonly cause?: unknown;
}

/** A call that failed for a known reason. Everything in it but `cause` is shown to the caller. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly reason: Reason;
  readonly code: Code;
  readonly outcome: Outcome;
  readonly metadata: Readonly<Record<string, string>>;
  readonly details: readonly Detail[];

  /** @param message what was wrong, the value, and what to do. Never vendor text that can hold objects or secrets. */
  constructor(reason: Reason, message: string, options: FailureOptions = {}) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.code = options.deadlineExceeded ? Code.DeadlineExceeded : REASONS[reason];
    this.outcome = options.outcome ?? "not_applied";
    this.metadata = options.metadata ?? {};
    this.details = options.details ?? [];
  }
}

/** What an error is told by, of the call that it ends (call.ts). */
export interface CallState {
  /** UUID of the call. */
  readonly id: string;
  /** What is known of it so far. */
  readonly outcome: Outcome;
  /** Whether its request has been understood. */
  readonly received: boolean;
}

/** One wrong field of a request, with the rule that it breaks in `reason`. */
export type FieldViolation = MessageInitShape<typeof BadRequest_FieldViolationSchema>;

/** `google.rpc.BadRequest`: every wrong field of a request. */
export const badRequest = (fieldViolations: FieldViolation[]): Detail<typeof BadRequestSchema> => ({
  desc: BadRequestSchema,
  value: { fieldViolations },
});

/** One unmet precondition: its type is a {@link Reason}, its subject a resource. */
export type PreconditionViolation = MessageInitShape<typeof PreconditionFailure_ViolationSchema>;

/** `google.rpc.PreconditionFailure`: every state that has to change first. */
export const preconditionFailure = (violations: PreconditionViolation[]): Detail<typeof PreconditionFailureSchema> => ({
  desc: PreconditionFailureSchema,
  value: { violations },
});

/** `google.rpc.ResourceInfo`: what the failure is about. */
export const resourceInfo = (resourceType: string, resourceName: string): Detail<typeof ResourceInfoSchema> => ({
  desc: ResourceInfoSchema,
  value: { resourceType, resourceName },
});

/** `google.rpc.RetryInfo`: how long to wait, in milliseconds, before the same call may succeed. */
export const retryInfo = (delayMs: number): Detail<typeof RetryInfoSchema> => ({
  desc: RetryInfoSchema,
  value: {
    retryDelay: { seconds: BigInt(Math.trunc(delayMs / 1000)), nanos: (Math.trunc(delayMs) % 1000) * 1_000_000 },
  },
});

/** How long (ms) a failure says to wait before the same is asked again; undefined where it does not. */
export function retryMsOf({ details }: Pick<Failure, "details">): number | undefined {
  for (const { desc, value } of details) {
    if (desc.typeName !== RetryInfoSchema.typeName) continue;
    const { retryDelay } = create(RetryInfoSchema, value as MessageInitShape<typeof RetryInfoSchema>);
    return retryDelay && durationMs(retryDelay);
  }
  return undefined;
}

/** `google.rpc.Help`: where the right way is described. */
export const help = (description: string, url: string): Detail<typeof HelpSchema> => ({
  desc: HelpSchema,
  value: { links: [{ description, url }] },
});

/** At most so many characters of a failure's sentence are told: what is longer is in the details, or nobody's to read. */
const MAX_MESSAGE = 4000;

/** Reasons whose failures name the call, so that somebody can find it in the log. */
const NAMES_THE_CALL: ReadonlySet<Reason> = new Set<Reason>(["INTERNAL", "OUTCOME_UNKNOWN"]);

/** The one place where a failure becomes what a caller gets. */
export function toConnectError(failure: Failure, call: Pick<CallState, "id">): ConnectError {
  const details: Detail[] = [
    {
      desc: ErrorInfoSchema,
      value: {
        reason: failure.reason,
        domain: ERROR_DOMAIN,
        metadata: { ...failure.metadata, outcome: failure.outcome },
      },
    },
    ...failure.details,
  ];
  if (NAMES_THE_CALL.has(failure.reason)) {
    details.push({ desc: RequestInfoSchema, value: { requestId: call.id } });
  }
  // A lone surrogate, which JSON can carry, would not pass through gRPC's percent-encoded message.
  const message = excerpt(failure.message, MAX_MESSAGE).toWellFormed();
  return new ConnectError(message, failure.code, undefined, details, failure.cause);
}

/** Reasons of the failures that connect makes of a request that it cannot read. Every other code, INTERNAL too, is a malformed body. */
const REASON_OF_REQUEST: ReadonlyMap<Code, Reason> = new Map<Code, Reason>([
  [Code.ResourceExhausted, "REQUEST_TOO_LARGE"],
  [Code.Unimplemented, "UNSUPPORTED_PROTOCOL"],
  [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
  [Code.Canceled, "CANCELLED"],
]);

/** Reasons of the failures that connect makes of a call whose request was read. Every other code is a defect of ours. */
const REASON_OF_CALL: ReadonlyMap<Code, Reason> = new Map<Code, Reason>([
  [Code.Unimplemented, "UNSUPPORTED_PROTOCOL"],
  [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
  [Code.Canceled, "CANCELLED"],
]);

/**
 * Turns anything thrown into a {@link Failure}. What is not one already is connect's own (malformed body, size limit, deadline,
 * cancellation) or a defect of ours, INTERNAL.
 */
export function toFailure(error: unknown, call: Omit<CallState, "id">): Failure {
  if (error instanceof Failure) {
    return error;
  }
  if (error instanceof ConnectError && !call.received) {
    return toRequestFailure(error);
  }
  const reason = error instanceof ConnectError ? REASON_OF_CALL.get(error.code) : undefined;
  if (reason === undefined || !(error instanceof ConnectError)) {
    return new Failure("INTERNAL", "internal error", { outcome: call.outcome, cause: error });
  }
  if (call.outcome !== "not_applied") {
    return new Failure("OUTCOME_UNKNOWN", "the call ended before its outcome was known", {
      outcome: "unknown",
      deadlineExceeded: reason === "DEADLINE_EXCEEDED",
      cause: error,
    });
  }
  return new Failure(reason, error.rawMessage, { cause: error.cause });
}

/**
 * Turns what connect says of a request that it could not read into a {@link Failure}. Its message is all that is known: it may
 * quote the body, so that there is no cause for the log.
 */
export function toRequestFailure(error: ConnectError): Failure {
  // Ours, on its way through connect, which lets nothing else through.
  if (error.cause instanceof Failure) {
    return error.cause;
  }
  const unknownField = /: key "(.+)" is unknown$/s.exec(error.rawMessage)?.[1];
  return unknownField === undefined
    ? new Failure(REASON_OF_REQUEST.get(error.code) ?? "MALFORMED_REQUEST", excerpt(error.rawMessage, 1000))
    : unknownFields([excerpt(unknownField, 100)]);
}

/** At most so many characters of a text that a caller made. */
export const excerpt = (text: string, maxLength: number): string =>
  text.length > maxLength ? `${text.slice(0, maxLength).toWellFormed()}...` : text;

/** Refuses fields that the server does not know: a mistyped `validateOnly` must not restart anything. */
export function unknownFields(names: readonly string[]): Failure {
  return new Failure("INVALID_ARGUMENT", `unknown field${names.length > 1 ? "s" : ""}: ${names.join(", ")}`, {
    details: [badRequest(unknownFieldViolations(names))],
  });
}

/** What {@link unknownFields} says of each. */
export const unknownFieldViolations = (names: readonly string[]): FieldViolation[] =>
  names.map((field) => ({
    field,
    reason: "UNKNOWN_FIELD",
    description: "is not a field of this request; check its spelling",
  }));
