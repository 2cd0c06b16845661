import { Agent, type Dispatcher, request } from "undici";

/** What a system answered, whole. */
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

/** The cause of a NoAnswer to a request that was answered: with more than is read. */
export class AnswerTooLarge extends Error {
  /** HTTP status. */
  readonly status: number;
  constructor(status: number, maxBytes: number) {
    super(`the answer is larger than ${maxBytes} bytes`);
    this.status = status;
  }
}

/** The cause of a NoAnswer to a request that took too long, as far as undici's own limits do not say so. */
export class TooLate extends Error {}

/** How a request may be sent, whatever it says. */
export interface SendOptions {
  /**
   * Whether it may change something. Then it is ended only while none of its bytes can have left, goes on to its answer from then on,
   * whoever has stopped waiting for it, and never leaves a second time.
   */
  readonly changes: boolean;
  /** Ends the request. */
  readonly signal: AbortSignal;
  /** Called once, immediately before the first byte can leave. What it throws is thrown, and nothing is sent. */
  readonly onSend?: (() => void) | undefined;
  /** Bounds (ms) the wait for credentials and a connection, then for the answer's head, and then each wait for more of its body. */
  readonly timeoutMs: number;
}

/** A request as it is written to a connection. */
export interface WireRequest {
  readonly url: URL;
  readonly method: "GET" | "PATCH" | "POST" | "PUT";
  /** A list is a header that stands several times: over HTTP/1.1 alone. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array | undefined;
  /** The connections to its host. */
  readonly dispatcher: Dispatcher;
}

/** The connections to the hosts of one vendor account. Nothing is connected before the first request. */
export interface Connections extends AsyncDisposable {
  /**
   * What a request goes over. One that changes something gets a connection of its own: over one that was kept, it can meet the
   * server's end of it, and nobody knows then whether it was executed.
   */
  readonly dispatcher: (changes: boolean) => Dispatcher;
}

/**
 * Opens connections by HTTP/1.1.
 *
 * @param ca PEM of the authorities that certificates are judged by. Default those that Node.js brings.
 * @param connectTimeoutMs bounds the wait for a connection.
 */
export function openConnections(ca: string | undefined, connectTimeoutMs: number): Connections {
  const connect = { timeout: connectTimeoutMs, ...(ca !== undefined && { ca }) };
  const common = { allowH2: false, maxHeaderSize: MAX_HEAD_BYTES, connect };
  const kept = new Agent(common);
  const fresh = new Agent({ ...common, pipelining: 0 });
  return {
    dispatcher: (changes) => (changes ? fresh : kept),
    async [Symbol.asyncDispose]() {
      await Promise.all([kept.destroy(), fresh.destroy()]);
    },
  };
}

/** Bound (bytes) on an answer's head. undici's own is 16 kB, and one token of IAM in it can have more. */
const MAX_HEAD_BYTES = 256 * 1024;

/** How much of an answer's text is kept to recognise it by: client-go keeps as much. */
const TEXT_LIMIT = 2_048;

/** How late (ms) undici's own timers can be: over HTTP/1.1 it looks at the clock twice a second. */
const TIMER_SLACK_MS = 2_000;

/** How far a request has come. */
interface Progress {
  /** Whether a byte of it can have left. */
  sent: boolean;
  /** Why it must not be sent any more. */
  held: unknown;
  /** What `onSend` threw. */
  veto: unknown;
}

/**
 * Sends one request, at most once, and follows no redirect.
 *
 * @param prepare makes the request: what it throws is a request that did not leave. It is within the time limit.
 * @param readResponse makes of the answer's head, and its body, the result; whatever it throws is a NoAnswer of a request that left.
 * @throws NoAnswer or what `onSend` threw, never because of a status.
 */
export async function sendOnce<Result>(
  options: SendOptions,
  prepare: () => Promise<WireRequest>,
  readResponse: (response: Dispatcher.ResponseData) => Result | Promise<Result>,
): Promise<Result> {
  const progress: Progress = { sent: false, held: undefined, veto: undefined };
  const dispatch = async (): Promise<Dispatcher.ResponseData> => {
    const { url, dispatcher, method, headers, body } = await prepare();
    return request(url, {
      method,
      dispatcher: dispatcher.compose(guard(options, progress)),
      headers,
      ...(body === undefined ? {} : { body }),
      headersTimeout: options.timeoutMs,
      bodyTimeout: options.timeoutMs,
      ...(!options.changes && { signal: options.signal }),
    });
  };
  try {
    return await readResponse(await untilHead(options, progress, dispatch));
  } catch (error) {
    throw error === progress.veto ? error : new NoAnswer(progress.sent, error);
  }
}

/**
 * Reads the whole of an answer.
 *
 * @param maxBytes bounds its body.
 * @throws AnswerTooLarge when there is more.
 */
export async function readAnswer(response: Dispatcher.ResponseData, maxBytes: number): Promise<Answer> {
  const body = await readBody(response, maxBytes);
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
  return { status: response.statusCode, headers, json: parseJson(body), text: body.slice(0, TEXT_LIMIT) };
}

/** Notes when the request's bytes can leave, and holds back a second time: undici sends again what a closing connection refused. */
function guard(options: SendOptions, progress: Progress): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (dispatchOptions, handler) =>
    dispatch(dispatchOptions, {
      // What it throws ends this request alone. An abort would end an HTTP/1.1 connection with it.
      onRequestStart(controller, context) {
        if (progress.held !== undefined) {
          throw progress.held;
        }
        if (options.changes && progress.sent) {
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
  { signal, timeoutMs }: SendOptions,
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
  const late = (what: string) => new TooLate(`there was no ${what} within ${timeoutMs} ms`);
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

async function readBody({ body, statusCode }: Dispatcher.ResponseData, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > maxBytes) {
      throw new AnswerTooLarge(statusCode, maxBytes);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** An escape in JSON: a pair of surrogates, one alone, any other. */
const ESCAPE =
  /\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u([dD][89a-fA-F][\da-fA-F]{2})|\\u[\da-fA-F]{4}|\\./g;

/** What escapes of surrogates look like: most texts have none, and are not looked through further. */
const HALVES = /\\u[dD][89a-fA-F]/;

/** Half of a character, which JSON can carry and neither protobuf nor a database can, becomes the character that stands for it. */
function parseJson(text: string): unknown {
  try {
    const whole = (found: string, alone?: string): string => (alone === undefined ? found : "\\ufffd");
    const bare = text.replace(/^\ufeff/, ""); // Windows' servers put a byte order mark before a text
    return JSON.parse(HALVES.test(bare) ? bare.replace(ESCAPE, whole) : bare);
  } catch {
    return undefined; // not JSON: whoever asked for the answer decides what that means
  }
}
