import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { anyIs, anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  PreconditionFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import type { Status } from "../../../gen/google/rpc/status_pb.ts";

/** What went wrong, as it is shown. */
export interface Problem {
  /** Out of docs/errors.md, or NO_ANSWER. */
  readonly reason: string;
  /** In the server's words. */
  readonly message: string;
  /** Undefined for a read that got no answer: there is nothing that it could have changed. */
  readonly outcome: "applied" | "not_applied" | "unknown" | undefined;
  readonly code: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** What about which field, or subject. */
  readonly violations: readonly { readonly subject: string; readonly description: string }[];
  /** Names of things that it is about, as far as they are ours. */
  readonly resources: readonly string[];
  readonly links: readonly { readonly description: string; readonly url: string }[];
  /** Try again after so many ms. */
  readonly retryMs: number | undefined;
  readonly requestId: string;
}

/** The reason of a call that nobody answered. */
export const NO_ANSWER = "NO_ANSWER";

type Find = <Desc extends DescMessage>(schema: Desc) => MessageShape<Desc>[];

/**
 * What a failed call means. Without ErrorInfo it was not the server that spoke: the network, a proxy, or nobody.
 *
 * @param changes whether the call may have changed something.
 */
export function problemOf(thrown: unknown, changes = false): Problem {
  const error = ConnectError.from(thrown);
  const find: Find = (schema) => error.findDetails(schema);
  const problem = describe(find, error.rawMessage, Code[error.code] ?? String(error.code));
  return problem.reason === "" ? { ...problem, reason: NO_ANSWER, outcome: changes ? "unknown" : undefined } : problem;
}

/** What a stored failure means: of an operation, or of one item of an answer. */
export function problemOfStatus({ code, message, details }: Status): Problem {
  const find: Find = (schema) =>
    details.flatMap((detail) => {
      const found = anyIs(detail, schema) ? anyUnpack(detail, schema) : undefined;
      return found === undefined ? [] : [found];
    });
  const problem = describe(find, message, Code[code] ?? String(code));
  return problem.reason === "" ? { ...problem, reason: problem.code } : problem;
}

/** Reasons that say that the server cannot be talked to now, and that asking again is right. */
export const isAway = ({ reason }: Problem): boolean => reason === NO_ANSWER || reason === "SHUTTING_DOWN";

function describe(find: Find, message: string, code: string): Problem {
  const [info] = find(ErrorInfoSchema);
  const [retry] = find(RetryInfoSchema);
  const [request] = find(RequestInfoSchema);
  const delay = retry?.retryDelay;
  const fields = find(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  const conditions = find(PreconditionFailureSchema).flatMap(({ violations }) => violations);
  return {
    reason: info?.reason ?? "",
    message,
    outcome: readOutcome(info?.metadata.outcome),
    code,
    metadata: info?.metadata ?? {},
    violations: [
      ...fields.map(({ field, description }) => ({ subject: field, description })),
      ...conditions.map(({ subject, description }) => ({ subject, description })),
    ],
    resources: find(ResourceInfoSchema).map(({ resourceName }) => resourceName),
    links: find(HelpSchema).flatMap(({ links }) => links),
    retryMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    requestId: request?.requestId ?? "",
  };
}

const readOutcome = (text: string | undefined): Problem["outcome"] =>
  text === "applied" || text === "unknown" ? text : "not_applied";
