import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { createFileRegistry, type DescMessage, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ROOT } from "./command.ts";

/** A span as a collector gets it. */
export interface ReceivedSpan {
  readonly name: string;
  readonly kind: "SERVER" | "CLIENT" | number;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly failed: boolean;
  /** Of the process. */
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

/** A request as it came. */
export interface ReceivedBatch {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A collector that takes OTLP over HTTP. */
export interface Collector extends AsyncDisposable {
  /** The endpoint of a configuration. */
  readonly url: string;
  readonly port: number;
  readonly batches: readonly ReceivedBatch[];
  /** Every span so far, in the order in which they came. */
  readonly spans: readonly ReceivedSpan[];
  /** The first span, from now on or before, that `matches`. */
  span(matches: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan>;
  /** Waits for so many batches. */
  received(batches: number): Promise<void>;
}

/** Answers a request of which all has been read. Default: it is taken. */
export type AnswerBatch = (response: ServerResponse, request: IncomingMessage) => void;

/** Starts a collector on loopback. */
export async function startCollector(
  answer: AnswerBatch = (response) => void response.end(),
  port = 0,
): Promise<Collector> {
  const desc = requestDesc();
  const batches: ReceivedBatch[] = [];
  const spans: ReceivedSpan[] = [];
  const changed = new EventTarget();
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    batches.push({ path: request.url ?? "", headers: request.headers, body });
    spans.push(...spansOf(toJson(desc, fromBinary(desc, body)) as JsonRequest));
    changed.dispatchEvent(new Event("change"));
    answer(response, request);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const at = (server.address() as AddressInfo).port;
  const until = async <Found>(found: () => Found | undefined): Promise<Found> => {
    for (;;) {
      const one = found();
      if (one !== undefined) return one;
      await once(changed, "change");
    }
  };
  return {
    url: `http://127.0.0.1:${at}`,
    port: at,
    batches,
    spans,
    span: (matches) => until(() => spans.find(matches)),
    received: (count) => until(() => (batches.length >= count ? true : undefined)).then(() => {}),
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

let built: DescMessage | undefined;

/** Of otlp/trace.proto. */
function requestDesc(): DescMessage {
  if (built === undefined) {
    const buf = join(ROOT, "node_modules/.bin/buf");
    const set = execFileSync(buf, ["build", join(ROOT, "test/support/otlp"), "-o", "-#format=binpb"]);
    built = createFileRegistry(fromBinary(FileDescriptorSetSchema, set)).getMessage("otlp.ExportTraceServiceRequest");
  }
  if (built === undefined) throw new Error("otlp/trace.proto has no ExportTraceServiceRequest");
  return built;
}

type JsonValue = { stringValue?: string; boolValue?: boolean; intValue?: string; doubleValue?: number };

type JsonAttributes = readonly { key: string; value?: JsonValue }[];

interface JsonSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  attributes?: JsonAttributes;
  links?: readonly { traceId: string; spanId: string }[];
  status?: { code?: number };
}

interface JsonRequest {
  resourceSpans?: readonly {
    resource?: { attributes?: JsonAttributes };
    scopeSpans: readonly { spans: readonly JsonSpan[] }[];
  }[];
}

const hex = (base64 = ""): string => Buffer.from(base64, "base64").toString("hex");

const attributesOf = (attributes: JsonAttributes = []): Record<string, string | number | boolean> =>
  Object.fromEntries(
    attributes.map(({ key, value = {} }) => {
      const { stringValue, boolValue, intValue, doubleValue } = value;
      return [key, stringValue ?? boolValue ?? doubleValue ?? Number(intValue)];
    }),
  );

const KINDS: Readonly<Record<number, "SERVER" | "CLIENT">> = { 2: "SERVER", 3: "CLIENT" };

const spansOf = ({ resourceSpans = [] }: JsonRequest): ReceivedSpan[] =>
  resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        name: span.name,
        kind: KINDS[span.kind] ?? span.kind,
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentSpanId: hex(span.parentSpanId),
        attributes: attributesOf(span.attributes),
        links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId: hex(traceId), spanId: hex(spanId) })),
        failed: span.status?.code === 2,
        resource: attributesOf(resource?.attributes),
      })),
    ),
  );
