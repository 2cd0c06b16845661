import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { Code, ConnectError, type ContextKey, createContextKey } from "@connectrpc/connect";

/** Why a call ends whose caller is gone. Nobody reads it but the log. */
export const CLIENT_GONE = new ConnectError("the client went away", Code.Canceled);

/** The text of a request that is one message in JSON, once it has arrived; undefined for every other. */
export const jsonKey: ContextKey<(() => string | undefined) | undefined> = createContextKey<
  (() => string | undefined) | undefined
>(undefined, { description: "text of a request in JSON" });

/**
 * The bytes of a request's body.
 *
 * Reading it through Node's own iterator would destroy the request, and with HTTP/1.1 the connection, as soon as somebody stops
 * reading, so that no answer could say why.
 *
 * @param until when all of it must have arrived, on the clock of `performance.now()`; Infinity when that does not matter.
 * @throws ConnectError DEADLINE_EXCEEDED when it has not arrived by then, CANCELED when the client has gone.
 */
export async function* requestBody(
  request: IncomingMessage | Http2ServerRequest,
  until: number,
): AsyncGenerator<Uint8Array> {
  let wake = Promise.withResolvers<void>();
  let late = false;
  const onEvent = (): void => wake.resolve();
  const onTimeout = (): void => {
    late = true;
    wake.resolve();
  };
  const timer = Number.isFinite(until) ? setTimeout(onTimeout, Math.max(0, until - performance.now())) : undefined;
  const events = ["readable", "end", "close", "error", "aborted"] as const;
  for (const event of events) {
    request.on(event, onEvent);
  }
  try {
    for (;;) {
      const chunk: Buffer | null = request.read();
      if (chunk !== null) {
        yield chunk;
      } else if (late) {
        throw new ConnectError("the body of the request did not arrive in time", Code.DeadlineExceeded);
      } else if (request.aborted || request.errored) {
        throw CLIENT_GONE;
      } else if (request.readableEnded) {
        return;
      } else if (request.destroyed) {
        throw CLIENT_GONE;
      } else {
        await wake.promise;
        wake = Promise.withResolvers();
      }
    }
  } finally {
    clearTimeout(timer);
    for (const event of events) {
      request.off(event, onEvent);
    }
  }
}
