import type { Message, Registry } from "@bufbuild/protobuf";
import { ConnectError, type ContextKey, createContextKey, type Interceptor } from "@connectrpc/connect";
import {
  createMethodSerializationLookup,
  encodeEnvelope,
  envelopeCompress,
  type UniversalHandler,
  type UniversalServerResponse,
  validateReadWriteMaxBytes,
} from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import { type Call, fail } from "../core/call.ts";
import { endOfStream, formOf } from "./answer.ts";
import { type ContentType, isJson } from "./content-type.ts";

/**
 * A server stream whose messages are sent without connect, from the first of them on.
 *
 * connect reads the request, calls interceptors and handler, and writes down whatever fails before there is a message. Then it is shown
 * the end of the stream, so that nothing of it is left: while a stream waits, connect's chain of generators keeps 20 kB, of 10,000
 * watchers' streams 200 MB, and every message passes through all of them.
 */
export interface ServerStream {
  /** Fires when the client goes away. The signal that connect makes of it fires when connect is done. */
  readonly signal: AbortSignal;
  /** Undefined until the first message has come. */
  messages: Messages | undefined;
}

/** Messages as they come. */
interface Messages {
  /** The one that has come; undefined once it is sent. */
  first: IteratorResult<Message> | undefined;
  /** All others. */
  readonly iterator: AsyncIterator<Message>;
  /** Trailers, which the handler may set until the end. */
  readonly trailer: Headers;
}

/** Where a call that streams its answer finds its {@link ServerStream}. */
export const serverStreamKey: ContextKey<ServerStream | undefined> = createContextKey<ServerStream | undefined>(
  undefined,
  { description: "server stream" },
);

/** Takes the messages of server streams out of connect's hands. Outermost, so that nothing is lost of what other interceptors do. */
export const takeMessages: Interceptor = (next) =>
  async function takeMessages(req) {
    const stream = req.contextValues.get(serverStreamKey);
    if (!req.stream || stream === undefined) {
      return next(req);
    }
    const response = await next({ ...req, signal: stream.signal });
    if (!response.stream) {
      return response;
    }
    const iterator = response.message[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done !== true) {
      stream.messages = { first, iterator, trailer: response.trailer };
    }
    return { ...response, message: nothing };
  };

/** No messages at all. */
const nothing: AsyncIterable<never> = {
  [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }),
};

/** Writes a message of a method's answers into an envelope. What it gives may be given to others too: it is only read. */
export type Enclose = (message: Message, json: boolean) => Uint8Array;

/** How much connect writes, and packs, where nobody says otherwise. */
const LIMITS = validateReadWriteMaxBytes(undefined, undefined, undefined);

/**
 * How the messages of a method's answers are written. Thousands may be sent the same message, of a rollout say: it is written once. So
 * nobody changes a message that is on its way.
 */
export function encloserOf({ method }: Pick<UniversalHandler, "method">, registry: Registry): Enclose {
  const lookup = createMethodSerializationLookup(method, undefined, { registry }, LIMITS);
  const known = { json: new WeakMap<Message, Uint8Array>(), binary: new WeakMap<Message, Uint8Array>() };
  return (message, json) => {
    const of = json ? known.json : known.binary;
    const bytes = of.get(message) ?? encodeEnvelope(0, lookup.getO(!json).serialize(message));
    of.set(message, bytes);
    return bytes;
  };
}

/** What {@link withMessages} needs to know of the call. */
export interface StreamOptions {
  readonly call: Call;
  readonly contentType: ContentType;
  readonly enclose: Enclose;
  /** Knows the messages that an Any in a detail may hold. */
  readonly registry: Registry;
}

/** The answer that connect made when it was shown the end of a stream, with the messages and the end of that stream. */
export function withMessages(
  { status, header = new Headers() }: UniversalServerResponse,
  messages: Messages,
  options: StreamOptions,
): UniversalServerResponse {
  const { iterator, trailer } = messages;
  const form = formOf(options.contentType.type);
  if (form === "connect") {
    throw new TypeError(`not the content type of a stream: ${options.contentType.raw}`);
  }
  const enclose = enclosing(header, options);
  let over = false;
  const end = (error?: ConnectError): IteratorResult<Uint8Array, Headers | undefined> => {
    over = true;
    const bytes = endOfStream(form, error, trailer, options.registry);
    return bytes === undefined ? { done: true, value: trailer } : { done: false, value: bytes };
  };
  const body: AsyncIterableIterator<Uint8Array, Headers | undefined> = {
    [Symbol.asyncIterator]: () => body,
    async next() {
      if (over) return { done: true, value: undefined };
      let result = messages.first;
      messages.first = undefined;
      try {
        result ??= await iterator.next();
      } catch (error) {
        // Interceptors have given it the form of our failures.
        return end(error instanceof ConnectError ? error : fail(options.call, error));
      }
      try {
        return result.done === true ? end() : { done: false, value: await enclose(result.value) };
      } catch (error) {
        return end(fail(options.call, error));
      }
    },
    async return() {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
  return { status, header, body };
}

/** Bytes of an envelope before its message. */
const PREFIX = 5;

/** Puts messages into envelopes, packed where connect has agreed on it with the client. */
function enclosing(
  header: Headers,
  { enclose, contentType }: StreamOptions,
): (message: Message) => Uint8Array | Promise<Uint8Array> {
  const json = isJson(contentType);
  if (!header.has("grpc-encoding") && !header.has("connect-content-encoding")) {
    return (message) => enclose(message, json);
  }
  return async (message) => {
    const whole = { flags: 0, data: enclose(message, json).subarray(PREFIX) };
    const { flags, data } = await envelopeCompress(whole, compressionGzip, LIMITS.compressMinBytes);
    return encodeEnvelope(flags, data);
  };
}
