import type { Failure, FailureOptions, Reason } from "../../core/errors.ts";
import { USER_AGENT } from "../../core/version.ts";
import { resultOfStatus, sendCounted, type VendorCounter } from "../counted.ts";
import { type Answer, type Connections, readAnswer } from "../http.ts";
import { fieldsOf, textOf } from "../json.ts";
import { THROTTLED_MS } from "../pace.ts";
import { answerAsCause, noAnswer, retryOf, signInOf, vendorFailure } from "../vendor.ts";
import type { HuaweiService, IamSettings } from "./config.ts";
import { vendorErrorOf, vendorWords } from "./errors.ts";

/** A token for one project. */
export interface Token {
  /** For the header X-Auth-Token. */
  readonly value: string;
  /** How long (ms) it is valid, from when it was given. */
  readonly lifeMs: number;
}

/** Who wants a token, and what for. */
export interface TokenRequest {
  readonly settings: Pick<IamSettings, "endpoint" | "username" | "domain">;
  readonly password: string;
  readonly projectId: string;
  /** The service that is waiting, which failures are told of. */
  readonly service: HuaweiService;
}

const TIMEOUT_MS = 30_000;

/** Bound (bytes) on the body of an answer, which without its catalog has a few kilobytes. */
const MAX_BYTES = 1024 * 1024;

const UNREACHABLE_RETRY_MS = 1_000;

/**
 * Exchanges a password for a token, by one request (contracts: huaweicloud E.2).
 *
 * @throws Failure VENDOR_CREDENTIALS_REJECTED when IAM refuses, VENDOR_UNREACHABLE when there is no IAM to answer. Nothing was sent to
 *   the service.
 */
export async function fetchToken(
  request: TokenRequest,
  connections: Connections,
  counter: VendorCounter,
): Promise<Token> {
  let answer: Answer;
  try {
    answer = await sendCounted(
      { ...counter, operation: "token", resultOf },
      // An answer that never ends would keep everybody waiting who shares this token.
      { changes: false, signal: AbortSignal.timeout(2 * TIMEOUT_MS), timeoutMs: TIMEOUT_MS },
      async () => ({
        url: new URL(`${request.settings.endpoint}/v3/auth/tokens?nocatalog=true`),
        method: "POST",
        headers: {
          "content-type": "application/json;charset=utf8",
          accept: "application/json",
          "user-agent": USER_AGENT,
        },
        body: JSON.stringify(tokenBody(request)),
        dispatcher: connections.dispatcher(true),
      }),
      (response) => readAnswer(response, MAX_BYTES),
    );
  } catch (error) {
    throw noAnswer(error, {
      vendor: request.service,
      place: `project ${request.projectId}`,
      who: "IAM",
      changes: false,
      metadata: { project: request.projectId },
    });
  }
  const token = answer.status === 201 ? tokenOf(answer) : undefined;
  if (token === undefined) throw refused(answer, request);
  return token;
}

/** What an answer counts as. */
const resultOf = (answer: Answer) =>
  answer.status >= 400 && ruleOf(answer)?.reason === "VENDOR_CREDENTIALS_REJECTED"
    ? "credentials"
    : resultOfStatus(answer.status);

/** As an IAM user, within the project. */
const tokenBody = ({ settings: { username, domain }, password, projectId }: TokenRequest) => ({
  auth: {
    identity: { methods: ["password"], password: { user: { name: username, password, domain: { name: domain } } } },
    scope: { project: { id: projectId } },
  },
});

function tokenOf({ headers, json }: Answer): Token | undefined {
  const value = headers["x-subject-token"] ?? "";
  const token = fieldsOf(fieldsOf(json)?.token);
  // Both times are IAM's, so that its clock is not compared with ours.
  const lifeMs =
    Date.parse(textOf(token?.expires_at) ?? "") - Date.parse(textOf(token?.issued_at) ?? headers.date ?? "");
  return /^[!-~]+$/.test(value) && !Number.isNaN(lifeMs) ? { value, lifeMs } : undefined;
}

/** What IAM's statuses mean (contracts: huaweicloud E.2). It refuses without having touched anything, whatever it says. */
const REFUSALS: readonly { from: number; to: number; reason: Reason; says: string; retryMs?: number }[] = [
  { from: 0, to: 299, reason: "VENDOR_BAD_RESPONSE", says: "the answer of IAM has no token that can be understood" },
  {
    from: 300,
    to: 399,
    reason: "UPSTREAM_REDIRECT",
    says: "IAM answered with a redirect, which is not followed; check iam.endpoint of the configuration",
  },
  {
    from: 401,
    to: 401,
    reason: "VENDOR_CREDENTIALS_REJECTED",
    says: "IAM does not accept restartd's own user; check username, domain and password, and that it is an IAM user",
  },
  {
    from: 403,
    to: 403,
    reason: "VENDOR_CREDENTIALS_REJECTED",
    says: "IAM does not let restartd's own user have a token; check that it may use the API, and its account's state",
  },
  {
    from: 404,
    to: 404,
    reason: "VENDOR_CREDENTIALS_REJECTED",
    says: "IAM does not know the project, or restartd's own user has no role in it; check project_id and domain",
  },
  {
    from: 429,
    to: 429,
    reason: "THROTTLED",
    says: "IAM has had too many requests of restartd's own user",
    retryMs: THROTTLED_MS,
  },
  {
    from: 400,
    to: 499,
    reason: "VENDOR_CREDENTIALS_REJECTED",
    says: "IAM gives restartd's own user no token; check the project's credentials in the configuration",
  },
  {
    from: 500,
    to: 999,
    reason: "VENDOR_UNREACHABLE",
    says: "IAM cannot give a token at the moment",
    retryMs: UNREACHABLE_RETRY_MS,
  },
];

/** Refusals that IAM, or what stands before it, explains: its words are recognised, and not shown. */
const EXPLAINED: readonly { words: RegExp; says: string }[] = [
  {
    words: /\bmfa\b|multi-?factor|two-?factor|second factor|verification code|\btotp\b|login protection/i,
    says: "IAM wants a second factor (MFA) of restartd's own user, which a program does not have; take its login protection away, or use an access key",
  },
  {
    words: /\block(?:ed|out)?\b|too many|try again later/i,
    says: "IAM has locked restartd's own user after too many failed logins; wait until it is unlocked, and check the password before that: each further try may lock it longer",
  },
  {
    words: /password.{0,40}(?:expired|must be changed|has to be changed|reset)|(?:expired|initial).{0,20}password/i,
    says: "the password of restartd's own user has expired, or has to be changed at its first login; change it, and put the new one where the configuration says",
  },
];

/** Why IAM gave no token. */
function ruleOf(answer: Answer): Omit<(typeof REFUSALS)[number], "from" | "to"> | undefined {
  const { status } = answer;
  const signIn = status < 300 || status >= 400 ? signInOf(answer) : undefined;
  if (signIn !== undefined && status < 500) {
    const says = `what stands in front of IAM wants a sign-in of its own (${signIn}); check iam.endpoint of the configuration, and the proxies on the way`;
    return { reason: "VENDOR_BAD_RESPONSE", says };
  }
  const { message } = vendorWords(answer);
  const explained =
    status >= 400 && status < 500 && status !== 429 && EXPLAINED.find(({ words }) => words.test(message));
  if (explained) return { reason: "VENDOR_CREDENTIALS_REJECTED", says: explained.says };
  return REFUSALS.find(({ from, to }) => from <= status && status <= to);
}

function refused(answer: Answer, { projectId, service }: TokenRequest): Failure {
  const rule = ruleOf(answer);
  if (rule === undefined) throw new Error(`no line for HTTP ${answer.status}`);
  const options: FailureOptions = { metadata: { project: projectId }, cause: answerAsCause(answer) };
  const retry = retryOf(rule.reason, answer, rule.retryMs);
  const sentence = `project ${projectId}: ${rule.says}; nothing was sent to ${service}`;
  return vendorFailure(rule.reason, sentence, { ...vendorErrorOf(answer, service), retryAfterMs: retry }, options);
}
