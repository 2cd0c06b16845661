import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import type { DisconnectWay } from "./faults.ts";
import type { Reply } from "./replies.ts";

/** One request and its answer, over HTTP/1.1 or HTTP/2. */
export type Incoming = IncomingMessage | Http2ServerRequest;
/** The answer's side of {@link Incoming}. */
export type Outgoing = ServerResponse | Http2ServerResponse;

/** Answers above this are compressed for clients that accept gzip, as a real server does. */
const compressAbove = 128 * 1024;

/** Headers that may come several times and must not be joined. Of several impersonate-user, Go takes the first. */
const separate = new Set(["impersonate-group"]);

/** The headers of a request by lower-case name, HTTP/2's pseudo headers left out. */
export function headersOf(request: Incoming): Record<string, string | string[] | undefined> {
  const headers: Record<string, string | string[] | undefined> = {};
  const raw = request.rawHeaders;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? "").toLowerCase();
    const value = raw[at + 1] ?? "";
    if (name.startsWith(":")) continue;
    const before = headers[name];
    if (separate.has(name)) headers[name] = [...(Array.isArray(before) ? before : []), value];
    else if (name === "impersonate-user" && before !== undefined) headers[name] = [before, value].flat();
    else headers[name] = typeof before === "string" ? `${before}, ${value}` : value;
  }
  return headers;
}

/** The whole body as text; undefined as soon as it is longer than `limit` bytes. Rejects when the client goes away. */
export async function readBody(request: Incoming, limit: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Uint8Array)) continue;
    size += chunk.length;
    if (size > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Sends a complete answer. */
export function send(request: Incoming, response: Outgoing, reply: Reply): void {
  if (response.writableEnded || response.destroyed) return;
  const http2 = request.httpVersionMajor === 2;
  let body: Buffer = Buffer.from(reply.body);
  const headers: Record<string, string | string[]> = { ...reply.headers };
  if (http2) delete headers.connection; // HTTP/2 knows no such header; there a GOAWAY says it
  if (body.length > compressAbove && String(request.headers["accept-encoding"] ?? "").includes("gzip")) {
    body = gzipSync(body, { level: 1 });
    headers["content-encoding"] = "gzip";
    headers.vary = "Accept-Encoding";
  }
  headers["content-length"] = String(body.length);
  writeHead(response, reply.status, headers);
  response.end(request.method === "HEAD" ? "" : body);
}

/** Announces the whole answer and sends half of it. */
export function sendHalf(request: Incoming, response: Outgoing, reply: Reply): Promise<void> {
  const body = Buffer.from(reply.body);
  const headers: Record<string, string | string[]> = { ...reply.headers, "content-length": String(body.length) };
  if (request.httpVersionMajor === 2) delete headers.connection;
  writeHead(response, reply.status, headers);
  return new Promise((resolve) => {
    writeChunk(response, body.subarray(0, Math.floor(body.length / 2)), resolve);
  });
}

/** Begins an answer. The two kinds of response declare the same method differently. */
export function writeHead(response: Outgoing, status: number, headers: Record<string, string | string[]>): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if ("stream" in response) response.writeHead(status);
  else {
    response.writeHead(status);
    response.flushHeaders();
  }
}

/** Writes a part of an answer. */
export function writeChunk(response: Outgoing, chunk: string | Uint8Array, done?: () => void): void {
  if ("stream" in response) response.write(typeof chunk === "string" ? Buffer.from(chunk) : chunk, "utf8", done);
  else response.write(chunk, done);
}

/** Cuts the connection, or over HTTP/2 only the stream. `socket` is the TCP socket below TLS. */
export function cut(request: Incoming, socket: Socket | undefined, way: DisconnectWay): void {
  if ("stream" in request && way === "stream") {
    request.stream.close(2); // INTERNAL_ERROR
    return;
  }
  if ("stream" in request && way === "goaway") {
    const { session } = request.stream;
    // The last stream that "might have been processed" is one before this one: it surely was not.
    session?.goaway(0, Math.max(0, (request.stream.id ?? 1) - 2));
    session?.destroy();
    return;
  }
  if (way === "reset") socket?.resetAndDestroy();
  else socket?.destroySoon();
}
