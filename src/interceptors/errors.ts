import { ConnectError, type Interceptor } from "@connectrpc/connect";
import { type Call, callKey, fail, newCall } from "../core/call.ts";
import { toRequestFailure } from "../core/errors.ts";

/**
 * Turns everything that is thrown, by handlers, streams and other interceptors, into the one form of our failures, and keeps the
 * failure in the {@link Call}.
 *
 * @param newId makes the id of a call that no server made one for.
 */
export const errors =
  (newId: () => string): Interceptor =>
  (next) =>
    async function errors(req) {
      let call = req.contextValues.get(callKey);
      if (call.id === "") {
        call = newCall(newId());
        req.contextValues.set(callKey, call);
      }
      call.received = true;
      try {
        // Whoever took the request back while it was being read wants nothing begun.
        req.signal.throwIfAborted();
        if (!req.stream) {
          return await next(req);
        }
        const res = await next({ ...req, message: requests(req.message) });
        return res.stream ? { ...res, message: responses(res.message, call) } : res;
      } catch (error) {
        throw fail(call, error);
      }
    };

/** A stream's requests: what connect cannot read of them is the caller's doing, though the call has long begun. */
async function* requests<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw error instanceof ConnectError ? toRequestFailure(error) : error;
  }
}

function responses<T>(messages: AsyncIterable<T>, call: Call): AsyncIterableIterator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        return await iterator.next();
      } catch (error) {
        throw fail(call, error);
      }
    },
    async return() {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}
