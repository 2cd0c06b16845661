import { create, createRegistry, type JsonValue, type Registry, toJson } from "@bufbuild/protobuf";
import { type Any, AnySchema, anyIs, anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  file_google_rpc_error_details,
  HelpSchema,
  PreconditionFailureSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status, type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { plain } from "../core/plain.ts";
import { explainTransport, isUnsent } from "./errors.ts";
import { EXIT, exitOf, type FailureSummary } from "./exit.ts";

/** What went wrong with a call. */
export interface Problem extends FailureSummary {
  /**
   * Who speaks: restartd, or somebody on the way. `unsent`: nothing left this machine. `lost`: it left, and no answer of restartd came.
   */
  readonly kind: "answer" | "unsent" | "lost";
  /** In the server's words. */
  readonly message: string;
  /** Further lines: each violation, where something is to be read. */
  readonly more: readonly string[];
  /** What may have to be accepted, each in a sentence. */
  readonly preconditions: readonly string[];
  /** Name of the freeze in the way, where the caller may go on in spite of it; else empty. */
  readonly freeze: string;
  readonly status: Status;
  readonly exit: number;
}

/**
 * What a failed call means.
 *
 * @param changes whether it may have changed something: then an answer that is lost leaves that unknown.
 */
export function problemOf(thrown: unknown, address: string, changes: boolean): Problem {
  const error = ConnectError.from(thrown);
  const status = create(StatusSchema, {
    code: error.code,
    message: error.rawMessage,
    details: error.details.flatMap((detail) =>
      "type" in detail && detail.value instanceof Uint8Array
        ? [create(AnySchema, { typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value })]
        : [],
    ),
  });
  if (error.findDetails(ErrorInfoSchema).length > 0) return problemOfStatus(status);
  const message = explainTransport(error, address);
  const bare = { reason: "", code: error.code, message, more: [], preconditions: [], freeze: "", status };
  if (isUnsent(error.cause)) {
    return { ...bare, kind: "unsent", outcome: "not_applied", exit: EXIT.UNREACHABLE };
  }
  // A proxy that wants to know who asks, or a server that knows no such rpc, has passed nothing on.
  if (error.code === Code.Unauthenticated || error.code === Code.PermissionDenied) {
    return { ...bare, kind: "answer", outcome: "not_applied", exit: EXIT.NOT_ALLOWED };
  }
  if (error.code === Code.Unimplemented || !changes) {
    return { ...bare, kind: "answer", outcome: "not_applied", exit: EXIT.REFUSED };
  }
  return { ...bare, kind: "lost", outcome: "unknown", exit: EXIT.UNKNOWN };
}

/** What a stored failure means: of an operation, or of one item of an answer. */
export function problemOfStatus(status: Status): Problem {
  const { code, message, details } = status;
  const info = details.map((any) => anyUnpack(any, ErrorInfoSchema)).find((found) => found !== undefined);
  const outcome = info?.metadata.outcome;
  const summary: FailureSummary = {
    code,
    reason: info?.reason ?? "",
    outcome: outcome === "applied" || outcome === "unknown" ? outcome : "not_applied",
  };
  const fields = details.flatMap((any) => anyUnpack(any, BadRequestSchema)?.fieldViolations ?? []);
  const links = details.flatMap((any) => anyUnpack(any, HelpSchema)?.links ?? []);
  const preconditions = details.flatMap((any) => anyUnpack(any, PreconditionFailureSchema)?.violations ?? []);
  return {
    ...summary,
    kind: "answer",
    message,
    more: [
      // With one violation the message says the same.
      ...(fields.length > 1 ? fields.map(({ field, description }) => `  ${plain(`${field}: ${description}`)}`) : []),
      ...links.map(({ description, url }) => `  ${plain(`${description}: ${url}`)}`),
    ],
    preconditions: preconditions.map(({ description }) => description),
    freeze: info?.metadata.overridable === "true" ? (info.metadata.freeze ?? "") : "",
    status,
    exit: exitOf(summary),
  };
}

/** `PAUSED: can't restart paused deployment (run rollout resume first)`. */
export const sentenceOf = ({ reason, code, message, kind }: Problem): string =>
  plain(kind === "answer" && reason !== "" ? `${reason}: ${message}` : message || codeToString(code));

/** What an answer may hold: details of errors, and statuses. */
export const statusesRegistry: Registry = createRegistry(file_google_rpc_error_details, file_google_rpc_status);

/** A status as protobuf's JSON; of a detail that this program does not know, its type. */
export const statusJson = ({ code, message, details }: Status): JsonValue => ({
  code,
  message,
  details: details.map(anyJson),
});

function anyJson(any: Any): JsonValue {
  if (anyIs(any, StatusSchema)) {
    const inner = anyUnpack(any, StatusSchema);
    if (inner !== undefined) return { "@type": any.typeUrl, ...(statusJson(inner) as object) };
  }
  const known = statusesRegistry.getMessage(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1)) !== undefined;
  return known ? toJson(AnySchema, any, { registry: statusesRegistry }) : { "@type": any.typeUrl };
}
