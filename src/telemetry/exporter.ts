import { setTimeout as delay } from "node:timers/promises";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { NoAnswer, openConnections, sendOnce } from "../clouds/http.ts";
import { natureOf } from "../clouds/vendor.ts";
import type { GiveSecret } from "../core/secret.ts";

/** Where spans are sent to. */
export interface ExporterOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, GiveSecret>>;
  /** Told why batches are lost, once, and that they are not any longer. */
  readonly tell: (lost: string | undefined) => void;
}

/** An exporter whose end is at hand. */
export interface Exporter extends SpanExporter {
  /** Breaks off whatever is on its way. */
  abandon(): Promise<void>;
}

/** A collector has so long (ms) to answer. */
const ANSWER_MS = 10_000;

/** What a collector may take another time is offered again after so long (ms). */
const AGAIN_MS = [1_000, 2_000, 4_000];

/** More of an answer (bytes) is not read: it says nothing that is needed. */
const MAX_ANSWER = 64 * 1024;

/** Answers after which the same batch may be taken another time (OTLP/HTTP, "Failures"). */
const MAY_BE_TAKEN = new Set([429, 502, 503, 504]);

/**
 * Posts batches as OTLP over HTTP, each within bounds of time and of what is read. OpenTelemetry's own exporter reads headers and
 * certificates out of variables of the environment, and nothing ends what it has on its way.
 */
export function createExporter({ url, headers, tell }: ExporterOptions): Exporter {
  const connections = openConnections(undefined, ANSWER_MS);
  const leaving = new AbortController();
  const under = new Set<Promise<void>>();
  let losing = false;

  /** Answers the status of HTTP. */
  const post = (body: Uint8Array): Promise<number> =>
    sendOnce(
      {
        changes: false,
        signal: AbortSignal.any([leaving.signal, AbortSignal.timeout(ANSWER_MS)]),
        timeoutMs: ANSWER_MS,
      },
      async () => ({
        url: new URL(url),
        method: "POST",
        headers: {
          ...Object.fromEntries(Object.entries(headers).map(([name, give]) => [name, give()])),
          "content-type": "application/x-protobuf",
        },
        body,
        dispatcher: connections.dispatcher(false),
      }),
      async (response) => {
        await response.body.dump({ limit: MAX_ANSWER, signal: leaving.signal }).catch(() => {}); // its head has said all
        return response.statusCode;
      },
    );

  /** Why a batch is lost; undefined when it was taken. */
  const deliver = async (body: Uint8Array): Promise<string | undefined> => {
    for (let attempt = 0; ; attempt++) {
      const answer = await post(body).catch((error: unknown) => (error instanceof NoAnswer ? error.cause : error));
      if (typeof answer === "number" && answer < 300) return undefined;
      const lost = typeof answer === "number" ? `HTTP ${answer}` : reasonOf(answer);
      const again = AGAIN_MS[attempt];
      if (again === undefined || (typeof answer === "number" && !MAY_BE_TAKEN.has(answer))) return lost;
      await delay(again, undefined, { signal: leaving.signal, ref: false }).catch(() => {});
      if (leaving.signal.aborted) return lost;
    }
  };

  const say = (lost: string | undefined): void => {
    if (leaving.signal.aborted || (lost !== undefined) === losing) return;
    losing = lost !== undefined;
    tell(lost);
  };

  return {
    export(spans: ReadableSpan[], done) {
      const body = ProtobufTraceSerializer.serializeRequest(spans);
      if (body === undefined) return done({ code: 1 });
      const delivery = deliver(body).then((lost) => {
        under.delete(delivery);
        say(lost);
        done(lost === undefined ? { code: 0 } : { code: 1, error: new Error(lost) });
      });
      under.add(delivery);
    },
    async shutdown() {
      await Promise.all(under);
    },
    async abandon() {
      leaving.abort();
      await connections[Symbol.asyncDispose]();
    },
  };
}

/** Where a header's secret is gone, its error says where it should be; of others the code is enough. */
const reasonOf = (error: unknown): string =>
  error instanceof Error && !("code" in error) && error.name === "Error" ? error.message : natureOf(error);
