import { ConnectError } from "@connectrpc/connect";
import { type Answer, NoAnswer } from "../../clouds/http.ts";
import { codeOf, isExhausted, obstacleOf } from "../../clouds/obstacles.ts";
import {
  type Detail,
  Failure,
  preconditionFailure,
  type Reason,
  resourceInfo,
  retryInfo,
  toFailure,
} from "../../core/errors.ts";
import type { As } from "./client.ts";
import { CredentialsError } from "./cluster/credentials-error.ts";
import { inFront, isRefusedByApiServer, type Status, statusIn } from "./cluster/who-answered.ts";
import { targetName, type WorkloadRef } from "./workload/object.ts";

/** What a request was about, for the sentences. */
export interface RequestSubject {
  readonly cluster: string;
  /** The API verb, or what discovery does. */
  readonly verb: "get" | "list" | "watch" | "patch" | "discover";
  /** A workload's `deployments.apps/shop/web`, a collection, or a path. */
  readonly what: string;
  /** The workload, where it is about one. */
  readonly ref?: WorkloadRef;
  /** In whose name it was made. Default: restartd's own account. */
  readonly as?: As | undefined;
}

/** A refusal that is recognised: it surely changed nothing. `sentence` continues "cluster NAME: ". */
interface Rule {
  readonly reason: Reason;
  /** Who says so. Default the API server: it has to be known that it was. */
  readonly by?: "anybody";
  /** Default both. A read meets no admission. */
  readonly of?: "reads" | "writes";
  readonly matches: (answer: Answer, status: Status) => boolean;
  readonly sentence: (subject: RequestSubject, message: string) => string;
  /** Dynamic parts that are names and safe to show. */
  readonly metadata?: (message: string, answer: Answer, subject: RequestSubject) => Record<string, string>;
  /** Milliseconds after which the same call may succeed, where the server does not say. */
  readonly retryMs?: number;
  readonly details?: (subject: RequestSubject, status: Status, sentence: string) => Detail[];
}

const WEBHOOK_DENIED = /^admission webhook "([^"]+)" denied the request/;
const POLICY_DENIED = /ValidatingAdmissionPolicy '([^']+)' with binding '([^']+)' denied request/;
const WEBHOOK_DOWN = /failed calling webhook "([^"]+)"/;

/** A name as Go quotes it: callers choose theirs, and must not be able to say anything else by it. */
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"`;
const MAY_NOT = new RegExp(`(?:^|: )User ${QUOTED} cannot \\S+ (?:resource|path)`);
const MAY_NOT_IMPERSONATE = new RegExp(`(?:^|: )User ${QUOTED} cannot impersonate`);

/** Who was not allowed to do something. */
const actor = (as: As | undefined): string => as?.user ?? "restartd's account";

const first = (pattern: RegExp, text: string): string => pattern.exec(text)?.[1] ?? "";

const precondition =
  (reason: Reason) =>
  (subject: RequestSubject, _status: Status, description: string): Detail[] => [
    preconditionFailure([{ type: reason, subject: subject.what, description }]),
  ];

const target = (subject: RequestSubject): Detail[] => [
  resourceInfo("kubernetes.workload", subject.ref === undefined ? subject.what : targetName(subject.ref)),
];

/** In order: what a message gives away comes before what a status says (contracts: kubernetes §6.2, §6.3, §6.5). */
const RULES: readonly Rule[] = [
  {
    reason: "UPSTREAM_REDIRECT",
    by: "anybody",
    matches: ({ status }) => status >= 300 && status < 400,
    sentence: () => "the answer is a redirect, which is never followed; check the cluster's server address",
  },
  {
    reason: "DRY_RUN_UNSUPPORTED",
    of: "writes",
    matches: ({ status }, { message }) => status === 400 && (message ?? "").includes("does not support dry run"),
    sentence: () => "an admission webhook does not support dry runs, so that validate_only cannot be answered",
    metadata: (message) => ({ webhook: first(/admission webhook "([^"]+)"/, message) }),
    details: precondition("DRY_RUN_UNSUPPORTED"),
  },
  {
    reason: "ADMISSION_DENIED",
    of: "writes",
    matches: (_answer, { message }) => WEBHOOK_DENIED.test(message ?? ""),
    sentence: (_asked, message) => `admission webhook ${first(WEBHOOK_DENIED, message)} denied the restart`,
    metadata: (message) => ({ webhook: first(WEBHOOK_DENIED, message) }),
    details: precondition("ADMISSION_DENIED"),
  },
  {
    reason: "ADMISSION_DENIED",
    of: "writes",
    matches: ({ status }, { message }) => status < 500 && POLICY_DENIED.test(message ?? ""),
    sentence: (_asked, message) => `ValidatingAdmissionPolicy ${first(POLICY_DENIED, message)} denied the restart`,
    metadata: (message) => ({ policy: first(POLICY_DENIED, message), binding: POLICY_DENIED.exec(message)?.[2] ?? "" }),
    details: precondition("ADMISSION_DENIED"),
  },
  {
    reason: "ADMISSION_WEBHOOK_UNAVAILABLE",
    of: "writes",
    matches: ({ status }, { message }) => status === 500 && WEBHOOK_DOWN.test(message ?? ""),
    sentence: (_asked, message) =>
      `admission webhook ${first(WEBHOOK_DOWN, message)} does not answer, so that nothing is admitted`,
    metadata: (message) => ({ webhook: first(WEBHOOK_DOWN, message) }),
    retryMs: 5_000,
  },
  {
    reason: "CLUSTER_CREDENTIALS_REJECTED",
    matches: ({ status }) => status === 401,
    sentence: () => "the API server did not accept restartd's own credentials; its operator has to renew them",
  },
  {
    reason: "CLUSTER_CREDENTIALS_REJECTED",
    by: "anybody",
    matches: ({ status }) => status === 401,
    sentence: () =>
      "something in front of the API server answered HTTP 401: it did not accept restartd's own credentials; its operator has to renew them",
  },
  {
    reason: "IMPERSONATION_DENIED",
    matches: ({ status }, { message }) => status === 403 && MAY_NOT_IMPERSONATE.test(message ?? ""),
    sentence: () => "restartd's own account may not impersonate; its operator has to grant it that",
  },
  {
    reason: "RBAC_DENIED",
    matches: ({ status }, { message }) => status === 403 && MAY_NOT.test(message ?? ""),
    sentence: ({ verb, what, as }) => `${actor(as)} may not ${verb} ${what}; RBAC has to grant it that`,
    metadata: (_message, _answer, { verb, ref }) => ({
      verb,
      ...(ref && { group: ref.group, resource: ref.resource, namespace: ref.namespace }),
    }),
    details: target,
  },
  {
    reason: "RBAC_DENIED",
    of: "reads",
    matches: ({ status }) => status === 403,
    sentence: ({ verb, what, as }) => `the API server does not let ${actor(as)} ${verb} ${what}`,
    details: target,
  },
  {
    reason: "ADMISSION_DENIED",
    of: "writes",
    matches: ({ status }) => status === 403,
    sentence: () => "the API server's admission forbids the restart (a quota, Pod Security, or a policy)",
    details: precondition("ADMISSION_DENIED"),
  },
  {
    reason: "TARGET_NOT_FOUND",
    matches: ({ status }, { details }) => (status === 404 && details?.name !== undefined) || status === 410,
    sentence: ({ what }) => `${what} does not exist`,
    details: target,
  },
  {
    reason: "API_VERSION_NOT_SERVED",
    matches: ({ status }) => status === 404,
    sentence: ({ what }) => `the API server no longer serves what ${what} is`,
    details: target,
  },
  {
    reason: "RESTART_NOT_SUPPORTED",
    matches: ({ status }) => status === 405,
    sentence: ({ what }) => `the API server does not let anybody patch ${what}`,
    details: precondition("RESTART_NOT_SUPPORTED"),
  },
  {
    reason: "CONFLICT",
    matches: ({ status }) => status === 409,
    sentence: ({ what }) => `${what} was changed at the same time; the restart was not applied`,
    retryMs: 1_000,
  },
  {
    reason: "OBJECT_TOO_LARGE",
    matches: ({ status }, { message }) =>
      status === 413 || (status === 500 && (message ?? "").includes("etcdserver: request is too large")),
    sentence: ({ what }) => `${what} is too large for the cluster's store to be written again`,
  },
  {
    reason: "OBJECT_REPLACED",
    matches: ({ status }, { details }) => status === 422 && hasCause(details, "metadata.uid"),
    sentence: ({ what }) => `${what} was deleted and made anew in between; the restart was not applied`,
    details: target,
  },
  {
    reason: "RESTART_NOT_SUPPORTED",
    matches: ({ status }, { details }) => status === 422 && hasCause(details, "patch"),
    sentence: ({ what }) => `${what} has no field for a restart`,
    details: precondition("RESTART_NOT_SUPPORTED"),
  },
  {
    reason: "OBJECT_INVALID",
    matches: ({ status }, { details }) => status === 422 && (details?.causes?.length ?? 0) > 0,
    sentence: ({ what }, _message) =>
      `${what} does not pass the API server's validation as it stands; its owner has to mend it`,
    details: ({ what }, { details }) => [
      preconditionFailure(
        // The field and the kind of mistake; the rest of a cause quotes values.
        (details?.causes ?? []).map(({ field, reason }) => ({
          type: "OBJECT_INVALID",
          subject: what,
          description: `${field ?? "?"}: ${reason ?? "invalid"}`,
        })),
      ),
    ],
  },
  {
    reason: "CLUSTER_NOT_READY",
    matches: ({ status, text }) => status === 429 && text.includes("shutting down"),
    sentence: () => "the API server is shutting down",
    retryMs: 5_000,
  },
  {
    reason: "THROTTLED",
    matches: ({ status }) => status === 429,
    sentence: () => "the API server has too many requests (API Priority and Fairness)",
    metadata: (_message, { headers }) => ({ flow_schema_uid: headers["x-kubernetes-pf-flowschema-uid"] ?? "" }),
    retryMs: 1_000,
  },
  {
    reason: "THROTTLED",
    by: "anybody",
    matches: ({ status }) => status === 429,
    sentence: () => "something in front of the API server answered HTTP 429: it has too many requests",
    retryMs: 1_000,
  },
  {
    reason: "CLUSTER_NOT_READY",
    matches: ({ status, text }) => status === 503 && text.includes("before all known HTTP paths have been installed"),
    sentence: () => "the API server is starting",
    retryMs: 5_000,
  },
  {
    reason: "VENDOR_REFUSED_REQUEST",
    matches: ({ status }) => status >= 400 && status < 500 && status !== 408 && status !== 422,
    sentence: () => "the API server refused the request as wrong, where nothing wrong is known of it",
  },
];

const hasCause = (details: Status["details"], field: string): boolean =>
  details?.causes?.some((cause) => cause.field === field) ?? false;

/** What an answer says, to recognise it by. */
export const messageOf = (answer: Answer): string => statusIn(answer)?.message ?? answer.text;

/** A success refuses nothing, whatever its text, which is the object's, may say. */
function ruleOf(answer: Answer, { verb }: Pick<RequestSubject, "verb">): Rule | undefined {
  if (answer.status < 300) {
    return undefined;
  }
  const known = isRefusedByApiServer(answer);
  const status = { ...statusIn(answer), message: messageOf(answer) };
  const kind = verb === "patch" ? "writes" : "reads";
  return RULES.find(
    ({ by, of = kind, matches }) => (known || by === "anybody") && of === kind && matches(answer, status),
  );
}

/** What is safe to show of an answer that a failure comes from. */
export const evidence = (answer: Answer, subject: RequestSubject): Record<string, string> => ({
  cluster: subject.cluster,
  vendor: "kubernetes",
  vendor_http_status: String(answer.status),
  ...entry("vendor_code", statusIn(answer)?.reason),
  ...entry("vendor_request_id", answer.headers["audit-id"]),
});

const entry = (key: string, value: string | undefined): Record<string, string> => (value ? { [key]: value } : {});

/** Seconds of a Retry-After, or of the Status, in milliseconds. A date is not honoured, as client-go does not. */
function retryAfterMs(answer: Answer): number | undefined {
  const seconds =
    /^\d{1,5}$/.exec(answer.headers["retry-after"] ?? "")?.[0] ?? statusIn(answer)?.details?.retryAfterSeconds;
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/**
 * For the log: an answer's text as the cause of a failure, but for the values that it quotes, which can be whole objects. What was
 * meant to be a success is an object itself, or a part of one.
 */
export function asCause(answer: Answer): Error {
  if (answer.status < 300) {
    return new Error(`HTTP ${answer.status}: a body of type ${answer.headers["content-type"] ?? "unknown"}`);
  }
  const fields = (statusIn(answer)?.details?.causes ?? []).filter(({ field }) => field !== undefined);
  const text =
    fields.length > 0
      ? fields.map(({ field, reason }) => `${field}: ${reason}`).join(", ")
      : messageOf(answer).replace(/(Invalid|Unsupported|Duplicate) value:[\s\S]*/, "$1 value");
  return new Error(`HTTP ${answer.status}: ${text}`);
}

/**
 * A refusal that surely changed nothing, or undefined when the answer proves neither: an HTTP 5xx that no rule knows, a 422 of which
 * nothing is said, what something in front of the API server answered, a 2xx.
 */
export function refusalOf(answer: Answer, subject: RequestSubject): Failure | undefined {
  const status = statusIn(answer) ?? {};
  const message = messageOf(answer);
  const rule = ruleOf(answer, subject);
  if (rule === undefined) {
    return undefined;
  }
  const sentence = rule.sentence(subject, message);
  const retry = rule.retryMs === undefined ? undefined : (retryAfterMs(answer) ?? rule.retryMs);
  const extra = Object.entries(rule.metadata?.(message, answer, subject) ?? {}).filter(([, value]) => value !== "");
  return new Failure(rule.reason, `cluster ${subject.cluster}: ${sentence}`, {
    metadata: { ...evidence(answer, subject), ...Object.fromEntries(extra) },
    details: [...(rule.details?.(subject, status, sentence) ?? []), ...(retry === undefined ? [] : [retryInfo(retry)])],
    cause: asCause(answer),
  });
}

/** A JSON Patch of which a `test` failed: 422, and nothing said of where or by whom (contracts: kubernetes §6.4). */
export const isGuardRefusal = (answer: Answer): boolean =>
  answer.status === 422 && statusIn(answer) !== undefined && ruleOf(answer, { verb: "patch" }) === undefined;

/** Why a read, or a dry run, has no result. It changed nothing, whatever happened. */
export function failureOfRead(evidenceOrError: unknown, subject: RequestSubject): Failure {
  if (evidenceOrError instanceof Failure) {
    return evidenceOrError;
  }
  if (!isAnswer(evidenceOrError)) {
    return unreachable(evidenceOrError, subject);
  }
  const answer = evidenceOrError;
  const refusal = refusalOf(answer, subject);
  if (refusal !== undefined) {
    return refusal;
  }
  const { reason, sentence, retryMs } = unusable(answer);
  return new Failure(reason, `cluster ${subject.cluster}: ${sentence}`, {
    metadata: evidence(answer, subject),
    details: retryMs === undefined ? [] : [retryInfo(retryAfterMs(answer) ?? retryMs)],
    cause: asCause(answer),
  });
}

/** What is wrong with an answer to a read that no rule knows. */
function unusable(answer: Answer): { reason: Reason; sentence: string; retryMs?: number } {
  const { status, json } = answer;
  const known = status < 300 ? json !== undefined : isRefusedByApiServer(answer);
  if (status === 502 || status === 504) {
    const sentence = known ? "the API server did not answer in time" : inFront(answer);
    return { reason: "CLUSTER_UNREACHABLE", sentence, retryMs: 1_000 };
  }
  if (status === 503) {
    const sentence = known ? "the API server, or the one behind it, is not available" : inFront(answer);
    return { reason: "CLUSTER_NOT_READY", sentence, retryMs: 5_000 };
  }
  if (status >= 500) {
    const sentence = known ? `the API server failed with HTTP ${status}` : inFront(answer);
    return { reason: "VENDOR_INTERNAL_ERROR", sentence };
  }
  return { reason: "VENDOR_BAD_RESPONSE", sentence: known ? "the answer cannot be understood" : inFront(answer) };
}

/** The cluster was not reached, or its answer did not come: surely nothing changed where nothing was sent, or only a read was. */
export function unreachable(error: unknown, subject: RequestSubject): Failure {
  const cause = error instanceof NoAnswer ? error.cause : error;
  if (cause instanceof Failure || cause instanceof ConnectError) {
    return toFailure(cause, { outcome: "not_applied", received: true }); // what kept it from being sent, or ended its call
  }
  const metadata = { cluster: subject.cluster, vendor: "kubernetes" };
  const context = { place: `cluster ${subject.cluster}`, who: "its API server", metadata };
  const obstacle = isExhausted(codeOf(cause) ?? "") ? obstacleOf(cause, context) : undefined;
  if (obstacle !== undefined) {
    return obstacle;
  }
  if (cause instanceof CredentialsError) {
    return new Failure(
      "CLUSTER_CREDENTIALS_REJECTED",
      `cluster ${subject.cluster}: restartd's own credentials cannot be read; its operator has to renew them`,
      { metadata, cause },
    );
  }
  return new Failure(
    "CLUSTER_UNREACHABLE",
    `cluster ${subject.cluster}: its API server cannot be reached (${nature(cause)})`,
    {
      metadata,
      details: [retryInfo(1_000)],
      cause,
    },
  );
}

/** The code of a system error, which holds no address and no secret. */
function nature(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : error instanceof Error ? error.name : "unknown";
}

const isAnswer = (value: unknown): value is Answer =>
  typeof value === "object" && value !== null && "status" in value && "headers" in value;
