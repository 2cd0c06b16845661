import { type Meter, noMeter, type VendorResult } from "../core/meter.ts";
import type { Runtime } from "../core/target.ts";
import { type BegunRequest, noTracer, type RequestSpan, type Tracer } from "../core/tracer.ts";
import { AnswerTooLarge, NoAnswer, type SendOptions, sendOnce, TooLate } from "./http.ts";
import { codeOf, isExhausted } from "./obstacles.ts";

/** Counts the requests to one configured cluster, site or project, and makes their spans. */
export interface VendorCounter {
  readonly count: (operation: string, result: VendorResult, durationMs: number) => void;
  /** Begins the span of a request; undefined where nobody keeps track. */
  readonly trace: (request: Omit<BegunRequest, "system">) => RequestSpan | undefined;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
}

/** What a counter needs. Without a meter nothing is counted, without a tracer nothing traced. */
export type CountingRuntime = Pick<Runtime, "monotonic"> & { readonly meter?: Meter; readonly tracer?: Tracer };

/**
 * Makes the counter of one account.
 *
 * @param system its target's folder.
 * @param name as it is configured.
 */
export function vendorCounter(
  { monotonic, meter = noMeter, tracer = noTracer }: CountingRuntime,
  system: string,
  name: string,
): VendorCounter {
  return {
    monotonic,
    count: (operation, result, durationMs) => meter.vendorRequest({ system, name, operation, result, durationMs }),
    trace: (request) => tracer.request({ system, ...request }),
  };
}

/** How a request is counted. */
export interface Counting<Result> extends VendorCounter {
  /** What is asked, out of the closed list of its target. */
  readonly operation: string;
  /** What an answer counts as: {@link resultOfStatus}, but for a refused login. */
  readonly resultOf: (result: Result) => VendorResult;
}

/**
 * {@link sendOnce}, counted from when the request is ready to leave. What does not get so far is no request; one that is ended because
 * whoever wanted it has left says nothing about the vendor.
 */
export async function sendCounted<Result>(
  { monotonic, count, trace, operation, resultOf }: Counting<Result>,
  options: SendOptions,
  prepare: Parameters<typeof sendOnce>[1],
  readResponse: Parameters<typeof sendOnce<Result>>[2],
): Promise<Result> {
  let began: number | undefined;
  let span: RequestSpan | undefined;
  let status: number | undefined;
  const end = (result: VendorResult | undefined): void => {
    if (result !== undefined && began !== undefined) count(operation, result, monotonic() - began);
  };
  const ready = async () => {
    const request = await prepare();
    began = monotonic();
    span = trace(request);
    return span === undefined ? request : { ...request, headers: { ...request.headers, ...span.headers } };
  };
  try {
    const result = await sendOnce(options, ready, (response) => {
      status = response.statusCode;
      return readResponse(response);
    });
    const counted = resultOf(result);
    end(counted);
    span?.end(status, counted === "credentials" ? counted : undefined);
    return result;
  } catch (error) {
    if (error instanceof NoAnswer) {
      const result = resultOfNoAnswer(error.cause, options.signal);
      end(result);
      span?.end(status, result ?? "abandoned");
    }
    throw error;
  }
}

/** What an answer counts as by its status alone. */
export function resultOfStatus(status: number): VendorResult {
  if (status === 429) return "429";
  if (status < 300) return "2xx";
  if (status < 400) return "3xx";
  return status < 500 ? "4xx" : "5xx";
}

/** Codes of addresses at which nobody takes a connection, of Node.js and getaddrinfo. */
const REFUSED: ReadonlySet<string> = new Set(
  "ECONNREFUSED ENOTFOUND EAI_AGAIN EAI_FAIL EHOSTUNREACH EHOSTDOWN ENETUNREACH ENETDOWN".split(" "),
);

/** Codes of TLS that was not agreed on, of Node.js and OpenSSL. */
const TLS = /^(?:ERR_TLS|ERR_SSL|EPROTO|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA)/;

/** Why there was no answer; undefined where that says nothing about the vendor. */
function resultOfNoAnswer(cause: unknown, signal: AbortSignal): VendorResult | undefined {
  if (signal.aborted && cause === signal.reason) {
    // Whoever called has another reason: only a time limit of our own is one of these.
    return cause instanceof DOMException && cause.name === "TimeoutError" ? "timeout" : undefined;
  }
  if (cause instanceof AnswerTooLarge) return resultOfStatus(cause.status);
  if (cause instanceof TooLate) return "timeout";
  const code = codeOf(cause) ?? (cause instanceof Error ? codeOf(cause.cause) : undefined) ?? "";
  if (isExhausted(code)) return undefined;
  if (/TIMEOUT|TIMEDOUT/.test(code)) return "timeout";
  if (REFUSED.has(code)) return "refused";
  return TLS.test(code) ? "tls" : "reset";
}
