import type { IncomingMessage, ServerResponse } from "node:http";
import { constants } from "node:http2";
import type { Registry } from "@bufbuild/protobuf";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { Authenticate } from "../access/authenticate.ts";
import type { Authenticated } from "../access/authenticated.ts";
import { unauthenticated } from "../access/unauthenticated.ts";
import type { Authorizer } from "../core/access.ts";
import { permissionDenied } from "../core/authorize.ts";
import { type Authorization, fail } from "../core/call.ts";
import { excerpt, Failure } from "../core/errors.ts";
import type { Meter } from "../core/meter.ts";
import { ANONYMOUS } from "../core/principal.ts";
import type { BegunCall, Tracer } from "../core/tracer.ts";
import { createTurns } from "../core/turns.ts";
import type { Admission } from "./admission.ts";
import { answer, formOf } from "./answer.ts";
import { CLIENT_GONE } from "./body.ts";
import { isJson } from "./content-type.ts";
import type { Endpoint } from "./endpoints.ts";
import { bodyOf, type Exchange, headerBytes, newExchange } from "./exchange.ts";
import type { Gate } from "./gate.ts";
import { headerValues } from "./header-values.ts";
import type { Http2Request, Http2Response } from "./http2.ts";
import { type Logger, logCall, resultOf } from "./log.ts";
import type { Pages } from "./pages.ts";
import { createPatience, type PatienceLimits } from "./patience.ts";
import { peerCertificateOf } from "./peer-certificate.ts";
import {
  challenge,
  headersTooLarge,
  noProxy,
  type Refusal,
  refusalOf,
  unknownProcedure,
  wrongContentType,
  wrongMethod,
} from "./refusals.ts";
import { send } from "./send.ts";
import { serverStreamKey, withMessages } from "./server-stream.ts";
import { type Shutdown, shuttingDown } from "./shutdown.ts";
import { type RequestLimits, toUniversal } from "./universal.ts";

/** What lies between HTTP and the handlers. */
export interface AdapterOptions extends RequestLimits, PatienceLimits {
  /** Every rpc, by its path. */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** Looks at Host and Origin. */
  readonly gate: Gate;
  /** Answers browsers. */
  readonly pages: Pages;
  /** Finds out who calls, and judges what they may do; undefined when nobody is asked. */
  readonly access: { readonly authenticate: Authenticate; readonly authorizer: Authorizer } | undefined;
  /** Bounds how many calls are under way. */
  readonly admission: Admission;
  /** Waits for calls, and says when no more are taken. */
  readonly shutdown: Shutdown;
  /** Most bytes of a request's headers; over HTTP/1.1 Node sees to it. */
  readonly maxHeaderBytes: number;
  /** Knows every message that an Any may hold. */
  readonly registry: Registry;
  /** Gets a line per call. */
  readonly log: Logger;
  /** Makes the id of each call. */
  readonly newId: () => string;
  /** Counts calls. */
  readonly meter: Meter;
  /** Keeps track of calls. */
  readonly tracer: Tracer;
}

/**
 * So many requests are begun in a turn of the event loop: thousands that come at once would hold up answers, timers and everybody else
 * until the last of them is under way.
 */
const PER_TURN = 64;

/** Takes every request, of HTTP/1.1 and HTTP/2, answers it whatever it is, and logs one line when all is over. */
export const createAdapter = (
  options: AdapterOptions,
): ((request: IncomingMessage | Http2Request, response: ServerResponse | Http2Response) => void) => {
  const inTurn = createTurns(PER_TURN);
  return (request, response) => {
    const exchange = newExchange(request, options);
    const { call, gone, started } = exchange;
    const closed = Promise.withResolvers<void>();
    if (exchange.endpoint !== undefined) options.meter.callBegan(exchange.endpoint.name);
    const span = isCall(exchange) ? options.tracer.call(begunCall(exchange)) : undefined;
    call.traceparent = span?.traceparent;
    let sent = false;
    response.once("close", () => {
      if (!sent) {
        gone.abort(CLIENT_GONE);
      }
      closed.resolve();
    });
    // A client of HTTP/2 can take its request back together with sending it.
    if ("stream" in response && response.stream.closed) {
      gone.abort(CLIENT_GONE);
    }
    response.on("error", (error) => options.log.debug({ request_id: call.id, detail: error.message }, "response"));
    const patience = createPatience(options, options.shutdown.signal, () => {
      sent = false;
      cutOff(response);
    });
    const respond = async (): Promise<void> => {
      try {
        const common = commonHeaders(exchange, options);
        sent = await send(await respondTo(exchange, options), response, common, gone.signal, patience);
        exchange.body?.close(); // before it: what somebody listens to does not flow
        finishRequest(request, response);
      } catch (error) {
        // Nobody is left to be told: the answer has begun, and its source broke.
        fail(call, error);
        response.destroy();
      } finally {
        exchange.body?.close();
      }
      await patience.during(closed.promise);
      exchange.leave?.();
      if (!sent && call.failure === undefined) {
        call.failure = new Failure("CANCELLED", CLIENT_GONE.rawMessage, { outcome: call.outcome });
      }
      const line = {
        method: exchange.endpoint?.name ?? excerpt(exchange.path, 200),
        protocol: formOf(exchange.contentType.type),
        http: request.httpVersion,
        peer: call.origin?.peer ?? "",
        durationMs: performance.now() - started,
      };
      logCall(options.log, call, line);
      options.meter.callEnded({ ...line, rpc: exchange.endpoint?.name, ...resultOf(call) });
      span?.end({ ...call, ...resultOf(call) });
    };
    const over = new Promise<void>((resolve) => {
      inTurn(() => resolve(span === undefined ? respond() : span.run(respond)));
    });
    if (exchange.endpoint !== undefined && !isRefusedByDrain(exchange.endpoint, options)) {
      options.shutdown.waitFor(over);
    }
  };
};

/** Whether it is meant as an rpc's: pages are asked for by other methods. */
const isCall = ({ endpoint, method }: Exchange): boolean => endpoint !== undefined || method === "POST";

const begunCall = ({ endpoint, contentType, request: { headers } }: Exchange): BegunCall => ({
  rpc: endpoint?.name,
  protocol: formOf(contentType.type),
  traceparent: headers.traceparent?.toString(),
  tracestate: headers.tracestate?.toString(),
});

const isRefusedByDrain = (endpoint: Endpoint, { shutdown }: AdapterOptions): boolean =>
  shutdown.signal.aborted && !endpoint.whileDraining;

function commonHeaders({ request }: Exchange, { gate, shutdown }: AdapterOptions): Record<string, string> {
  const headers: Record<string, string> = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...gate.headers(request),
  };
  if (shutdown.signal.aborted && request.httpVersionMajor === 1) {
    headers.connection = "close";
  }
  return headers;
}

async function respondTo(exchange: Exchange, options: AdapterOptions): Promise<UniversalServerResponse> {
  const { call, request, endpoint, contentType, gone } = exchange;
  try {
    if (request.httpVersionMajor === 2 && headerBytes(request) > options.maxHeaderBytes) {
      return refuse(exchange, options, headersTooLarge());
    }
    // Where nobody is asked who they are, a name that was rebound to loopback would be enough to ask for anything.
    const refusal = options.gate.refuse(request, options.access !== undefined && endpoint?.anyHost);
    if (refusal !== undefined) {
      return refuse(exchange, options, { failure: refusal });
    }
    const preflight = options.gate.preflight(request);
    if (preflight !== undefined) {
      return { status: 204, header: new Headers(preflight) };
    }
    const page = await options.pages.answer(request, exchange.path);
    if (page !== undefined) {
      return page;
    }
    const caller = await callerOf(exchange, options);
    takeShare(exchange, caller, options);
    if (exchange.method === "CONNECT") {
      return refuse(exchange, options, noProxy());
    }
    if (endpoint === undefined) {
      return refuse(exchange, options, unknownProcedure(exchange.path, options.endpoints));
    }
    if (!endpoint.methods.includes(exchange.method)) {
      return refuse(exchange, options, wrongMethod(exchange.method, endpoint));
    }
    if (isRefusedByDrain(endpoint, options)) {
      return refuse(exchange, options, { failure: shuttingDown() });
    }
    if (contentType.foreign && isJson(contentType)) {
      return refuse(exchange, options, wrongContentType(contentType.raw, endpoint));
    }
    if (gone.signal.aborted) {
      throw CLIENT_GONE;
    }
    requireAnyRight(exchange, endpoint, caller, options);
    const unary = endpoint.handler.method.methodKind === "unary";
    // Whoever asks whether the server lives is told so also when it has its hands full.
    if (!(unary && endpoint.whileDraining)) {
      const { leave } = exchange;
      const free = options.admission.admit(unary ? "call" : "stream");
      exchange.leave = () => {
        leave?.();
        free();
      };
    }
    const universal = toUniversal(exchange, endpoint, caller, options, options.shutdown.signal);
    const response = await endpoint.handler(universal);
    const bare = refusalOf(response, endpoint, { method: exchange.method, contentType: contentType.raw });
    if (bare !== undefined) {
      return refuse(exchange, options, bare);
    }
    const messages = universal.contextValues?.get(serverStreamKey)?.messages;
    if (messages === undefined) {
      return response;
    }
    exchange.body?.close();
    exchange.body = undefined; // its one message was read
    return withMessages(response, messages, {
      call,
      contentType,
      enclose: endpoint.enclose,
      registry: options.registry,
    });
  } catch (error) {
    const failed = fail(call, gone.signal.aborted ? CLIENT_GONE : error);
    return answer(contentType.type, failed, { ...options, ...challenge(call.failure) });
  }
}

/**
 * Who calls, before anything of the call is judged: strangers learn nothing of what is there.
 *
 * @returns undefined for whoever need not say: where nobody is asked, and of what anybody may call.
 */
async function callerOf(
  { call, request, endpoint }: Exchange,
  { access }: AdapterOptions,
): Promise<Authenticated | undefined> {
  if (access === undefined) {
    return undefined;
  }
  const caller = await access.authenticate({
    authorization: headerValues(request.rawHeaders, "authorization"),
    certificate: peerCertificateOf(request),
  });
  if (caller === undefined && endpoint?.access.kind !== "public") {
    throw unauthenticated("NO_CREDENTIALS", "the call says nothing of who it comes from: send a bearer token");
  }
  call.principal = caller?.principal;
  return caller;
}

/**
 * Takes a call of its caller's share, whatever it asks for; not a health check's, which nobody may be kept from.
 *
 * @throws Failure RATE_LIMITED
 */
function takeShare(exchange: Exchange, caller: Authenticated | undefined, { shares }: AdapterOptions): void {
  const { endpoint } = exchange;
  if (endpoint?.anyHost) {
    return;
  }
  const { id } = caller?.principal ?? ANONYMOUS;
  shares.takeCall(id);
  if (endpoint !== undefined && endpoint.handler.method.methodKind !== "unary") {
    exchange.leave = shares.takeStream(id);
  }
}

/**
 * Refuses a caller whom no rule allows what it asks for, on anything at all: its body need not be read.
 *
 * @throws Failure PERMISSION_DENIED
 */
function requireAnyRight(
  { call }: Exchange,
  { access: { kind, permission, hides } }: Endpoint,
  caller: Authenticated | undefined,
  { access }: AdapterOptions,
): void {
  if (access === undefined) {
    return;
  }
  const decide = (decision: Authorization["decision"]): void => {
    call.authorization = { permission, decision, rule: undefined, groups: [], targets: [] };
  };
  if (kind === "public" || caller === undefined) {
    decide("public");
  } else if (kind === "self" || kind === "each") {
    decide("allow"); // of a list of systems one sees an empty one
  } else if (!hides && !access.authorizer.mayEver(caller.principal, permission)) {
    decide("default-deny");
    throw permissionDenied(caller.principal, permission, []);
  }
}

const refuse = (
  { call, contentType, method }: Exchange,
  { registry }: AdapterOptions,
  { failure, ...rest }: Refusal,
): UniversalServerResponse => {
  const response = answer(contentType.type, fail(call, failure), { ...rest, registry });
  // A HEAD has an answer without a body, also over HTTP/2, where Node does not see to it.
  return method === "HEAD"
    ? { status: response.status, ...(response.header && { header: response.header }) }
    : response;
};

/** Ends an answer that its client does not read. */
function cutOff(response: ServerResponse | Http2Response): void {
  if ("stream" in response) response.stream.close(constants.NGHTTP2_CANCEL);
  response.destroy();
}

/** A client of HTTP/2 that was sent its answer has so many milliseconds to end its request; then it is reset. */
const RESET_AFTER_MS = 1000;

/** Gets rid of what is left of a request whose answer did not need all of it, so that its connection can go on. */
function finishRequest(request: IncomingMessage | Http2Request, response: ServerResponse | Http2Response): void {
  const body = bodyOf(request);
  if (body.readableEnded) {
    return;
  }
  body.resume();
  if ("stream" in response) {
    const { stream } = response;
    let timer: NodeJS.Timeout | undefined;
    const resetSoon = (): void => {
      timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), RESET_AFTER_MS);
    };
    // Not at once: a reset overtakes the end of the answer, and what Node has closed it resets no more, even if nobody reads the answer.
    // Over HTTP/1.1 Node's requestTimeout sees to it.
    if (stream.writableFinished) resetSoon();
    else stream.once("finish", resetSoon);
    stream.once("close", () => clearTimeout(timer));
  }
}
