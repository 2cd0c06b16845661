import type { IncomingMessage } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { Code, ConnectError, type ContextKey, createContextKey } from "@connectrpc/connect";
import { onAbort } from "../core/on-abort.ts";
import { shuttingDown } from "./shutdown.ts";

/** Why a call ends whose caller is gone. Nobody reads it but the log. */
export const CLIENT_GONE = new ConnectError("the client went away", Code.Canceled);

/** The text of a request that is one message in JSON, once it has arrived; undefined for every other. */
export const jsonKey: ContextKey<(() => string | undefined) | undefined> = createContextKey<
  (() => string | undefined) | undefined
>(undefined, { description: "text of a request in JSON" });

/** The body of a request, as it arrives. */
export interface RequestBody {
  /**
   * Its bytes, for one reader. Rejects with a ConnectError: DEADLINE_EXCEEDED when they have not arrived in time, UNAVAILABLE when the
   * server drains meanwhile, CANCELED when the client has gone.
   */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** To be called when the call is over, read or not: nothing is left of it then, no timer either. */
  close(): void;
}

/** When a body must have arrived. */
export interface BodyLimits {
  /** On the clock of `performance.now()`; Infinity when that does not matter. */
  readonly until: number;
  /** Fires when the server begins to drain. */
  readonly draining: AbortSignal;
  /** From then on, so many milliseconds are left; undefined when that does not matter. */
  readonly drainingMs: number | undefined;
}

const late = (): ConnectError =>
  new ConnectError("the body of the request did not arrive in time", Code.DeadlineExceeded);

/** Why a call ends whose body has not arrived while the server drains. */
const draining = (): ConnectError => {
  const failure = shuttingDown();
  return new ConnectError(failure.message, failure.code, undefined, undefined, failure);
};

const EVENTS = ["readable", "end", "close", "error", "aborted"] as const;

/**
 * Opens the body of a request.
 *
 * Reading it through Node's own iterator would destroy the request, and with HTTP/1.1 the connection, as soon as somebody stops
 * reading, so that no answer could say why.
 */
export function openBody(request: IncomingMessage | ServerHttp2Stream, limits: BodyLimits): RequestBody {
  let wake = Promise.withResolvers<void>();
  let expired: ConnectError | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  const onEvent = (): void => wake.resolve();
  const expireAfter = (ms: number, error: () => ConnectError): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      expired = error();
      wake.resolve();
    }, ms);
  };
  const hurry = (): void => {
    const left = limits.until - performance.now();
    if (limits.drainingMs !== undefined && limits.drainingMs < left) expireAfter(limits.drainingMs, draining);
  };
  if (Number.isFinite(limits.until)) expireAfter(Math.max(0, limits.until - performance.now()), late);
  const off = onAbort(limits.draining, hurry);
  if (limits.draining.aborted) hurry();
  for (const event of EVENTS) {
    request.on(event, onEvent);
  }

  return {
    bytes: read(),
    close() {
      if (closed) return; // to take a listener away twice would stop what flows since
      closed = true;
      clearTimeout(timer);
      off();
      for (const event of EVENTS) {
        request.off(event, onEvent);
      }
      expired ??= CLIENT_GONE;
      wake.resolve();
    },
  };

  async function* read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk: Buffer | null = request.read();
      if (chunk !== null) {
        yield chunk;
      } else if (request.aborted || request.errored) {
        throw CLIENT_GONE;
      } else if (request.readableEnded) {
        return;
      } else if (expired !== undefined) {
        throw expired;
      } else if (request.destroyed) {
        throw CLIENT_GONE;
      } else {
        await wake.promise;
        wake = Promise.withResolvers();
      }
    }
  }
}
