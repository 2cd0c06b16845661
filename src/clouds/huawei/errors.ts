import {
  type Detail,
  Failure,
  type FailureOptions,
  preconditionFailure,
  type Reason,
  resourceInfo,
} from "../../core/errors.ts";
import { type Answer, NoAnswer } from "../http.ts";
import { fieldsOf, textOf } from "../json.ts";
import { answerAsCause, noAnswer, retryOf, type VendorResponseError, vendorFailure } from "../vendor.ts";
import { FOREIGN, FOREIGN_TO_READS, GATEWAY_CODES, STATUSES } from "./codes.ts";
import type { HuaweiService } from "./config.ts";
import type { CodeRule, CodeTable, RequestSubject, StatusRule } from "./rules.ts";

/**
 * The failure that an answer without a result stands for: decided by the service's code first, then by the gateway's, and by the HTTP
 * status last. A code in no table is kept in the metadata. Of a 2xx that cannot be read it is VENDOR_BAD_RESPONSE, or OUTCOME_UNKNOWN
 * when it may have changed something.
 *
 * @param codes the service's own table.
 */
export function refusal(answer: Answer, subject: RequestSubject, codes: CodeTable): Failure {
  const { code, message } = vendorWords(answer);
  const rule = ruleFor(code, message, answer, codes) ?? gatewayRule(code, message, answer);
  if (rule !== undefined) {
    return failureBy(rule, rule.reason, answer, subject);
  }
  const { reason, ...status } = OWN_CODES[subject.service].test(code ?? "")
    ? statusRule(answer.status)
    : foreignRule(answer.status, subject.changes || GATEWAY_CODE.test(code ?? ""));
  return failureBy(status, reason === "missing" ? (subject.missing ?? "TARGET_NOT_FOUND") : reason, answer, subject);
}

/**
 * Why a request has no answer at all, or what was thrown while it was prepared: VENDOR_UNREACHABLE where it surely changed nothing,
 * OUTCOME_UNKNOWN where it may have.
 *
 * @param error what {@link Project.request} rejected with.
 */
export function failureOf(error: unknown, { service, projectId, changes }: RequestSubject): Failure {
  const subject = { vendor: service, place: `project ${projectId}`, changes, metadata: { project: projectId } };
  const failure = noAnswer(error, subject);
  if (failure.reason !== "OUTCOME_UNKNOWN" || !(error instanceof NoAnswer) || !isTimeout(error.cause)) {
    return failure;
  }
  return new Failure(
    "OUTCOME_UNKNOWN",
    `${subject.place}: there was no answer in time; the request is not sent again`,
    {
      outcome: "unknown",
      deadlineExceeded: true,
      metadata: failure.metadata,
      cause: error.cause,
    },
  );
}

/** What an answer says of itself, for the metadata of a failure. */
export function vendorErrorOf(answer: Answer, service: HuaweiService): VendorResponseError {
  return { vendor: service, code: vendorWords(answer).code, status: answer.status, requestId: requestIdOf(answer) };
}

/** Whether a service wants a new token: the one that it got is not, or no longer, one for it. */
export function wantsNewToken(answer: Answer): boolean {
  const { code } = vendorWords(answer);
  return answer.status === 401 && (code === undefined || TOKEN_CODES.some((pattern) => pattern.test(code)));
}

/**
 * The refusal of our own credentials that an answer is; undefined when it is about something else. A code of a service's own can come with
 * any status, and says what it says.
 */
export function credentialsRefusal(answer: Answer, service: HuaweiService, projectId: string): Failure | undefined {
  const { code } = vendorWords(answer);
  const isOfService = code !== undefined && !GATEWAY_CODE.test(code) && !wantsNewToken(answer);
  if (answer.status !== 401 || isOfService) return undefined;
  const target = `projects/${projectId}`;
  const failure = refusal(answer, { service, projectId, what: "the project", target, changes: false }, []);
  return failure.reason === "VENDOR_CREDENTIALS_REJECTED" ? failure : undefined;
}

/** Codes about the token: the gateway's 0301 and 0307, and the services' own (contracts: huaweicloud B.3, E.5). */
const TOKEN_CODES: readonly RegExp[] = [/^APIGW?\.030[17]$/, /^DCS\.100[1-4]$/, /^11140100[1-4]$/];

/** The vendor's code and message, in whichever of its shapes (contracts: huaweicloud B.1, C.1, D.1, D.2, E.2, E.5). */
export function vendorWords({ json }: Answer): { readonly code: string | undefined; readonly message: string } {
  const body = fieldsOf(json) ?? {};
  const inner = fieldsOf(body.error) ?? {};
  // A key of another shape may be there and empty.
  const code = [body.error_code, body.errCode, body.errorCode, inner.code].find(Boolean);
  const message = [body.error_msg, body.externalMessage, body.errorMessage, inner.message].find(Boolean);
  return { code: typeof code === "number" ? String(code) : textOf(code), message: textOf(message) ?? "" };
}

/** What the gateway's codes look like; dedicated and older gateways say APIG. */
const GATEWAY_CODE = /^APIGW?\.(\d{4})$/;

const gatewayRule = (code: string | undefined, message: string, answer: Answer): CodeRule | undefined =>
  ruleFor(GATEWAY_CODE.exec(code ?? "")?.[1], message, answer, GATEWAY_CODES);

const ruleFor = (code: string | undefined, text: string, { status }: Answer, codes: CodeTable): CodeRule | undefined =>
  code === undefined
    ? undefined
    : codes.find(
        ({ codes, statuses, message }) =>
          codes.includes(code) && (statuses?.includes(status) ?? true) && (message?.test(text) ?? true),
      );

/** What the codes of each service look like, older ones too (contracts: huaweicloud B.3, C.4, D.3): the gateway's and others' are not its word. */
const OWN_CODES: Readonly<Record<HuaweiService, RegExp>> = {
  cse: /^(?:SVCSTG|CSE)\.\d{3,8}$/,
  dcs: /^(?:DCS\.\d{3,8}|111\d{6})$/,
  ddm: /^(?:(?:DBS|DDM)\.\d{3,8}|\d{8})$/,
};

/**
 * Who answers without a code of the service's may be anything in front of it: that something is missing is not for it to say.
 *
 * @param passedOn whether the request may have come further than to a proxy, and may have changed something or failed there.
 */
const foreignRule = (status: number, passedOn: boolean): StatusRule =>
  [...FOREIGN, ...(passedOn ? [] : FOREIGN_TO_READS)].find(({ from, to }) => from <= status && status <= to) ??
  statusRule(status);

/** Every status has a line. */
function statusRule(status: number): StatusRule {
  const rule = STATUSES.find(({ from, to }) => from <= status && status <= to);
  if (rule === undefined) throw new Error(`no line for HTTP ${status}`);
  return rule;
}

/** Reasons that say nothing of whether something was done. */
const UNPROVEN: ReadonlySet<Reason> = new Set<Reason>(["VENDOR_INTERNAL_ERROR", "VENDOR_BAD_RESPONSE"]);

function failureBy(
  { says, retryMs, provesRefusal }: Pick<CodeRule, "says" | "retryMs" | "provesRefusal">,
  reason: Reason,
  answer: Answer,
  subject: RequestSubject,
): Failure {
  const vendorError = vendorErrorOf(answer, subject.service);
  const place = `project ${subject.projectId}`;
  const options: FailureOptions = { metadata: { project: subject.projectId }, cause: answerAsCause(answer) };
  if (subject.changes && !(provesRefusal ?? !UNPROVEN.has(reason))) {
    const sentence = `${place}: HTTP ${answer.status} does not say whether ${subject.what} was touched; it is not sent again`;
    return vendorFailure("OUTCOME_UNKNOWN", sentence, vendorError, { ...options, outcome: "unknown" });
  }
  const words = typeof says === "string" ? `${subject.what} ${says}` : says(subject, answer);
  const untouched = subject.changes && reason === "VENDOR_CREDENTIALS_REJECTED" ? "; nothing was done" : "";
  const sentence = `${place}: ${words}${untouched}`;
  return vendorFailure(
    reason,
    sentence,
    { ...vendorError, retryAfterMs: retryOf(reason, answer, retryMs) },
    { ...options, details: detailsOf(reason, subject, sentence) },
  );
}

/** What api.md wants beside ErrorInfo. */
function detailsOf(reason: Reason, { target }: RequestSubject, sentence: string): Detail[] {
  switch (reason) {
    case "TARGET_NOT_FOUND":
    case "JOB_NOT_FOUND":
    case "API_VERSION_NOT_SERVED":
    case "OPERATION_IN_PROGRESS":
    case "VENDOR_PERMISSION_DENIED":
      return [resourceInfo(target.split("/").slice(2, -1).join("/"), target)];
    case "TARGET_STATE_FORBIDS":
    case "OPERATION_UNSUPPORTED_BY_TARGET":
    case "NOTHING_TO_RETRY":
      return [preconditionFailure([{ type: reason, subject: target, description: sentence }])];
    default:
      return [];
  }
}

/** The gateway's id of the request: every SDK logs the header; the gateway's own errors have it in the body too. */
const requestIdOf = ({ headers, json }: Answer): string | undefined =>
  headers["x-request-id"] ?? textOf(fieldsOf(json)?.request_id);

/** undici's own limits on the wait for a head, and for more of a body. */
const isTimeout = (cause: unknown): boolean =>
  cause instanceof Error &&
  "code" in cause &&
  (cause.code === "UND_ERR_HEADERS_TIMEOUT" || cause.code === "UND_ERR_BODY_TIMEOUT");
