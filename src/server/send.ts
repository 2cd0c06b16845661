import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { trailersOf } from "./grpc-status.ts";
import type { Patience } from "./patience.ts";

/** What the responses of HTTP/1.1 and HTTP/2 have in common. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  flushHeaders?(): void;
  write(chunk: Uint8Array): boolean;
  addTrailers(trailers: Record<string, string>): void;
  end(): unknown;
  once(event: "drain", listener: (value?: unknown) => void): unknown;
  off(event: "drain", listener: (value?: unknown) => void): unknown;
}

/**
 * Sends an answer, no faster than the client reads it.
 *
 * @param common headers beside those of the answer.
 * @param gone fires when the client goes away: then the answer's source is told and nothing more is sent.
 * @param patience how long the client may take nothing.
 * @returns whether all of it was handed over.
 */
export async function send(
  answer: UniversalServerResponse,
  response: NodeResponse,
  common: Readonly<Record<string, string>>,
  gone: AbortSignal,
  patience: Patience,
): Promise<boolean> {
  const chunks = answer.body?.[Symbol.asyncIterator]();
  // The headers follow the first chunk, not the other way round: until then a handler may still set some.
  const first = await chunks?.next();
  try {
    if (!gone.aborted) writeHead(answer, response, common);
  } catch (error) {
    await chunks?.return?.();
    throw error;
  }
  return sendBody({ chunks, first, trailer: answer.trailer }, response, gone, patience); // its headers need not be kept as long as that
}

/** The bytes of an answer, and what follows them. */
interface Body {
  readonly chunks: AsyncIterator<Uint8Array, Headers | undefined> | undefined;
  /** Undefined when there are none, and once it is taken. */
  first: IteratorResult<Uint8Array, Headers | undefined> | undefined;
  /** Trailers that do not come with the end of the bytes. */
  readonly trailer: Headers | undefined;
}

async function sendBody(body: Body, response: NodeResponse, gone: AbortSignal, patience: Patience): Promise<boolean> {
  const { chunks, trailer } = body;
  let chunk = body.first;
  body.first = undefined;
  try {
    for (; !gone.aborted && chunk !== undefined && chunk.done !== true; chunk = await chunks?.next()) {
      for (const piece of piecesOf(chunk.value)) {
        if (!response.write(piece)) {
          await patience.during(drained(response, gone));
        }
        if (gone.aborted) {
          return false;
        }
      }
    }
    if (gone.aborted) {
      return false;
    }
    const trailers = (chunk?.done === true ? chunk.value : undefined) ?? trailer;
    if (trailers !== undefined) {
      response.flushHeaders?.(); // otherwise HTTP/1.1 would announce an empty body, which has no trailers
      response.addTrailers(trailersOf(trailers));
    }
    response.end();
    return true;
  } finally {
    await chunks?.return?.();
  }
}

/** Whoever takes so many bytes makes progress. */
const PIECE = 16 * 1024;

function piecesOf(chunk: Uint8Array): Iterable<Uint8Array> {
  return chunk.length <= PIECE ? [chunk] : cut(chunk);
}

function* cut(chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += PIECE) {
    yield chunk.subarray(at, at + PIECE);
  }
}

function writeHead(
  answer: UniversalServerResponse,
  response: NodeResponse,
  common: Readonly<Record<string, string>>,
): void {
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(common)) {
    response.setHeader(name, value);
  }
  for (const [name, value] of answer.header ?? []) {
    response.setHeader(name, value);
  }
}

/** Resolves when there is room again, or nobody to make some. */
async function drained(response: NodeResponse, gone: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  response.once("drain", resolve);
  gone.addEventListener("abort", resolve);
  if (gone.aborted) {
    resolve(undefined);
  }
  await promise;
  response.off("drain", resolve);
  gone.removeEventListener("abort", resolve);
}
