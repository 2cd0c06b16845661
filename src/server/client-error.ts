import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { type Call, fail } from "../core/call.ts";
import { Failure } from "../core/errors.ts";
import { headersTooLarge, noProxy } from "./refusals.ts";

/** What Node's parser of HTTP/1.1 says by the code of its error; everything else is a request that it cannot read. */
const REFUSALS: ReadonlyMap<string, { status: number; failure: () => Failure }> = new Map([
  ["HPE_HEADER_OVERFLOW", { status: 431, failure: () => headersTooLarge().failure }],
  [
    "ERR_HTTP_REQUEST_TIMEOUT",
    { status: 408, failure: () => new Failure("DEADLINE_EXCEEDED", "the request did not arrive in time") },
  ],
  ["CONNECT", { status: 405, failure: () => noProxy().failure }],
]);

const UNREADABLE = { status: 400, failure: () => new Failure("MALFORMED_REQUEST", "the request is not HTTP") };

/**
 * Answers a request that Node refused by itself, as JSON with our ErrorInfo, and closes its connection.
 *
 * @param mayWrite false when an answer has begun on the connection, so that another would be taken for a part of it.
 * @returns whether there was anybody to answer: false when the connection just broke.
 */
export function answerClientError(error: Error, socket: Duplex, call: Call, mayWrite: boolean): boolean {
  const code = "code" in error ? String(error.code) : "";
  if (!socket.writable || !mayWrite || code === "ECONNRESET") {
    socket.destroy();
    return false;
  }
  const { status, failure } = REFUSALS.get(code) ?? UNREADABLE;
  const body = errorToJsonBytes(fail(call, failure()), undefined);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "connection: close",
    "cache-control: no-store",
    "content-type: application/json",
    `content-length: ${body.byteLength}`,
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  socket.end(body, () => socket.destroy());
  return true;
}
