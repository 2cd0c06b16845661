import type { Outcome } from "./errors.ts";

/** A call, as it begins. */
export interface BegunCall {
  /** `package.Service/Method`; undefined when there is no such rpc. */
  readonly rpc: string | undefined;
  /** connect, connect-stream, grpc or grpc-web. */
  readonly protocol: string;
  /** The caller's own span, by the headers of W3C Trace Context; undefined where it says none. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
}

/** How a call ended. */
export interface EndedCall {
  /** `ok`, or the name of the code in snake_case. */
  readonly code: string;
  /** One of the closed list of reasons; empty when it succeeded. */
  readonly reason: string;
  readonly outcome: Outcome;
  /** operations/{id}. */
  readonly operation: string | undefined;
  /** Resource name of what it was about. */
  readonly target: string | undefined;
}

/** The span of a call. */
export interface CallSpan {
  /** The span by W3C's header: what follows from the call is linked to it. */
  readonly traceparent: string;
  /** Does the work of the call: requests to vendors are parts of it as long as it has not ended, and linked to it from then on. */
  run<Result>(work: () => Result): Result;
  end(ended: EndedCall): void;
}

/** A request to a vendor that is ready to leave. */
export interface BegunRequest {
  /** A target's folder, such as `kubernetes`. */
  readonly system: string;
  readonly method: string;
  readonly url: URL;
}

/** The span of a request to a vendor. One that is never ended is never told. */
export interface RequestSpan {
  /** What the request says of the span: nothing where the configuration does not have it told. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * @param status of HTTP; undefined without an answer.
   * @param error why there was no good answer, out of a closed list; undefined when there was.
   */
  end(status: number | undefined, error: string | undefined): void;
}

/** Who keeps track of what leads to what (production.md §2.7). */
export interface Tracer {
  /** A call begins; undefined where nobody keeps track. */
  call(call: BegunCall): CallSpan | undefined;
  /** A request to a vendor begins; undefined where nobody keeps track. */
  request(request: BegunRequest): RequestSpan | undefined;
  /**
   * Does work that is no part of any call under way.
   *
   * @param traceparent of the call that it follows from; undefined: it follows from none.
   */
  follow<Result>(traceparent: string | undefined, work: () => Result): Result;
}

/** Keeps track of nothing. */
export const noTracer: Tracer = {
  call: () => undefined,
  request: () => undefined,
  follow: (_, work) => work(),
};
