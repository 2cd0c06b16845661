import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { Authenticated } from "../access/authenticated.ts";
import { type Authorizer, accessKey, authorizerKey, takeMutationKey } from "../core/access.ts";
import { callKey } from "../core/call.ts";
import { deadlineKey } from "../core/deadline.ts";
import { Failure, toRequestFailure } from "../core/errors.ts";
import { ANONYMOUS, lapsedKey, principalKey } from "../core/principal.ts";
import { isMutating } from "../core/route.ts";
import { type DeadlineLimits, deadlineOf } from "../interceptors/deadline.ts";
import { jsonKey, openBody } from "./body.ts";
import { isJson } from "./content-type.ts";
import type { Endpoint } from "./endpoints.ts";
import { bodyOf, type Exchange } from "./exchange.ts";
import { checkedJson, checkJson } from "./json-body.ts";
import { serverStreamKey } from "./server-stream.ts";
import type { Shares } from "./shares.ts";

/** What bounds a request. */
export interface RequestLimits {
  /** How long calls may take. */
  readonly deadline: DeadlineLimits;
  /** A call's one request message must have arrived after so many milliseconds, be the call's deadline later. */
  readonly bodyTimeoutMs: number;
  /** The same while the server drains: nothing has been begun for the call. */
  readonly drainingBodyTimeoutMs: number;
  /** Most bytes of one request message, unpacked. */
  readonly readMaxBytes: number;
  /** Who judges what callers may do; undefined when everybody may do everything. */
  readonly access: { readonly authorizer: Authorizer } | undefined;
  /** What each caller may ask for. */
  readonly shares: Shares;
}

/**
 * The request as connect takes it. Deadlines are ours: connect would refuse the long ones and abort its own work at the short ones.
 *
 * @throws Failure when it cannot be understood, or its deadline has passed.
 */
export function toUniversal(
  exchange: Exchange,
  endpoint: Endpoint,
  caller: Authenticated | undefined,
  limits: RequestLimits,
  draining: AbortSignal,
): UniversalServerRequest {
  const { request, method, started, gone, call } = exchange;
  const { methodKind } = endpoint.handler.method;
  const header = headersOf(exchange);
  const deadline = deadlineOf(header, methodKind !== "unary", limits.deadline, started);
  if (deadline <= performance.now()) {
    throw new Failure("DEADLINE_EXCEEDED", "the deadline had passed before the call began");
  }
  header.delete("connect-timeout-ms");
  header.delete("grpc-timeout");
  const url = `http://localhost${exchange.path}${exchange.query}`;
  if (method === "GET") {
    checkQuery(new URL(url), endpoint, limits);
  }
  const single = methodKind === "unary" || methodKind === "server_streaming";
  const until = single ? Math.min(deadline, started + limits.bodyTimeoutMs) : Number.POSITIVE_INFINITY;
  const contextValues = createContextValues().set(callKey, call).set(deadlineKey, deadline);
  const principal = caller?.principal ?? ANONYMOUS;
  contextValues.set(takeMutationKey, () => limits.shares.takeMutation(principal.id));
  if (limits.access !== undefined) {
    contextValues.set(authorizerKey, limits.access.authorizer).set(accessKey, endpoint.access);
  }
  if (caller !== undefined) {
    contextValues.set(principalKey, caller.principal).set(lapsedKey, caller.lapsed);
  }
  const drainingMs = single ? limits.drainingBodyTimeoutMs : undefined;
  if (methodKind === "server_streaming") {
    contextValues.set(serverStreamKey, { signal: gone.signal, messages: undefined });
  }
  exchange.body = openBody(bodyOf(request), { until, draining, drainingMs });
  const { body, text } = readableBody(exchange.body.bytes, exchange, endpoint, limits);
  if (text !== undefined && isMutating(endpoint.handler.method)) {
    contextValues.set(jsonKey, text);
  }
  return { httpVersion: request.httpVersion, method, url, header, body, signal: gone.signal, contextValues };
}

function headersOf({ request, contentType }: Exchange): Headers {
  const header = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    // Who calls was found out: nothing behind this sees what it was found out by.
    if (!name.startsWith(":") && name !== "authorization" && value !== undefined) {
      header.set(name, String(value));
    }
  }
  if (contentType.type !== "") header.set("content-type", contentType.type);
  return header;
}

/** The body, checked where it is JSON; and the text of one that is a single message, once it has arrived. */
function readableBody(
  body: AsyncIterable<Uint8Array>,
  { request, contentType, method }: Exchange,
  endpoint: Endpoint,
  { readMaxBytes: maxBytes }: RequestLimits,
): { body: AsyncIterable<Uint8Array>; text?: () => string | undefined } {
  if (method === "GET" || !isJson(contentType)) {
    return { body };
  }
  const rule = { desc: endpoint.handler.method.input, maxBytes };
  let text: string | undefined;
  const check = (message: Uint8Array, packed: boolean): void => {
    text = checkJson(message, packed, rule);
  };
  const enveloped = contentType.type !== "application/json";
  const form = { enveloped, packed: request.headers["content-encoding"] === "gzip" };
  return { body: checkedJson(body, form, check, maxBytes), ...(!enveloped && { text: () => text }) };
}

/** connect takes a message that is not base64 for a defect of its own, and what is not UTF-8 for something else. */
function checkQuery(
  { search, searchParams }: URL,
  endpoint: Endpoint,
  { readMaxBytes: maxBytes }: RequestLimits,
): void {
  try {
    decodeURIComponent(search);
  } catch {
    throw new Failure("MALFORMED_REQUEST", "the query is not UTF-8 in percent-encoding");
  }
  const message = searchParams.get("message") ?? "";
  let bytes: Uint8Array = Buffer.from(message);
  if (searchParams.get("base64") === "1") {
    try {
      bytes = base64Decode(message);
    } catch {
      throw new Failure("MALFORMED_REQUEST", "parameter message is not base64, though parameter base64 says so");
    }
  }
  if (searchParams.get("encoding") !== "json") return;
  try {
    checkJson(bytes, searchParams.get("compression") === "gzip", { desc: endpoint.handler.method.input, maxBytes });
  } catch (error) {
    throw toRequestFailure(ConnectError.from(error, Code.InvalidArgument));
  }
}
