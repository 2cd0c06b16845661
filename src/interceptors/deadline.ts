import { Code, ConnectError, type Interceptor, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import { type Call, callKey } from "../core/call.ts";
import { deadlineKey } from "../core/deadline.ts";
import { excerpt, Failure } from "../core/errors.ts";
import { type AbortOptions, follow, orAbort } from "./abort.ts";

/** How long calls may take. */
export interface DeadlineLimits {
  /** Milliseconds for a unary call whose caller set no deadline. */
  readonly defaultMs: number;
  /** Most milliseconds for a unary call: a longer deadline is shortened, never refused. Streams have only the caller's own. */
  readonly maxMs: number;
}

/** What the interceptor needs beside the limits. */
export interface DeadlineOptions extends DeadlineLimits {
  /** Milliseconds that a handler has after its signal fired to say itself how it ended, e.g. that the outcome is unknown. Default 100. */
  readonly graceMs?: number;
  /**
   * Told of a handler that was not waited for any longer, so that shutting down waits for it and the log gets its end. Has to take
   * the rejection of `work`.
   */
  readonly abandoned: (call: Call, work: Promise<unknown>) => void;
  /** What else ends streams. */
  readonly streams: readonly EndsStream[];
}

/** The longest that a timer of Node waits; it takes anything longer for 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds in each unit of gRPC's timeout header. */
const GRPC_UNITS: ReadonlyMap<string, number> = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1000],
  ["m", 1],
  ["u", 1e-3],
  ["n", 1e-6],
]);

/**
 * When a call must be over, on the clock of `now`: the caller's own deadline, shortened to the maximum; without one the default.
 * For a stream the caller's own or Infinity.
 *
 * @throws Failure MALFORMED_REQUEST when the caller's cannot be read.
 */
export function deadlineOf(header: Headers, stream: boolean, limits: DeadlineLimits, now: number): number {
  const requested = timeoutOf(header);
  return (
    now + (stream ? (requested ?? Number.POSITIVE_INFINITY) : Math.min(requested ?? limits.defaultMs, limits.maxMs))
  );
}

function timeoutOf(header: Headers): number | undefined {
  const grpc = /^application\/grpc/i.test(header.get("content-type") ?? "");
  const name = grpc ? "grpc-timeout" : "connect-timeout-ms";
  const value = header.get(name);
  if (value === null) {
    return undefined;
  }
  const [, digits, unit = "m"] = (grpc ? /^(\d{1,8})([HMSmun])$/ : /^(\d{1,10})$/).exec(value) ?? [];
  const factor = GRPC_UNITS.get(unit);
  if (digits === undefined || factor === undefined) {
    const form = grpc ? "at most 8 digits and one of H, M, S, m, u, n" : "milliseconds in at most 10 digits";
    throw new Failure(
      "MALFORMED_REQUEST",
      `header ${name}: must be ${form}: got ${JSON.stringify(excerpt(value, 40))}`,
    );
  }
  return Number(digits) * factor;
}

/** Something else that ends a stream: calls `end` with the reason. Returns how to stop that; undefined when it does not concern the stream. */
export type EndsStream = (req: StreamRequest, end: (reason: Failure) => void) => (() => void) | undefined;

/**
 * Ends every call at its deadline, or when its signal fires, and streams for what else ends them, whatever its handler does: the handler's
 * own signal fires, and after a short grace nobody waits for it any longer. Handlers find the deadline under {@link deadlineKey}.
 */
export const deadline =
  (options: DeadlineOptions): Interceptor =>
  (next) =>
    async function deadline(req) {
      const bounds = boundsOf(req.contextValues.get(callKey), options);
      const { signal, clear } = limit(req, options);
      try {
        const res = await orAbort(req.stream ? next({ ...req, signal }) : next({ ...req, signal }), signal, bounds);
        if (res.stream) {
          return { ...res, message: bounded(res.message, signal, bounds, clear) };
        }
        clear();
        return res;
      } catch (error) {
        clear();
        throw error;
      }
    };

// Whatever a stream keeps until it ends is made by functions of its own: a closure of the interceptor would keep the whole request too.
const boundsOf = (call: Call, { graceMs = 100, abandoned }: DeadlineOptions): AbortOptions => ({
  graceMs,
  abandoned: (work) => abandoned(call, work),
});

/** The signal that ends a call, and what to do when it has ended. */
function limit(
  req: UnaryRequest | StreamRequest,
  options: DeadlineOptions,
): { signal: AbortSignal; clear: () => void } {
  const now = performance.now();
  const at = req.contextValues.get(deadlineKey) ?? deadlineOf(req.header, req.stream, options, now);
  req.contextValues.set(deadlineKey, at);
  if (at <= now) {
    throw new Failure("DEADLINE_EXCEEDED", "the deadline had passed before the call began");
  }
  const controller = new AbortController();
  const links = [follow(controller, req.signal)];
  if (at - now <= MAX_TIMER_MS) links.push(expireAfter(controller, at - now));
  if (req.stream) links.push(...endedBy(req, controller, options.streams));
  return { signal: controller.signal, clear: () => links.forEach((unlink) => void unlink()) };
}

function expireAfter(controller: AbortController, ms: number): () => void {
  const expire = (): void => controller.abort(new ConnectError("the deadline has passed", Code.DeadlineExceeded));
  const timer = setTimeout(expire, ms);
  // A call that is over must not keep the process, were it left in whatever way.
  timer.unref();
  return () => clearTimeout(timer);
}

function endedBy(req: StreamRequest, controller: AbortController, by: readonly EndsStream[]): (() => void)[] {
  const end = (reason: Failure): void => controller.abort(reason);
  const links: (() => void)[] = [];
  for (const link of by) {
    const unlink = link(req, end);
    if (unlink !== undefined) links.push(unlink);
  }
  return links;
}

/**
 * A stream that ends with the reason of `signal`, be it deaf to it or be it so quick to heed it that it forgets to say why it ends. One
 * reader, who waits for one message at a time.
 */
function bounded<T>(
  messages: AsyncIterable<T>,
  signal: AbortSignal,
  { graceMs, abandoned }: AbortOptions,
  clear: () => void,
): AsyncIterableIterator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  let waiting: PromiseWithResolvers<IteratorResult<T>> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let late = false;
  let over = false;
  const onAbort = (): void => {
    if (waiting === undefined) return; // what is to be said may wait for the reader
    timer ??= setTimeout(() => {
      late = true;
      waiting?.reject(signal.reason);
      if (waiting !== undefined) void leave();
    }, graceMs);
  };
  const end = (): void => {
    over = true;
    waiting = undefined;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    clear();
  };
  const leave = async (): Promise<void> => {
    if (over) return;
    const stuck = waiting !== undefined;
    end();
    const left = Promise.resolve(iterator.return?.());
    if (stuck) {
      abandoned(left);
    } else {
      await left;
    }
  };
  const onResult = (result: IteratorResult<T>): void => {
    const waited = waiting;
    waiting = undefined;
    if (result.done === true) end();
    if (result.done === true && signal.aborted) waited?.reject(signal.reason);
    else waited?.resolve(result);
  };
  const onError = (error: unknown): void => {
    // What Node's own functions throw says only that they were aborted, not why.
    waiting?.reject(signal.aborted && error instanceof Error && error.name === "AbortError" ? signal.reason : error);
    end();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next() {
      if (late) return leave().then(() => Promise.reject(signal.reason));
      if (over) return Promise.resolve({ done: true, value: undefined });
      waiting = Promise.withResolvers();
      const { promise } = waiting;
      if (signal.aborted) onAbort();
      try {
        iterator.next().then(onResult, onError);
      } catch (error) {
        onError(error);
      }
      return promise;
    },
    async return() {
      await leave();
      return { done: true, value: undefined };
    },
  };
}
