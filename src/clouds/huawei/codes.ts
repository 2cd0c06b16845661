import type { Answer } from "../http.ts";
import { THROTTLED_MS } from "../pace.ts";
import { isPage, signInOf } from "../vendor.ts";
import type { CodeRule, CodeTable, RequestSubject, StatusRule } from "./rules.ts";

/** How long (ms) to wait where something else is under way. */
const CONFLICT_MS = 5_000;

/** How long (ms) to wait for a gateway that has not reached the service. */
const GATEWAY_MS = 5_000;

/** How long (ms) to wait before a read is repeated that did not get through. */
const AWAY_MS = 1_000;

/** Our own credentials are refused: whoever runs restartd has to act, not the caller. */
const rejected = (
  codes: readonly string[],
  what: (subject: RequestSubject, answer: Answer) => string,
  rest: Pick<CodeRule, "message"> = {},
): CodeRule => ({
  codes,
  ...rest,
  reason: "VENDOR_CREDENTIALS_REJECTED",
  says: (subject, answer) => `${subject.service} does not accept restartd's own credentials: ${what(subject, answer)}`,
});

const denied = (codes: readonly string[], what: string): CodeRule => ({
  codes,
  reason: "VENDOR_PERMISSION_DENIED",
  says: ({ what: target }) => `${what} (asked for ${target})`,
});

/**
 * What the API gateway's codes mean, after `APIGW.` or `APIG.`. Source, unless a line says otherwise: contracts/huaweicloud.md E.5;
 * "guide" is the error code page of Huawei's API Request Signing Guide (devg-apisign/api-sign-errorcode), "faq" its page about
 * incorrect IAM authentication information, "APIG guide" the user guide of API Gateway (usermanual-apig/apig_03_0048).
 */
export const GATEWAY_CODES: CodeTable = [
  {
    // guide: all of them are about the way to the service. "IAM service is currently unavailable" is one, "0705/0801 vicinity" in E.5.
    codes: "0602 0605 0606 0608 0609 0610 0611 0612 0613 0705 0801 0802".split(" "),
    statuses: [503],
    reason: "VENDOR_UNREACHABLE",
    says: ({ service }) => `the gateway of ${service} could not reach what it needs, and did not pass the request on`,
    retryMs: GATEWAY_MS,
  },
  {
    codes: ["0101"], // 404, API or method does not exist
    reason: "API_VERSION_NOT_SERVED",
    says: ({ service }) =>
      `its address of ${service} does not serve what restartd asks for; check endpoints.${service} of the configuration`,
  },
  {
    codes: ["0103", "0104", "0105"], // 404 and 400, APIG guide: 500; backend, plugin or its configuration is not there
    reason: "VENDOR_INTERNAL_ERROR",
    says: ({ service }) => `the gateway of ${service} has lost its way to the service; Huawei Cloud has to mend it`,
    provesRefusal: true, // there is nothing that it could have passed the request on to
  },
  {
    codes: ["0106", "0602"], // 400, a declared parameter is missing or invalid; guide: illegal request
    reason: "VENDOR_REFUSED_REQUEST",
    says: ({ service, what }) => `the gateway of ${service} refused the request about ${what} as wrong`,
  },
  { codes: ["0201"], statuses: [494], reason: "VENDOR_REFUSED_REQUEST", says: headTooLarge }, // E.5
  {
    codes: ["0201"], // bad request, or too large; with 502 and 504 it is the backend, and the status decides
    statuses: [400, 413, 414],
    reason: "VENDOR_REFUSED_REQUEST",
    says: ({ service, what }) => `the gateway of ${service} refused the request about ${what} as wrong`,
  },
  rejected(
    ["0301"],
    () =>
      "the security token of its temporary credentials has expired, or belongs to another access key; put new ones, all three parts together, where the configuration says",
    { message: /security[ -]?token|\bsts\b|temporary (?:access|ak|credential|security)/i }, // 401
  ),
  rejected(
    ["0301"],
    (_asked, answer) =>
      `restartd's clock and Huawei Cloud's differ by more than 15 minutes${theirClock(answer)}; set the clock of restartd's host`,
    { message: /signature expired/i }, // 401, E.5, faq
  ),
  rejected(
    ["0301"],
    () => "the access key failed more than five times in a row, and is locked for 5 minutes; check it before then",
    { message: /reach the limit/i }, // 401, E.3, E.5
  ),
  rejected(["0301"], () => "there is no such access key; check access_key, and whether it belongs to this region", {
    message: /ak not exist|Get secretKey failed/i, // 401, E.5, faq
  }),
  rejected(["0301"], () => "the signature is wrong; check that secret_key belongs to access_key", {
    message: /aksk signature fail|ak sk signature fail/i, // 401, E.5
  }),
  rejected(["0301"], () => "the token cannot be read; it is not one for this region, or its account is in arrears", {
    message: /token/i, // 401 "decrypt token fail", E.5, faq
  }),
  rejected(["0301"], () => "check the project's credentials in the configuration"), // 401
  rejected(["0303", "0305", "0311"], () => "the gateway wants another kind of credentials"), // 401, guide
  rejected(
    ["0307"], // 401 "The token must be updated"
    () => "the token has expired, or is one of another region; the next call asks for a new one",
  ),
  denied(["0302", "0304", "0306"], "restartd's own user is not allowed to use this API"), // 403, guide
  denied(["0310"], "the project is not available to restartd's own user"), // 403, guide
  denied(["0401", "0402"], "the address that restartd comes from is not allowed"), // 403
  denied(["0801", "0802"], "the region is not open to restartd's own user"), // 403, guide; a 503 is below
  {
    codes: ["0308"], // 429, "policy user over ratelimit"
    reason: "THROTTLED",
    says: ({ service }) => `${service} has had too many requests of restartd's own user`,
    retryMs: THROTTLED_MS,
  },
];

/** What HTTP statuses mean where no code decides (contracts: vendors §F, api §2 "Decisions for the clouds"). */
export const STATUSES: readonly StatusRule[] = [
  { from: 0, to: 299, reason: "VENDOR_BAD_RESPONSE", says: unreadable },
  {
    from: 300,
    to: 399,
    reason: "UPSTREAM_REDIRECT",
    says: ({ service, what }) =>
      `${service} answered the request about ${what} with a redirect, which is not followed; check endpoints.${service} of the configuration`,
  },
  {
    from: 401,
    to: 401,
    reason: "VENDOR_CREDENTIALS_REJECTED",
    says: orSignIn(
      ({ service }) =>
        `${service} does not accept restartd's own credentials; check the project's credentials in the configuration`,
    ),
  },
  {
    from: 403,
    to: 403,
    reason: "VENDOR_PERMISSION_DENIED",
    says: orSignIn(({ what }) => `restartd's own user is not allowed to do that to ${what}`),
  },
  { from: 404, to: 404, reason: "missing", says: "does not exist" },
  { from: 410, to: 410, reason: "missing", says: "does not exist any longer" },
  { from: 408, to: 408, reason: "VENDOR_INTERNAL_ERROR", says: failed }, // a proxy's, which may have passed on what it had
  {
    from: 409,
    to: 409,
    reason: "CONFLICT",
    says: "is at something else, or was changed at the same time; it was not touched",
    retryMs: CONFLICT_MS,
  },
  { from: 412, to: 412, reason: "TARGET_STATE_FORBIDS", says: "is not in a state that allows it" },
  {
    from: 429,
    to: 429,
    reason: "THROTTLED",
    says: ({ service }) => `${service} has had too many requests of restartd's own user`,
    retryMs: THROTTLED_MS,
  },
  { from: 431, to: 431, reason: "VENDOR_REFUSED_REQUEST", says: headTooLarge },
  {
    from: 400,
    to: 499,
    reason: "VENDOR_REFUSED_REQUEST",
    says: orSignIn(
      ({ service, what }) =>
        `${service} refused the request about ${what} as wrong, where nothing wrong is known of it`,
    ),
  },
  { from: 500, to: 999, reason: "VENDOR_INTERNAL_ERROR", says: failed },
];

/** What statuses mean in an answer without a code of the service's own, which therefore may be of something in front of it. */
export const FOREIGN: readonly StatusRule[] = [
  ...[404, 410].map(
    (status): StatusRule => ({
      from: status,
      to: status,
      reason: "VENDOR_BAD_RESPONSE",
      says: ({ service, what }) =>
        `HTTP ${status} about ${what} is not in the words of ${service}: something in front of it answered; check endpoints.${service} of the configuration`,
      provesRefusal: true, // it found nothing to pass the request on to
    }),
  ),
];

/** The same of reads alone: what may have changed something may have been passed on before. */
export const FOREIGN_TO_READS: readonly StatusRule[] = [
  {
    from: 502,
    to: 504,
    reason: "VENDOR_UNREACHABLE",
    says: ({ service }, { status }) => `what stands in front of ${service} cannot reach it (HTTP ${status})`,
    retryMs: AWAY_MS,
  },
];

function unreadable({ service, what }: RequestSubject, answer: Answer): string {
  return isPage(answer)
    ? `what answered about ${what} is a web page: a sign-in or a proxy in front of ${service}; check endpoints.${service} of the configuration`
    : `the answer of ${service} about ${what} cannot be understood`;
}

/** A token that IAM gave can be longer than what its services take. */
function headTooLarge({ service, what }: RequestSubject): string {
  return `${service} does not take so much in headers as the request about ${what} has: a token is as long as its user has roles; give it fewer, or use an access key`;
}

/** Who answers with a challenge or a page of its own is no API of the vendor's: its sign-in, not our credentials, is the matter. */
function orSignIn(says: (subject: RequestSubject) => string): CodeRule["says"] {
  return (subject, answer) => {
    const signIn = signInOf(answer);
    return signIn === undefined
      ? says(subject)
      : `what stands in front of ${subject.service} wants a sign-in of its own (${signIn}); check endpoints.${subject.service} of the configuration, and the proxies on the way`;
  };
}

function failed({ service, what }: RequestSubject, { status }: Answer): string {
  return `${service} failed with HTTP ${status} at ${what}`;
}

/** What the vendor's clock shows, where its answer says so. */
function theirClock({ headers }: Answer): string {
  const moment = Date.parse(headers.date ?? "");
  return Number.isNaN(moment) ? "" : ` (Huawei Cloud's shows ${new Date(moment).toISOString()})`;
}
