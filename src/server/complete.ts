import type { Validator } from "@bufbuild/protovalidate";
import { ConnectError, type HandlerContext } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { callKey, fail } from "../core/call.ts";
import { toFailure } from "../core/errors.ts";
import { failureOfJson } from "../interceptors/validate.ts";
import { CLIENT_GONE, jsonKey } from "./body.ts";

/**
 * Gives our form to the failures that connect makes by itself: of a body that it cannot read, of an answer that it cannot serialise.
 * Interceptors never see these.
 *
 * In all protocols connect aborts the context of a call with the very error that it is about to write down, and does so before it
 * writes: what is changed of the error then is written. The types do not show that contexts can be aborted, though each can. To be
 * used as connect's requestGate; a test holds it for every protocol and every failure.
 */
export const completeErrors =
  (validator: Validator) =>
  (context: HandlerContext): void => {
    if (!isAbortable(context)) {
      throw new TypeError("connect has changed: a context cannot be aborted");
    }
    const { abort, values } = context;
    context.abort = (reason) => {
      if (reason instanceof ConnectError && reason !== CLIENT_GONE && !hasErrorInfo(reason)) {
        const call = values.get(callKey);
        const first = toFailure(copyOf(reason), call);
        const text = first.reason === "INVALID_ARGUMENT" ? values.get(jsonKey)?.() : undefined;
        const all = text === undefined ? undefined : failureOfJson(validator, context.method, text);
        const { message, rawMessage, code, details } = fail(call, all ?? first);
        Object.assign(reason, { message, rawMessage, code, details });
      }
      abort(reason ?? OVER);
    };
  };

/** Why the signal of a call fires that has ended well: as it would by itself, but made once, and not for each call. */
const OVER = new DOMException("This operation was aborted", "AbortError");

interface Abortable {
  abort: (reason?: unknown) => void;
}

const isAbortable = (context: HandlerContext): context is HandlerContext & Abortable =>
  "abort" in context && typeof context.abort === "function";

const hasErrorInfo = (error: ConnectError): boolean =>
  error.details.some((detail) => "desc" in detail && detail.desc.typeName === ErrorInfoSchema.typeName);

/** The error as it is now: the log shall have what connect said, not what we make of it. */
function copyOf(error: ConnectError): ConnectError {
  const copy = new ConnectError(error.rawMessage, error.code, undefined, undefined, error.cause);
  return Object.assign(copy, { stack: error.stack });
}
