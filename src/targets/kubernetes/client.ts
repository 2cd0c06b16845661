import { type Dispatcher, request } from "undici";
import type { Connection, Credentials } from "./credentials.ts";

/** What an API server answered, whole. */
export interface Answer {
  readonly status: number;
  /** The body when it is JSON, else undefined. */
  readonly json: unknown;
  /** The body as text, at most its first {@link TEXT_LIMIT} characters. For recognising, never for showing. */
  readonly text: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A request that got no whole answer. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
  /** Whether a byte of the request can have left. When not, surely nothing happened. */
  readonly sent: boolean;
  constructor(sent: boolean, cause: unknown) {
    super(sent ? "the connection ended before the answer was whole" : "the request could not be sent", { cause });
    this.sent = sent;
  }
}

/** One request to an API server. */
export interface Request {
  readonly method: "GET" | "PATCH";
  /** Path, made of segments that cannot change it. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON, with `contentType`. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Ends the request. One that changes something is ended only while none of its bytes can have left: from then on it goes on to
   * its answer, whoever has stopped waiting for it.
   */
  readonly signal: AbortSignal;
  /** Called once, immediately before the first byte can leave. What it throws is thrown, and nothing is sent. */
  readonly onSend?: () => void;
  /** Bounds (ms) the wait for credentials and a connection, then for the answer's head, and then each wait for more of its body. */
  readonly timeoutMs: number;
  /** Bound (bytes) on the answer's body. */
  readonly maxBytes?: number;
}

/** Raw requests to one cluster: no redirect is followed and nothing is sent twice. */
export interface Client extends AsyncDisposable {
  /** Rejects with {@link NoAnswer} or what `onSend` threw, never because of a status. */
  request(request: Request): Promise<Answer>;
  /**
   * Opens a watch: the lines of its body as they come, or the answer that refuses it. Rejects with {@link NoAnswer}; the lines may
   * end in any error. Ending their iterator, or the signal, closes the stream at once.
   */
  watch(request: Omit<Request, "onSend" | "maxBytes">): Promise<Answer | AsyncIterable<string>>;
}

/** How much of an answer's text is kept to recognise it by: client-go keeps as much. */
const TEXT_LIMIT = 2_048;

/** Default bound on a body: an object is at most 3 MB, a page of 500 workloads some ten. */
const MAX_BYTES = 64 * 1024 * 1024;

/** How late (ms) undici's own timers can be: over HTTP/1.1 it looks at the clock twice a second. */
const TIMER_SLACK_MS = 2_000;

/** Bound (characters) on a line of a watch, which holds one object. */
const MAX_LINE = 16 * 1024 * 1024;

/** How far a request has come. */
interface Progress {
  /** Whether a byte of it can have left. */
  sent: boolean;
  /** Why it must not be sent any more. */
  held: unknown;
  /** What `onSend` threw. */
  veto: unknown;
}

/** Opens a cluster's raw client. `userAgent` names the process in the API server's log. */
export function createClient(credentials: Credentials, userAgent: string): Client {
  const dispatch = async (options: Request, progress: Progress): Promise<Answered> => {
    const connection = await credentials.connection();
    const url = new URL(connection.server.replace(/\/$/, "") + options.path);
    for (const [key, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) {
        url.searchParams.set(key, value);
      }
    }
    const response = await request(url, {
      method: options.method,
      dispatcher: connection.dispatcher.compose(sendOnce(options, progress)),
      headers: {
        ...connection.headers,
        accept: "application/json",
        "user-agent": userAgent,
        ...(options.body === undefined ? {} : { "content-type": options.contentType ?? "application/json" }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      headersTimeout: options.timeoutMs,
      bodyTimeout: options.timeoutMs,
      ...(options.method === "GET" && { signal: options.signal }),
    });
    return { connection, response };
  };
  const answer = async (
    { maxBytes = MAX_BYTES }: Pick<Request, "maxBytes">,
    { connection, response }: Answered,
  ): Promise<Answer> => {
    if (response.statusCode === 401) {
      credentials.rejected(connection);
    }
    const body = await readBody(response.body, maxBytes);
    const headers = Object.fromEntries(
      Object.entries(response.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(", ") : (value ?? ""),
      ]),
    );
    return { status: response.statusCode, headers, json: parseJson(body), text: body.slice(0, TEXT_LIMIT) };
  };
  const run = async <Result>(
    options: Request,
    judge: (answered: Answered) => Result | Promise<Result>,
  ): Promise<Result> => {
    const progress: Progress = { sent: false, held: undefined, veto: undefined };
    try {
      return await judge(await untilHead(options, progress, () => dispatch(options, progress)));
    } catch (error) {
      throw error === progress.veto ? error : new NoAnswer(progress.sent, error);
    }
  };
  return {
    request: (options) => run(options, (answered) => answer(options, answered)),
    watch: (options) =>
      run<Answer | AsyncIterable<string>>(options, (answered) =>
        answered.response.statusCode === 200 ? lines(answered.response.body) : answer({}, answered),
      ),
    [Symbol.asyncDispose]: () => credentials[Symbol.asyncDispose](),
  };
}

interface Answered {
  readonly connection: Connection;
  readonly response: Dispatcher.ResponseData;
}

/** Notes when the request's bytes can leave, and holds back a second time: undici sends again what a closing connection refused. */
function sendOnce(options: Request, progress: Progress): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (dispatchOptions, handler) =>
    dispatch(dispatchOptions, {
      // What it throws ends this request alone. An abort would end an HTTP/1.1 connection with it.
      onRequestStart(controller, context) {
        if (progress.held !== undefined) {
          throw progress.held;
        }
        if (options.method !== "GET" && progress.sent) {
          throw new Error("the connection closed while the request was on its way; it is not sent again");
        }
        try {
          options.onSend?.();
        } catch (error) {
          progress.veto = error;
          throw error;
        }
        progress.sent = true;
        handler.onRequestStart?.(controller, context);
      },
      onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
      onResponseStart: (...args) => handler.onResponseStart?.(...args),
      onResponseData: (...args) => handler.onResponseData?.(...args),
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    });
}

/**
 * Settles like the work, but while none of its bytes can have left not after the signal, nor after the time limit: undici looks at a
 * signal only once there is a connection, and lets one request after another wait for a server that does not answer. What it takes
 * back from a connection that is closing, to send it over another, it forgets the time limit of: that is why there are two.
 */
async function untilHead<Result>(
  { signal, timeoutMs }: Request,
  progress: Progress,
  work: () => Promise<Result>,
): Promise<Result> {
  signal.throwIfAborted();
  const { promise: heldBack, reject } = Promise.withResolvers<never>();
  const holdBack = (reason: unknown) => {
    progress.held = reason;
    reject(reason);
  };
  const onAbort = () => progress.sent || holdBack(signal.reason);
  const late = (what: string) => new Error(`there was no ${what} within ${timeoutMs} ms`);
  const timers = [
    setTimeout(() => progress.sent || holdBack(late("connection")), timeoutMs),
    setTimeout(() => holdBack(late("answer")), 2 * timeoutMs + TIMER_SLACK_MS),
  ];
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work(), heldBack]);
  } finally {
    timers.forEach(clearTimeout);
    signal.removeEventListener("abort", onAbort);
  }
}

async function readBody(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > maxBytes) {
      throw new Error(`the answer is larger than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not JSON: whoever asked for the answer decides what that means
  }
}
