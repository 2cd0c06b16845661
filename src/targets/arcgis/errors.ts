import type { Answer } from "../../clouds/http.ts";
import {
  answerAsCause,
  isPage,
  retryOf,
  signInOf,
  type VendorResponseError,
  vendorFailure,
} from "../../clouds/vendor.ts";
import { type Detail, type Failure, preconditionFailure, type Reason, resourceInfo } from "../../core/errors.ts";
import { isAboutJob } from "./answers.ts";
import { isObject } from "./values.ts";

/** What a request was about, for the sentences. */
export interface RequestSubject {
  readonly site: string;
  /** `deployment kvyxph9w5h3o9vgk8dixn`, `job j1`, `the deployments`, `a token`. */
  readonly what: string;
  /** Whether the request may have changed something: then doubt is not failure. */
  readonly changes: boolean;
  /** Whether the change runs before it is answered, so that it may have begun before it failed. Default false. */
  readonly runs?: boolean;
  /** What ResourceInfo names, and what it is called when it is not there. */
  readonly resource: { readonly type: string; readonly name: string; readonly missing: Reason };
}

/** What an error body says. */
interface VendorError {
  readonly code: number | undefined;
  /** It has no code, and says in words that a permission is missing. */
  readonly denied: boolean;
  /** Its words, to be recognised and shown nowhere. */
  readonly words: string;
}

/** A refusal that is recognised: it surely changed nothing. */
interface Rule {
  readonly codes: readonly number[];
  readonly reason: Reason | ((subject: RequestSubject) => Reason);
  /** Continues "site NAME: ". */
  readonly sentence: (subject: RequestSubject) => string;
  readonly details?: (subject: RequestSubject, sentence: string) => Detail[];
  /** Milliseconds after which the same call may succeed, where the site does not say. */
  readonly retryMs?: number;
}

const about = ({ resource }: RequestSubject): Detail[] => [resourceInfo(resource.type, resource.name)];

/** By the vendor's code, or by HTTP status where there is none that is known. */
const RULES: readonly Rule[] = [
  {
    codes: [498, 499, 401], // contracts: arcgis §A.5; of a read, 498 and 499 only come here after one new token was refused too
    reason: "VENDOR_CREDENTIALS_REJECTED",
    sentence: ({ changes }) =>
      changes
        ? "it no longer accepts the token that it gave restartd; nothing was done, and the next call asks for a new one"
        : "it does not accept the token that it gave restartd; its operator has to look at arcgis.sites",
  },
  {
    codes: [403], // contracts: arcgis §A.5, §A.1 (privileges)
    reason: "VENDOR_PERMISSION_DENIED",
    sentence: ({ what, changes }) =>
      `restartd's user may not ${changes ? "refresh" : "read"} ${what}; the site has to give it that privilege`,
    details: about,
  },
  {
    codes: [404, 410], // contracts: vendors §F
    reason: ({ resource }) => resource.missing,
    sentence: ({ what, resource }) =>
      resource.missing === "VENDOR_BAD_RESPONSE"
        ? `it has nothing at the address of ${what}; check admin_url and token_url of arcgis.sites`
        : `${what} does not exist`,
    details: about,
  },
  {
    codes: [400, 405, 406, 411, 413, 414, 415, 422], // contracts: vendors §F (400); HTTP's own words for a request that is wrong
    reason: "VENDOR_REFUSED_REQUEST",
    sentence: ({ what }) => `it refused the request for ${what} as wrong, where nothing wrong is known of it`,
  },
  {
    codes: [409], // contracts: vendors §F (HTTP status last)
    reason: "CONFLICT",
    sentence: ({ what }) => `something else happens to ${what}; it was not applied`,
    retryMs: 5_000,
  },
  {
    codes: [412], // contracts: vendors §F (HTTP status last)
    reason: "TARGET_STATE_FORBIDS",
    sentence: ({ what }) => `the state of ${what} does not admit it`,
    details: ({ resource }, description) => [
      preconditionFailure([{ type: "TARGET_STATE_FORBIDS", subject: resource.name, description }]),
    ],
  },
  {
    codes: [429], // contracts: vendors §F
    reason: "THROTTLED",
    sentence: () => "it has too many requests",
    retryMs: 2_000,
  },
];

/** What a token request is refused with: there, it is about who we are (contracts: arcgis §A.4, vendors §F). */
const TOKEN_RULE: Rule = {
  codes: [400, 401, 403, 498, 499],
  reason: "VENDOR_CREDENTIALS_REJECTED",
  sentence: () =>
    "it gives restartd's user no token; its operator has to correct user name and password in arcgis.sites",
};

/** Why a token is refused, where the site's words tell: it is not the password, or not yet. */
const EXPLAINED: readonly { words: RegExp; sentence: string }[] = [
  {
    words: /\bmfa\b|multi-?factor|two-?factor|second factor|verification code/i,
    sentence:
      "it wants a second factor (MFA) of restartd's user, which a program does not have; its operator has to name a user without one in arcgis.sites",
  },
  {
    words: /\block(?:ed|out)?\b|too many|try again later/i,
    sentence:
      "it has locked restartd's user after too many failed logins; its operator has to wait until it is unlocked, and to check the password before that: each further try may lock it longer",
  },
  {
    words: /password.{0,40}(?:expired|must be changed|has to be changed|reset)|expired.{0,20}password/i,
    sentence:
      "the password of restartd's user has expired there; its operator has to change it, and to put the new one where arcgis.sites says",
  },
];

/** Words of `status` that stand for an error (contracts: arcgis §A.5). A job's own FAILED is written in capitals. */
const FAILED_WORDS: ReadonlySet<unknown> = new Set(["error", "failed", "failure"]);

/** Codes that refuse a token for sure: one more attempt with a new one cannot do anything twice (contracts: arcgis §A.5). */
const TOKEN_CODES: ReadonlySet<number | undefined> = new Set([498, 499]);

/** Whether a code, or a status, says that the server, or what stands before it, failed: then nobody knows what it did before. */
const isServerFault = (code: number): boolean => code === 408 || (code >= 500 && code < 600);

/** What an answer says was wrong, in either shape; undefined when its body is no error. */
export function errorOf({ json }: Pick<Answer, "json">): VendorError | undefined {
  if (!isObject(json)) return undefined;
  if (json.error !== undefined && json.error !== null) {
    const error = isObject(json.error) ? json.error : { message: json.error };
    const details = isObject(json.error) && Array.isArray(json.error.details) ? json.error.details : [];
    return vendorError(error.code, [error.message, ...details]);
  }
  if (!FAILED_WORDS.has(json.status) || isAboutJob(json)) return undefined;
  return vendorError(json.code, Array.isArray(json.messages) ? json.messages : []);
}

function vendorError(code: unknown, messages: readonly unknown[]): VendorError {
  const number = typeof code === "string" && /^\d{1,9}$/.test(code) ? Number(code) : code;
  const known = typeof number === "number" && Number.isSafeInteger(number) ? number : undefined;
  const words = messages.filter((message) => typeof message === "string").join("\n");
  return { code: known, denied: known === undefined && /not have permission/i.test(words), words };
}

/** Whether an answer refuses the token, so that the request surely did nothing. */
export const refusesToken = (answer: Answer): boolean =>
  TOKEN_CODES.has(errorOf(answer)?.code ?? (answer.status >= 400 ? answer.status : undefined));

const vendorErrorOf = ({ status, headers }: Answer, code: number | undefined): VendorResponseError => ({
  vendor: "arcgis",
  code: code?.toString(),
  status,
  requestId: headers["x-request-id"],
});

/** An answer that was to be a success, and cannot be understood: on a change, nobody knows what it did. */
export const unreadable = (answer: Answer, subject: RequestSubject): Failure =>
  doubt(
    answer,
    undefined,
    subject,
    "VENDOR_BAD_RESPONSE",
    isPage(answer) ? `its answer is a web page: ${SIGN_IN}` : "its answer cannot be understood",
  );

/** A web adaptor or a proxy in front of the site signs people in by itself, by pages and challenges that are not the site's. */
const SIGN_IN =
  "a sign-in of the web server in front of it, as it seems; restartd needs admin_url and token_url of arcgis.sites that lead past it";

/** A failure which, on a change, leaves open whether the change was made. */
function doubt(
  answer: Answer,
  code: number | undefined,
  { changes, site, what }: RequestSubject,
  reason: Reason,
  sentence: string,
): Failure {
  const options = { metadata: { site }, cause: answerAsCause(answer) };
  return changes
    ? vendorFailure(
        "OUTCOME_UNKNOWN",
        `site ${site}: ${sentence}, so that nobody knows whether ${what} was refreshed; it is not sent again`,
        vendorErrorOf(answer, code),
        { ...options, outcome: "unknown" },
      )
    : vendorFailure(
        reason,
        `site ${site}: ${sentence}`,
        { ...vendorErrorOf(answer, code), retryAfterMs: retryOf(reason, answer) },
        options,
      );
}

/**
 * Why an answer is no success: HTTP 400 and above, a redirect, an error in whatever shape, a body that is no JSON object.
 *
 * @returns undefined when it may be one: whoever asked looks for what a success has to have.
 */
export function failureOf(
  answer: Answer,
  subject: RequestSubject,
  about: "token" | "resource" = "resource",
): Failure | undefined {
  const { status } = answer;
  const { site } = subject;
  if (status >= 300 && status < 400) {
    return vendorFailure(
      "UPSTREAM_REDIRECT",
      `site ${site}: its answer is a redirect, which is never followed${toSignIn(answer) ? `; it leads to ${SIGN_IN}` : "; check its addresses in arcgis.sites"}`,
      vendorErrorOf(answer, undefined),
      { metadata: { site }, cause: answerAsCause(answer) },
    );
  }
  const error = errorOf(answer);
  if (error === undefined && status < 400) {
    return isObject(answer.json) && status >= 200 ? undefined : unreadable(answer, subject);
  }
  const code = error?.code;
  const challenge = error === undefined && CHALLENGES.has(status) ? signInOf(answer) : undefined;
  if (challenge !== undefined) {
    return refusal(challenged(challenge), answer, code, subject);
  }
  const explained = about === "token" && EXPLAINED.find(({ words }) => words.test(error?.words ?? ""));
  if (explained) {
    return refusal({ ...TOKEN_RULE, sentence: () => explained.sentence }, answer, code, subject);
  }
  const rules = about === "token" ? [TOKEN_RULE, ...RULES] : RULES;
  for (const candidate of [code, status]) {
    if (candidate === undefined || candidate < 400) continue;
    const rule = rules.find(({ codes }) => codes.includes(candidate));
    if (rule !== undefined) {
      return refusal(ABSENT.has(candidate) && !isOwn(answer) ? FOREIGN : rule, answer, code, subject);
    }
    if (code === undefined && !subject.changes && AWAY.codes.includes(candidate)) {
      return refusal(AWAY, answer, code, subject);
    }
    if (isServerFault(candidate)) {
      return doubt(answer, code, subject, "VENDOR_INTERNAL_ERROR", `it failed with ${candidate}`);
    }
  }
  const other = error === undefined ? WRONG : otherRule(error, about);
  return other === FAILED && subject.runs
    ? doubt(answer, code, subject, "VENDOR_REPORTED_FAILED", "it says that this failed, without a reason that is known")
    : refusal(other, answer, code, subject);
}

/** Statuses that ask who one is, or say that one may not. */
const CHALLENGES: ReadonlySet<number> = new Set([401, 403, 407]);

/** A challenge, such as that of Integrated Windows Authentication: whoever sent it has passed nothing on. */
const challenged = (challenge: string): Rule => ({
  codes: [],
  reason: "VENDOR_CREDENTIALS_REJECTED",
  sentence: () => `its answer is ${SIGN_IN} (${challenge})`,
});

/** Whether a redirect leads to where people sign in. */
const toSignIn = ({ headers }: Answer): boolean =>
  /sign-?in|log-?in|logon|saml|oauth|adfs|authorize/i.test(headers.location ?? "");

/** What stands in front of the site does not reach it: a read can come again. */
const AWAY: Rule = {
  codes: [502, 503, 504],
  reason: "VENDOR_UNREACHABLE",
  sentence: () => "what stands in front of it cannot reach it",
  retryMs: 1_000,
};

/** What says that something is not there. */
const ABSENT: ReadonlySet<number> = new Set([404, 410]);

/** Whether an error is in one of the shapes of ArcGIS (contracts: arcgis §A.5), and not of something in front of it. */
const isOwn = ({ json }: Pick<Answer, "json">): boolean =>
  isObject(json) &&
  ((isObject(json.error) && errorOf({ json })?.code !== undefined) ||
    (FAILED_WORDS.has(json.status) && Array.isArray(json.messages)));

/** Something in front of the site has nothing at an address: that is not for it to say of what the site has. */
const FOREIGN: Rule = {
  codes: [],
  reason: "VENDOR_BAD_RESPONSE",
  sentence: ({ what }) =>
    `what answered about ${what} is not ArcGIS and has nothing at its address; check admin_url and token_url of arcgis.sites`,
};

/** An HTTP status of 4xx that no rule knows. */
const WRONG: Rule = {
  codes: [],
  reason: "VENDOR_REFUSED_REQUEST",
  sentence: ({ what }) => `it refused the request for ${what}`,
};

/** An error that gives no reason which is known. */
const FAILED: Rule = {
  codes: [],
  reason: "VENDOR_REPORTED_FAILED",
  sentence: ({ what }) => `it says that the request for ${what} failed, and gives no reason that is known`,
};

function otherRule({ code, denied }: VendorError, about: "token" | "resource"): Rule {
  if (about === "token") return TOKEN_RULE;
  if (denied) return RULES.find(({ codes }) => codes.includes(403)) ?? WRONG;
  return code !== undefined && code >= 400 && code < 500 ? WRONG : FAILED;
}

function refusal(rule: Rule, answer: Answer, code: number | undefined, subject: RequestSubject): Failure {
  const { sentence, details, retryMs } = rule;
  const words = sentence(subject);
  const reason = typeof rule.reason === "function" ? rule.reason(subject) : rule.reason;
  return vendorFailure(
    reason,
    `site ${subject.site}: ${words}`,
    { ...vendorErrorOf(answer, code), retryAfterMs: retryOf(reason, answer, retryMs) },
    {
      metadata: { site: subject.site },
      details: details?.(subject, words) ?? [],
      cause: answerAsCause(answer),
    },
  );
}
