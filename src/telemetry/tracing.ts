import { AsyncLocalStorage } from "node:async_hooks";
import {
  createTraceState,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_RPC_METHOD,
  ATTR_RPC_STATUS_CODE,
  ATTR_RPC_SYSTEM_NAME,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_SERVICE_INSTANCE_ID,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
  ATTR_URL_FULL,
  RPC_SYSTEM_NAME_VALUE_GRPC,
} from "@opentelemetry/semantic-conventions";
import type { TraceSettings } from "../config/telemetry.ts";
import type { BegunCall, BegunRequest, CallSpan, RequestSpan, Tracer } from "../core/tracer.ts";
import { createExporter } from "./exporter.ts";

/** What tracing takes beside its section. */
export interface TracingOptions {
  /** Of the program. */
  readonly version: string;
  /** Tells this process from others. */
  readonly instance: string;
  /** Told why spans are lost, once, and (undefined) that they are not any longer. */
  readonly tell: (lost: string | undefined) => void;
}

/** Spans that are made and sent, until the dispose, which waits for the last ones for a moment. */
export interface Tracing extends AsyncDisposable {
  readonly tracer: Tracer;
}

/** Spans wait so long (ms) for others to be sent with. */
const COLLECT_MS = 1_000;

/** Longer (ms) than all that is tried with a batch: one is on its way at a time. */
const BATCH_MS = 60_000;

/** So many spans wait at most; what is too much is dropped. */
const MAX_WAITING = 2_048;

/** The last spans have so long (ms). */
const LAST_SPANS_MS = 1_000;

/** Longer values (characters) are cut. */
const MAX_VALUE = 1_024;

/** Not among the published constants that are stable. */
const CONNECTRPC = "connectrpc";

/** What is the server's fault, by the conventions for servers: a refusal is not. */
const FAULTS = new Set(["unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"]);

/** Where work is done. */
type Place =
  /** In a call. */
  | { readonly span: Span; ended: boolean }
  /** After one. */
  | { readonly after: SpanContext };

/** Begins. Nothing is registered with OpenTelemetry's globals, which other packages ask. */
export function startTracing(settings: TraceSettings, { version, instance, tell }: TracingOptions): Tracing {
  const exporter = createExporter({ url: settings.url, headers: settings.headers, tell });
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        [ATTR_SERVICE_NAME]: "restartd",
        [ATTR_SERVICE_VERSION]: version,
        [ATTR_SERVICE_INSTANCE_ID]: instance,
        ...settings.resource,
      }),
    ),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(settings.sampleRatio) }),
    spanLimits: { attributeValueLengthLimit: MAX_VALUE },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        scheduledDelayMillis: COLLECT_MS,
        maxQueueSize: MAX_WAITING,
        exportTimeoutMillis: BATCH_MS,
      }),
    ],
  });
  return {
    tracer: createTracer(provider, settings),
    async [Symbol.asyncDispose]() {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, LAST_SPANS_MS);
      const flushed = provider.shutdown().catch(() => {}); // what is lost has been told
      await Promise.race([flushed, late]);
      clearTimeout(timer);
      await exporter.abandon();
      await flushed;
    },
  };
}

function createTracer(provider: TracerProvider, { propagate, targets }: TraceSettings): Tracer {
  const tracer = provider.getTracer("restartd");
  const places = new AsyncLocalStorage<Place | undefined>();
  return {
    call(begun) {
      const remote = spanContextOf(begun.traceparent, begun.tracestate);
      const parent = remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote);
      const method = begun.rpc ?? "_OTHER";
      const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes: attributesOf(begun) }, parent);
      return callSpan(span, begun, { places, targets });
    },
    request(begun) {
      const place = places.getStore();
      const within = place !== undefined && "span" in place && !place.ended;
      const after =
        place === undefined || within ? undefined : "span" in place ? place.span.spanContext() : place.after;
      const parent = within ? trace.setSpan(ROOT_CONTEXT, place.span) : ROOT_CONTEXT;
      const links = after === undefined ? [] : [{ context: after }];
      const attributes = requestAttributesOf(begun, targets);
      const span = tracer.startSpan(begun.method, { kind: SpanKind.CLIENT, attributes, links }, parent);
      return requestSpan(span, propagate.has(begun.system));
    },
    follow(traceparent, work) {
      const after = spanContextOf(traceparent, undefined);
      return places.run(after && { after }, work);
    },
  };
}

/** Of a call. */
function callSpan(
  span: Span,
  { protocol }: BegunCall,
  { places, targets }: { places: AsyncLocalStorage<Place | undefined>; targets: boolean },
): CallSpan {
  const place: Place = { span, ended: false };
  return {
    traceparent: traceparentOf(span.spanContext()),
    run: (work) => places.run(place, work),
    end({ code, reason, outcome, operation, target }) {
      place.ended = true;
      span.setAttributes({
        [ATTR_RPC_STATUS_CODE]: isGrpc(protocol) ? code.toUpperCase() : code,
        "restartd.outcome": outcome,
        ...(reason !== "" && { "restartd.reason": reason }),
        ...(operation !== undefined && { "restartd.operation": operation }),
        ...(targets && target !== undefined && { "restartd.target": target }),
      });
      if (FAULTS.has(code)) {
        span.setStatus({ code: SpanStatusCode.ERROR }).setAttribute(ATTR_ERROR_TYPE, code);
      }
      span.end();
    },
  };
}

function requestSpan(span: Span, propagated: boolean): RequestSpan {
  const context = span.spanContext();
  const state = context.traceState?.serialize() ?? "";
  return {
    headers: propagated ? { traceparent: traceparentOf(context), ...(state !== "" && { tracestate: state }) } : {},
    end(status, error) {
      if (status !== undefined) span.setAttribute(ATTR_HTTP_RESPONSE_STATUS_CODE, status);
      const wrong = error ?? (status !== undefined && status >= 400 ? String(status) : undefined);
      if (wrong !== undefined) span.setStatus({ code: SpanStatusCode.ERROR }).setAttribute(ATTR_ERROR_TYPE, wrong);
      span.end();
    },
  };
}

const isGrpc = (protocol: string): boolean => protocol.startsWith("grpc");

const attributesOf = ({ rpc, protocol }: BegunCall) => ({
  [ATTR_RPC_SYSTEM_NAME]: isGrpc(protocol) ? RPC_SYSTEM_NAME_VALUE_GRPC : CONNECTRPC,
  [ATTR_RPC_METHOD]: rpc ?? "_OTHER",
});

/** A path names a target, and a query can hold a token. */
const requestAttributesOf = ({ method, url }: BegunRequest, targets: boolean) => ({
  [ATTR_HTTP_REQUEST_METHOD]: method,
  [ATTR_SERVER_ADDRESS]: url.hostname.replace(/^\[(.*)\]$/, "$1"),
  [ATTR_SERVER_PORT]: Number(url.port) || (url.protocol === "https:" ? 443 : 80),
  ...(targets && { [ATTR_URL_FULL]: url.origin + url.pathname }),
});

/** Version 00 is what stands here and nothing more; a later one may go on. */
const TRACEPARENT =
  /^(?:00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})|(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?)$/;

/** The span that headers of W3C Trace Context name; undefined where they name none. */
function spanContextOf(traceparent: string | undefined, tracestate: string | undefined): SpanContext | undefined {
  const found = TRACEPARENT.exec(traceparent ?? "")
    ?.slice(1)
    .filter((part) => part !== undefined);
  const [traceId = "", spanId = "", flags = ""] = found ?? [];
  const context: SpanContext = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
    ...(tracestate !== undefined && { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(context) ? context : undefined;
}

const traceparentOf = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, "0")}`;
