import { type Detail, Failure, type FailureOptions, type Reason, resourceInfo, retryInfo } from "../core/errors.ts";
import { type Answer, AnswerTooLarge, NoAnswer } from "./http.ts";
import { codeOf, obstacleOf } from "./obstacles.ts";

/** What a vendor's answer says of itself, in words that are safe to show. */
export interface VendorResponseError {
  /** The target's name: `arcgis`, `cse`, `dcs`, `ddm`. */
  readonly vendor: string;
  /** The vendor's own code, where the answer has one. */
  readonly code: string | undefined;
  /** HTTP status. */
  readonly status: number;
  /** The vendor's id of the request, where it tells one. */
  readonly requestId: string | undefined;
  /** After how long (ms) the same call may succeed: makes a RetryInfo. */
  readonly retryAfterMs?: number | undefined;
}

/** What a request was about, for the sentences about one that got no answer. */
export interface VendorRequestSubject {
  /** The target's name, as in {@link VendorResponseError}. */
  readonly vendor: string;
  /** Who was asked, such as `site gis` or `project 7d2a6d4f`: begins the sentence. */
  readonly place: string;
  /** What was asked there: continues the sentence. Default `it`. */
  readonly who?: string;
  /** Whether the request may have changed something. */
  readonly changes: boolean;
  /** Further metadata: names, never secrets. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** How long (ms) to wait before asking an unreachable vendor again. */
const UNREACHABLE_RETRY_MS = 1_000;

/** The largest part of a vendor's code or request id that is shown: both are meant to be a word. */
const WORD_LIMIT = 128;

/**
 * A failure that a vendor's answer is the reason of.
 *
 * @param sentence what was wrong and what to do, in our own words: never the vendor's text.
 * @param options outcome, cause and further details; its metadata comes beside the vendor's.
 */
export function vendorFailure(
  reason: Reason,
  sentence: string,
  error: VendorResponseError,
  options: FailureOptions = {},
): Failure {
  const details: Detail[] = [...(options.details ?? [])];
  if (error.retryAfterMs !== undefined) {
    details.push(retryInfo(error.retryAfterMs));
  }
  return new Failure(reason, sentence, {
    ...options,
    metadata: {
      ...options.metadata,
      vendor: error.vendor,
      ...entry("vendor_code", error.code),
      vendor_http_status: String(error.status),
      ...entry("vendor_request_id", error.requestId),
    },
    details,
  });
}

/**
 * Why a request got no whole answer: where it surely changed nothing VENDOR_UNREACHABLE, VENDOR_BAD_RESPONSE when there was more to
 * read than is read, or what else kept it from leaving, when waiting for the vendor would mend nothing; where it may have changed something OUTCOME_UNKNOWN. A Failure is passed on as it is; anything else is a request
 * that did not leave.
 */
export function noAnswer(
  error: unknown,
  { vendor, place, who = "it", changes, metadata = {} }: VendorRequestSubject,
): Failure {
  if (error instanceof Failure) {
    return error;
  }
  const cause = error instanceof NoAnswer ? error.cause : error;
  if (cause instanceof Failure) {
    return cause;
  }
  if (cause instanceof AnswerTooLarge || codeOf(cause) === "UND_ERR_HEADERS_OVERFLOW") {
    const status = cause instanceof AnswerTooLarge ? { vendor_http_status: String(cause.status) } : {};
    const options = { metadata: { ...metadata, vendor, ...status }, cause };
    const sentence = `${place}: ${who === "it" ? "its answer" : `the answer of ${who}`} is larger than any that is expected, and was not read`;
    return changes
      ? new Failure("OUTCOME_UNKNOWN", `${sentence}; the request is not sent again`, { outcome: "unknown", ...options })
      : new Failure("VENDOR_BAD_RESPONSE", sentence, options);
  }
  if (changes && error instanceof NoAnswer && error.sent) {
    return new Failure(
      "OUTCOME_UNKNOWN",
      `${place}: the request left, and the connection ended without an answer (${natureOf(cause)}); it is not sent again`,
      { outcome: "unknown", metadata: { ...metadata, vendor }, cause },
    );
  }
  return (
    obstacleOf(cause, { place, who, metadata: { ...metadata, vendor } }) ??
    new Failure("VENDOR_UNREACHABLE", `${place}: ${who} cannot be reached (${natureOf(cause)})`, {
      metadata: { ...metadata, vendor },
      details: [retryInfo(UNREACHABLE_RETRY_MS)],
      cause,
    })
  );
}

/** Nothing is configured under the name that a request chose. */
export const notConfigured = (
  reason: "SITE_NOT_FOUND" | "PROJECT_NOT_FOUND",
  kind: "site" | "project",
  name: string,
  hint: string,
): Failure =>
  new Failure(reason, `no ${kind} ${name} is configured; ${hint}`, {
    metadata: { [kind]: name },
    details: [resourceInfo(kind, name)],
  });

/** Milliseconds of a Retry-After: seconds, or a date, which is measured by the clock that the answer's own `date` shows. */
export function retryAfterMs({ headers }: Pick<Answer, "headers">): number | undefined {
  const after = headers["retry-after"] ?? "";
  if (/^\d{1,5}$/.test(after)) return Number(after) * 1_000;
  // Only what has a name in it is a date: Date.parse takes "-1" for one.
  const delay = /[A-Za-z]/.test(after) ? Date.parse(after) - Date.parse(headers.date ?? "") : Number.NaN;
  return delay >= 0 ? delay : undefined;
}

/** Refusals that may end by waiting, so that a vendor's word for how long is passed on. */
const WAITING_MAY_HELP: ReadonlySet<Reason> = new Set<Reason>([
  "OPERATION_IN_PROGRESS",
  "TARGET_STATE_FORBIDS",
  "VENDOR_INTERNAL_ERROR",
]);

/**
 * After how long (ms) a refused call may succeed: as the answer says, or by default; undefined where neither says it.
 *
 * @param byDefault what stands for it where waiting surely helps.
 */
export const retryOf = (reason: Reason, answer: Pick<Answer, "headers">, byDefault?: number): number | undefined =>
  byDefault === undefined && !WAITING_MAY_HELP.has(reason) ? undefined : (retryAfterMs(answer) ?? byDefault);

/**
 * For the log: what an answer was like. Of its text nothing is kept, because an answer can quote what it was asked, secrets included.
 */
export const answerAsCause = ({ status, headers, text }: Answer): Error =>
  new Error(`HTTP ${status}: a body of ${text.length} characters, type ${headers["content-type"] ?? "unknown"}`);

/** The code of a system error, or a name: it holds no address and no secret. */
export const natureOf = (error: unknown): string => codeOf(error) ?? (error instanceof Error ? error.name : "unknown");

/** Whether an answer is a page for people, as a proxy, a portal or a web server's own sign-in writes it: no vendor's API does. */
export const isPage = ({ headers, json, text }: Answer): boolean =>
  json === undefined && (/^text\/html/i.test(headers["content-type"] ?? "") || /^\s*<(?:!doctype|html)/i.test(text));

/**
 * The kind of sign-in that a web server or a proxy wants of its own, such as `Negotiate`, by its challenge, or its page; undefined where
 * an answer asks for none.
 */
export function signInOf(answer: Answer): string | undefined {
  const challenge = /^[A-Za-z][A-Za-z0-9-]*/.exec(
    answer.headers["www-authenticate"] ?? answer.headers["proxy-authenticate"] ?? "",
  )?.[0];
  if (answer.json === undefined && challenge !== undefined) return challenge;
  return isPage(answer) && /sign[ -]?in|log[ -]?in|password|saml|oauth/i.test(answer.text) ? "a page" : undefined;
}

/** A metadata entry, where there is something to say that looks like a word. */
function entry(key: string, value: string | undefined): Record<string, string> {
  const word = /^[!-~]+$/.test(value ?? "") ? value?.slice(0, WORD_LIMIT) : undefined;
  return word === undefined ? {} : { [key]: word };
}
