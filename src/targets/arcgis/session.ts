import { type Answer, NoAnswer, openConnections, readAnswer, sendOnce, type WireRequest } from "../../clouds/http.ts";
import { noAnswer } from "../../clouds/vendor.ts";
import type { Runtime } from "../../core/target.ts";
import { USER_AGENT } from "../../core/version.ts";
import type { SiteSettings } from "./config.ts";
import { failureOf, type RequestSubject, refusesToken, unreadable } from "./errors.ts";
import { createTokens, type Token, type Tokens } from "./token.ts";
import { isObject, numberOf } from "./values.ts";

/** What a request that changes something is sent by. */
export interface SendHooks {
  /** Ends it while nothing has left. */
  readonly signal: AbortSignal;
  /** Asks for the right to send; what it gives is called immediately before the first byte leaves. Once for each time it is sent. */
  readonly permit: () => Promise<() => void>;
  /** Told that what was sent was refused for sure, for its token: it is sent once more. */
  readonly refused: () => void;
}

/**
 * Requests to one site, signed in. One that is refused for its token (498, 499), which proves that it did nothing, is repeated once
 * with a new token; nothing else is ever sent twice. Whatever else an answer says is for the caller to judge.
 */
export interface Session extends AsyncDisposable {
  /** A GET of a path below the Administrator API's root. Rejects with a Failure or its signal's reason. */
  get(path: string, asked: RequestSubject, signal: AbortSignal): Promise<Answer>;
  /** A POST of a form. Rejects with a Failure, what a hook threw, or the signal's reason while nothing has left. */
  post(path: string, form: Readonly<Record<string, string>>, asked: RequestSubject, hooks: SendHooks): Promise<Answer>;
}

/** Bounds (ms) the wait for a connection, and every request but a POST. */
const READ_LIMIT_MS = 10_000;

/** Bounds (ms) the wait for the answer of a POST, since a refresh can run at the site before it is answered: no pace is documented. */
export const POST_LIMIT_MS = 30 * 60_000;

/** Bound (bytes) on an answer: a deployment's specification has kilobytes. */
const MAX_BYTES = 8 * 1024 * 1024;

/** How long (minutes) a token is asked for. The site may give less: its answer decides. */
const TOKEN_MINUTES = "60";

type Send = (options: Parameters<typeof sendOnce>[0], request: Omit<WireRequest, "dispatcher">) => Promise<Answer>;

/** Opens a session. Nothing is connected, and nobody signed in, before the first request. */
export function openSession(settings: SiteSettings, { now }: Pick<Runtime, "now">): Session {
  const { name: site, adminUrl, referer, password } = settings;
  const connections = openConnections(settings.ca, READ_LIMIT_MS);
  const common = { referer, accept: "application/json", "user-agent": USER_AGENT };
  const send: Send = (options, request) =>
    sendOnce(
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
  const tokens = createTokens({
    site,
    password,
    now: () => now().getTime(),
    generate: (secret) => generateToken(send, settings, secret),
  });
  return {
    get: (path, asked, signal) => get(send, tokens, `${adminUrl}/${path}`, asked, signal),
    post: (path, form, asked, hooks) => post(send, tokens, `${adminUrl}/${path}`, form, asked, hooks),
    [Symbol.asyncDispose]: () => connections[Symbol.asyncDispose](),
  };
}

/** A GET. Its token is in the address, which therefore is never shown. */
async function get(
  send: Send,
  tokens: Tokens,
  base: string,
  asked: RequestSubject,
  signal: AbortSignal,
): Promise<Answer> {
  const attempt = (token: string): Promise<Answer> => {
    const url = new URL(base);
    url.search = new URLSearchParams({ f: "json", token }).toString();
    const options = { changes: false, signal, timeoutMs: READ_LIMIT_MS };
    return send(options, { url, method: "GET", headers: {} }).catch((error: unknown) => {
      signal.throwIfAborted();
      return cannotReach(error, asked);
    });
  };
  const token = await tokens.get(signal);
  const answer = await attempt(token);
  if (!refusesToken(answer)) return answer;
  tokens.drop(token);
  return attempt(await tokens.get(signal));
}

/** A POST, whose token is in the form (contracts: arcgis §A.1). */
async function post(
  send: Send,
  tokens: Tokens,
  url: string,
  form: Readonly<Record<string, string>>,
  asked: RequestSubject,
  { signal, permit, refused }: SendHooks,
): Promise<Answer> {
  const attempt = async (token: string): Promise<Answer> => {
    const leaving = await permit();
    const body = new URLSearchParams({ ...form, f: "json", token }).toString();
    const options = { changes: true, signal, onSend: leaving, timeoutMs: POST_LIMIT_MS };
    return send(options, { url: new URL(url), method: "POST", headers: {}, body }).catch((error: unknown) => {
      if (!(error instanceof NoAnswer)) throw error; // what `leaving` threw
      if (!error.sent) signal.throwIfAborted();
      return cannotReach(error, asked);
    });
  };
  const token = await tokens.get(signal);
  const answer = await attempt(token);
  if (!refusesToken(answer)) return answer;
  refused();
  tokens.drop(token);
  // Who left meanwhile gets no permit. It says, unlike this signal, that nothing was done.
  return attempt(await tokens.get(new AbortController().signal));
}

async function generateToken(send: Send, { name, tokenUrl, username, referer }: SiteSettings, password: string) {
  const asked = askedOf(name, "a token");
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
  return readToken(await send(options, request).catch((error: unknown) => cannotReach(error, asked)), asked);
}

function readToken(answer: Answer, asked: RequestSubject): Token {
  const failure = failureOf(answer, asked, "token");
  if (failure !== undefined) throw failure;
  const { token, expires: said } = isObject(answer.json) ? answer.json : {};
  const expires = numberOf(said);
  if (typeof token !== "string" || !/^[!-~]+$/.test(token) || expires === undefined) {
    throw unreadable(answer, asked);
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
