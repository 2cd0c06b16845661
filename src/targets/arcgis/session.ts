import {
  type CountingRuntime,
  resultOfStatus,
  sendCounted,
  type VendorCounter,
  vendorCounter,
} from "../../clouds/counted.ts";
import { credentialGate } from "../../clouds/credential-gate.ts";
import {
  type Answer,
  NoAnswer,
  openConnections,
  readAnswer,
  type SendOptions,
  type WireRequest,
} from "../../clouds/http.ts";
import { keepPace, paceOf, takeTurn } from "../../clouds/pace.ts";
import { noAnswer } from "../../clouds/vendor.ts";
import type { VendorResult } from "../../core/meter.ts";
import type { Runtime } from "../../core/target.ts";
import { USER_AGENT } from "../../core/version.ts";
import type { SiteSettings } from "./config.ts";
import { errorOf, failureOf, type RequestSubject, refusesToken, unreadable } from "./errors.ts";
import { createTokens, type HeldToken, type Token, type Tokens } from "./token.ts";
import { isObject, numberOf } from "./values.ts";

/** What is asked of sites, as metrics call it. */
export const VENDOR_OPERATIONS = ["refresh", "get", "list", "status", "mode", "job", "token"] as const;

type VendorOperation = (typeof VENDOR_OPERATIONS)[number];

/** What a request that changes something is sent by. */
export interface SendHooks {
  /** Ends it while nothing has left. */
  readonly signal: AbortSignal;
  /** Asks for the right to send; what it gives is called immediately before the first byte leaves. Once for each time it is sent. */
  readonly permit: () => Promise<() => void>;
  /** Told that what was sent was refused for sure, and that something else is sent in its place. */
  readonly refused: () => void;
}

/**
 * Requests to one site, signed in. A read that is refused for its token (498, 499) is repeated once with a new one; nothing else is ever
 * sent twice. Whatever else an answer says is for the caller to judge.
 */
export interface Session extends AsyncDisposable {
  /**
   * Waits until the site, if it has said that it is asked too often, can be asked again by those who can wait.
   *
   * @throws Failure THROTTLED when that is further away than one look may take; whatever ends the signal.
   */
  turn(signal: AbortSignal): Promise<void>;
  /** A GET of a path below the Administrator API's root. Rejects with a Failure or its signal's reason. */
  get(operation: VendorOperation, path: string, subject: RequestSubject, signal: AbortSignal): Promise<Answer>;
  /** A POST of a form. Rejects with a Failure, what a hook threw, or the signal's reason while nothing has left. */
  post(
    path: string,
    form: Readonly<Record<string, string>>,
    subject: RequestSubject,
    hooks: SendHooks,
  ): Promise<Answer>;
}

/** Bounds (ms) the wait for a connection, and every request but a POST. */
const READ_LIMIT_MS = 10_000;

/** Bounds (ms) the wait for the answer of a POST, since a refresh can run at the site before it is answered: no pace is documented. */
export const POST_LIMIT_MS = 30 * 60_000;

/** Bound (bytes) on an answer: a deployment's specification has kilobytes. */
const MAX_BYTES = 8 * 1024 * 1024;

/** How long (minutes) a token is asked for. The site may give less: its answer decides. */
const TOKEN_MINUTES = "60";

type Send = (
  count: { readonly operation: VendorOperation; readonly resultOf: (answer: Answer) => VendorResult },
  options: SendOptions,
  request: Omit<WireRequest, "dispatcher">,
) => Promise<Answer>;

/** Opens a session. Nothing is connected, and nobody signed in, before the first request. */
export function openSession(settings: SiteSettings, runtime: Pick<Runtime, "now"> & CountingRuntime): Session {
  const { name: site, adminUrl, referer, password } = settings;
  const connections = openConnections(settings.ca, READ_LIMIT_MS);
  const common = { referer, accept: "application/json", "user-agent": USER_AGENT };
  const counter: VendorCounter = vendorCounter(runtime, "arcgis", site);
  const pace = paceOf(runtime, JSON.stringify([adminUrl, settings.username]));
  const send: Send = async (count, options, request) => {
    const answer = await sendCounted(
      { ...counter, ...count },
      options,
      async () => ({
        ...request,
        headers: {
          ...common,
          ...(request.body !== undefined && { "content-type": "application/x-www-form-urlencoded" }),
        },
        // A request for a token changes nothing, but should not fail for a connection that was kept too long.
        dispatcher: connections.dispatcher(request.method !== "GET"),
      }),
      (response) => readAnswer(response, MAX_BYTES),
    );
    keepPace(pace, answer, errorOf(answer)?.code);
    return answer;
  };
  const tokens = createTokens({
    site,
    password,
    now: () => runtime.now().getTime(),
    generate: (secret) => generateToken(send, settings, secret),
    gates: {
      password: credentialGate(runtime, JSON.stringify([settings.tokenUrl, settings.username])),
      token: credentialGate(runtime, JSON.stringify([settings.tokenUrl, settings.username, adminUrl])),
    },
  });
  return {
    turn(signal) {
      const sentence = `site ${site}: it has had too many requests of restartd's own user; nothing was asked`;
      return takeTurn(pace, READ_LIMIT_MS, signal, { sentence, metadata: { site, vendor: "arcgis" } });
    },
    get: (operation, path, subject, signal) => get({ send, tokens, operation }, `${adminUrl}/${path}`, subject, signal),
    post: (path, form, subject, hooks) => post(send, tokens, `${adminUrl}/${path}`, form, subject, hooks),
    [Symbol.asyncDispose]: () => connections[Symbol.asyncDispose](),
  };
}

/**
 * What answers count as. An error comes with HTTP 200 here: its own code is taken. A token that has run out (`resource`) is no refused
 * login, since another takes its place; one that was given just now (`login`) is.
 */
const resultAbout =
  (subject: RequestSubject, about: "resource" | "login" | "token") =>
  (answer: Answer): VendorResult => {
    const refused = failureOf(answer, subject, about === "token" ? "token" : "resource")?.reason;
    const isLogin = about !== "resource" || !refusesToken(answer);
    if (refused === "VENDOR_CREDENTIALS_REJECTED" && isLogin) return "credentials";
    const code = errorOf(answer)?.code ?? 0;
    return resultOfStatus(code >= 400 && code < 600 ? code : answer.status);
  };

/** Tells what is known of the credentials what an answer, or that there is none, says of them. */
function reportCredentials({ pass }: HeldToken, answer: Answer | undefined, subject: RequestSubject): void {
  const failure = answer && refusesToken(answer) ? failureOf(answer, subject) : undefined;
  if (failure?.reason === "VENDOR_CREDENTIALS_REJECTED") pass.refused(failure);
  else if (answer !== undefined && answer.status < 500 && isObject(answer.json)) pass.accepted();
  else pass.leave();
}

/** A GET. Its token is in the address, which therefore is never shown. One that is no longer taken is replaced, once. */
async function get(
  { send, tokens, operation }: { send: Send; tokens: Tokens; operation: VendorOperation },
  base: string,
  subject: RequestSubject,
  signal: AbortSignal,
): Promise<Answer> {
  const attempt = async ({ token, pass }: HeldToken, isLast: boolean): Promise<Answer> => {
    const url = new URL(base);
    url.search = new URLSearchParams({ f: "json", token }).toString();
    const options = { changes: false, signal, timeoutMs: READ_LIMIT_MS };
    const resultOf = resultAbout(subject, isLast ? "login" : "resource");
    return send({ operation, resultOf }, options, { url, method: "GET", headers: {} }).catch((error: unknown) => {
      pass.leave();
      signal.throwIfAborted();
      return cannotReach(error, subject);
    });
  };
  const first = await tokens.get(signal);
  const answer = await attempt(first, false);
  if (!refusesToken(answer)) {
    reportCredentials(first, answer, subject);
    return answer;
  }
  tokens.drop(first.token);
  first.pass.leave();
  const second = await tokens.get(signal);
  const last = await attempt(second, true);
  if (refusesToken(last)) tokens.drop(second.token);
  reportCredentials(second, last, subject);
  return last;
}

/** A POST, whose token is in the form (contracts: arcgis §A.1). One that is refused for it is not sent again: it has done nothing. */
async function post(
  send: Send,
  tokens: Tokens,
  url: string,
  form: Readonly<Record<string, string>>,
  subject: RequestSubject,
  { signal, permit }: SendHooks,
): Promise<Answer> {
  const held = await tokens.get(signal);
  try {
    const leaving = await permit();
    const body = new URLSearchParams({ ...form, f: "json", token: held.token }).toString();
    const options = { changes: true, signal, onSend: leaving, timeoutMs: POST_LIMIT_MS };
    const answer = await send({ operation: "refresh", resultOf: resultAbout(subject, "resource") }, options, {
      url: new URL(url),
      method: "POST",
      headers: {},
      body,
    });
    if (refusesToken(answer)) tokens.drop(held.token);
    else reportCredentials(held, answer, subject);
    return answer;
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error; // what `permit` or `leaving` threw
    if (!error.sent) signal.throwIfAborted();
    return cannotReach(error, subject);
  } finally {
    held.pass.leave();
  }
}

async function generateToken(send: Send, { name, tokenUrl, username, referer }: SiteSettings, password: string) {
  const subject = askedOf(name, "a token");
  const body = new URLSearchParams({
    username,
    password,
    client: "referer",
    referer,
    expiration: TOKEN_MINUTES,
    f: "json",
  }).toString();
  const options = { changes: false, signal: AbortSignal.timeout(2 * READ_LIMIT_MS), timeoutMs: READ_LIMIT_MS };
  const request = { url: new URL(tokenUrl), method: "POST", headers: {}, body } as const;
  const counted = { operation: "token", resultOf: resultAbout(subject, "token") } as const;
  return readToken(
    await send(counted, options, request).catch((error: unknown) => cannotReach(error, subject)),
    subject,
  );
}

function readToken(answer: Answer, subject: RequestSubject): Token {
  const failure = failureOf(answer, subject, "token");
  if (failure !== undefined) throw failure;
  const { token, expires: value } = isObject(answer.json) ? answer.json : {};
  const expires = numberOf(value);
  if (typeof token !== "string" || !/^[!-~]+$/.test(token) || expires === undefined) {
    throw unreadable(answer, subject);
  }
  // Both times are the site's, so that its clock is not compared with ours. Without a Date it is taken to live as long as it was asked to.
  const lifeMs = expires - Date.parse(answer.headers.date ?? "");
  return { token, lifeMs: Number.isNaN(lifeMs) ? Number(TOKEN_MINUTES) * 60_000 : lifeMs };
}

/** What a request is about that is about nothing but the site: where nothing is found, its addresses are wrong. */
export const askedOf = (site: string, what: string): RequestSubject => ({
  site,
  what,
  changes: false,
  resource: { type: "arcgis.site", name: `sites/${encodeURIComponent(site)}`, missing: "VENDOR_BAD_RESPONSE" },
});

const cannotReach = (error: unknown, { site, changes }: RequestSubject): never => {
  throw noAnswer(error, { vendor: "arcgis", place: `site ${site}`, changes, metadata: { site } });
};
