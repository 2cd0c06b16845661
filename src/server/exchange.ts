import type { IncomingMessage } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { type Call, newCall, type Origin } from "../core/call.ts";
import type { RequestBody } from "./body.ts";
import { type ContentType, readContentType } from "./content-type.ts";
import type { Endpoint } from "./endpoints.ts";
import type { Http2Request } from "./http2.ts";

/** One request and what is known of it while it is answered. */
export interface Exchange {
  readonly call: Call;
  readonly request: IncomingMessage | Http2Request;
  readonly method: string;
  readonly path: string;
  /** From `?` on; empty when there is nothing. */
  readonly query: string;
  readonly contentType: ContentType;
  readonly endpoint: Endpoint | undefined;
  readonly started: number;
  /** Aborted when the client goes away before it has its answer. */
  readonly gone: AbortController;
  /** Once somebody is to read it. */
  body: RequestBody | undefined;
  /** Gives the call's place to another one, once it has one. */
  leave: (() => void) | undefined;
}

/** Begins with a request. */
export function newExchange(
  request: IncomingMessage | Http2Request,
  { endpoints, newId }: { readonly endpoints: ReadonlyMap<string, Endpoint>; readonly newId: () => string },
): Exchange {
  // Clients of a proxy, and some others, send the whole address (RFC 9112, 3.2.2). CONNECT over HTTP/2 has no path at all.
  const target = (request.url ?? "").replace(/^https?:\/\/[^/?#]*/i, "");
  const at = target.indexOf("?");
  const path = at === -1 ? target : target.slice(0, at);
  return {
    call: newCall(newId(), originOf(request)),
    request,
    method: request.method ?? "",
    path,
    query: at === -1 ? "" : target.slice(at),
    contentType: readContentType(request.headers["content-type"]),
    endpoint: endpoints.get(path),
    started: performance.now(),
    gone: new AbortController(),
    body: undefined,
    leave: undefined,
  };
}

/** So many characters are kept of what a program calls itself. */
const MAX_USER_AGENT = 200;

const originOf = ({ socket, headers }: Exchange["request"]): Origin => ({
  peer: `${socket?.remoteAddress}:${socket?.remotePort}`,
  userAgent: headers["user-agent"]?.slice(0, MAX_USER_AGENT),
});

/** Where the body of a request is read. */
export const bodyOf = (request: Exchange["request"]): IncomingMessage | ServerHttp2Stream =>
  "stream" in request ? request.stream : request;

/** Bytes of a request's headers, as HTTP/2 counts them (RFC 9113, 6.5.2). */
export const headerBytes = ({ rawHeaders }: Exchange["request"]): number =>
  rawHeaders.reduce((sum, text) => sum + text.length + 16, 0);
