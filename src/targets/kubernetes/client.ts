import { isDeepStrictEqual } from "node:util";
import { resultOfStatus, sendCounted, type VendorCounter, vendorCounter } from "../../clouds/counted.ts";
import { type Answer, readAnswer, type SendOptions } from "../../clouds/http.ts";
import { Failure } from "../../core/errors.ts";
import type { VendorResult } from "../../core/meter.ts";
import type { Connection, Credentials } from "./cluster/credentials.ts";
import { isHeaderValue } from "./cluster/header-value.ts";
import type { ServerClock } from "./cluster/server-clock.ts";

/** In whose name a request is made. */
export interface As {
  readonly user: string;
  readonly groups: readonly string[];
}

/** One request to an API server. */
export interface Request extends Omit<SendOptions, "changes"> {
  readonly method: "GET" | "PATCH";
  /** Path, made of segments that cannot change it. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON, with `contentType`. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: restartd's own account, or whom its kubeconfig acts as. */
  readonly as?: As;
  /** Bound (bytes) on the answer's body. */
  readonly maxBytes?: number;
  /** What metrics call it. Default by the method: `get`, `patch`. */
  readonly operation?: Exclude<VendorOperation, "watch">;
}

/** What is asked of API servers, as metrics call it. */
export const VENDOR_OPERATIONS = ["patch", "get", "list", "watch", "discover", "version"] as const;

type VendorOperation = (typeof VENDOR_OPERATIONS)[number];

/** Raw requests to one cluster: no redirect is followed and nothing is sent twice. */
export interface Client extends AsyncDisposable {
  /** In whose name every request is made; undefined: each says it by itself. */
  readonly as?: As;
  /** Rejects with NoAnswer or what `onSend` threw, never because of a status. */
  request(request: Request): Promise<Answer>;
  /**
   * Opens a watch: the lines of its body as they come, or the answer that refuses it. Rejects with NoAnswer; the lines may
   * end in any error. Ending their iterator, or the signal, closes the stream at once.
   */
  watch(request: Omit<Request, "onSend" | "maxBytes">): Promise<Answer | AsyncIterable<string>>;
}

/** Default bound on a body: an object is at most 3 MB, a page of 500 workloads some ten. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Bound (characters) on a line of a watch, which holds one object. */
const MAX_LINE = 16 * 1024 * 1024;

/** What is shorter (characters) is a word of a test, and no token. */
const MIN_SECRET = 16;

type Response = Parameters<typeof readAnswer>[0];

/**
 * Opens a cluster's raw client.
 *
 * @param userAgent names the process in the API server's log.
 * @param clock learns from the answers.
 * @param counter counts the requests. Default: nobody does.
 */
export function createClient(
  credentials: Credentials,
  userAgent: string,
  clock: ServerClock,
  counter: VendorCounter = vendorCounter({ monotonic: () => 0 }, "kubernetes", ""),
): Client {
  const run = <Result extends Answer | AsyncIterable<string>>(
    operation: VendorOperation,
    options: Request,
    readResponse: (response: Response, connection: Connection) => Promise<Result>,
  ): Promise<Result> => {
    let connection: Connection;
    let sent = clock.moment();
    const onSend = (): void => {
      options.onSend?.();
      sent = clock.moment();
    };
    return sendCounted<Result>(
      { ...counter, operation, resultOf },
      { ...options, onSend, changes: options.method !== "GET" },
      async () => {
        connection = await credentials.connection();
        return {
          url: urlOf(connection.server, options),
          method: options.method,
          dispatcher: connection.dispatcher,
          headers: headersOf(connection, options, userAgent),
          body: options.body === undefined ? undefined : JSON.stringify(options.body),
        };
      },
      (response) => {
        if (isOfServer(response)) {
          clock.learn(response.headers.date?.toString(), sent);
        }
        return readResponse(response, connection);
      },
    );
  };
  // undici ends no stream of a connection that its server has said GOAWAY on.
  const closed = new AbortController();
  const answer = (maxBytes: number) => async (response: Response, connection: Connection) => {
    if (response.statusCode === 401) {
      credentials.rejected(connection);
    }
    const whole = await readAnswer(response, maxBytes);
    return whole.status < 300 ? whole : concealed(whole, connection);
  };
  return {
    request: (options) =>
      run(
        options.operation ?? (options.method === "GET" ? "get" : "patch"),
        options,
        answer(options.maxBytes ?? MAX_BYTES),
      ),
    watch: (options) => {
      const signal = AbortSignal.any([options.signal, closed.signal]);
      return run<Answer | AsyncIterable<string>>("watch", { ...options, signal }, async (response, connection) =>
        response.statusCode === 200 ? lines(response.body) : answer(MAX_BYTES)(response, connection),
      );
    },
    async [Symbol.asyncDispose]() {
      closed.abort(new Error("the cluster is closed"));
      await credentials[Symbol.asyncDispose]();
    },
  };
}

/** A header, or the lines that it is. */
type Header = [name: string, value: string | string[]];

function headersOf(connection: Connection, { as, body, contentType, headers }: Request, userAgent: string) {
  const all: Header[] = Object.entries(connection.headers);
  all.push(["accept", "application/json"], ["user-agent", userAgent]);
  if (body !== undefined) all.push(["content-type", contentType ?? "application/json"]);
  all.push(...Object.entries(headers ?? {}));
  if (as !== undefined) all.push(["Impersonate-User", as.user]);
  if (as !== undefined && as.groups.length > 0) all.push(["Impersonate-Group", [...as.groups]]);
  if (as !== undefined) requireNamed(all, as, connection);
  return Object.fromEntries(all);
}

/**
 * Makes sure that a request says in whose name it is made, and once: API servers take one that does not for their client's own, and of
 * two names the first. A list of groups has to go by HTTP/1.1: over HTTP/2 undici makes one group of it.
 *
 * @throws Failure INTERNAL: nothing is sent.
 */
function requireNamed(headers: readonly Header[], { user, groups }: As, { http1 }: Connection): void {
  const impersonation = headers
    .filter(([name]) => /^impersonate-/i.test(name))
    .map(([name, value]) => [name.toLowerCase(), value]);
  const wanted = [["impersonate-user", user], ...(groups.length > 0 ? [["impersonate-group", groups]] : [])];
  const sound = [user, ...groups].every(isHeaderValue) && (http1 || groups.length < 2);
  if (!sound || !isDeepStrictEqual(impersonation, wanted)) {
    const cause = new Error("a request would not have been made in its caller's name");
    throw new Failure("INTERNAL", "internal error", { cause });
  }
}

/** What an answer, or a watch that began, counts as. */
function resultOf(answer: Answer | AsyncIterable<string>): VendorResult {
  if (!("status" in answer)) return "2xx";
  return answer.status === 401 ? "credentials" : resultOfStatus(answer.status);
}

/** Whether an answer is surely the API server's: whatever is in front of it has a clock of its own. */
const isOfServer = ({ statusCode, headers }: Response): boolean =>
  statusCode < 300 && /^application\/json\b/i.test(String(headers["content-type"]));

/** An error without our own credentials, should something before the API server quote them: its text goes into the log. */
function concealed(answer: Answer, { headers }: Connection): Answer {
  const [, authorization = ""] = Object.entries(headers).find(([name]) => /^authorization$/i.test(name)) ?? [];
  const secret = String(authorization).replace(/^\S+ /, "");
  const text = JSON.stringify(answer);
  return secret.length >= MIN_SECRET && text.includes(secret)
    ? JSON.parse(text.replaceAll(secret, "[concealed]"))
    : answer;
}

function urlOf(server: string, { path, query = {} }: Request): URL {
  const url = new URL(server.replace(/\/$/, "") + path);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) {
      url.searchParams.set(key, value);
    }
  }
  return url;
}

async function* lines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const parts = decoder.decode(chunk, { stream: true }).split("\n");
    parts[0] = rest + parts[0];
    rest = parts.pop() ?? "";
    if (rest.length > MAX_LINE) {
      throw new Error(`a line of the watch is longer than ${MAX_LINE} characters`);
    }
    yield* parts.filter((line) => line !== "");
  }
}
