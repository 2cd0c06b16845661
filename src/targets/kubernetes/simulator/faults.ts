import type { KubeObject } from "./json.ts";
import type { Reply } from "./replies.ts";

/** A request as it was received. */
export interface RecordedRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly path: string;
  /** Lower-case names; several values are joined, but of `impersonate-group`, and of several `impersonate-user`, there is an array. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Name of the user behind the token; empty for nobody. */
  readonly user: string;
  /** `1.1` or `2.0`. */
  readonly httpVersion: string;
  /** Empty until it was read. */
  body: string;
  /** HTTP status of the answer; undefined while there is none, or when there never was. */
  status: number | undefined;
}

/** Where a connection is cut. */
export type DisconnectPoint = "before-reading" | "before-executing" | "after-executing" | "while-answering";

/**
 * How a connection is cut: `reset` (TCP RST), `close` (FIN), and for HTTP/2 `stream` (RST_STREAM with INTERNAL_ERROR,
 * the connection stays) and `goaway` (GOAWAY naming an earlier stream, then FIN). Over HTTP/1.1 the last two close.
 */
export type DisconnectWay = "reset" | "close" | "stream" | "goaway";

/** Something that goes wrong with the requests it matches. Parts can be combined; they act in the order they are listed. */
export interface Fault {
  /** HTTP method. Default any. */
  readonly method?: string;
  /** Tested against path and query. Default any. */
  readonly path?: RegExp;
  /** Name of the user. Default any. */
  readonly user?: string;
  /** A further condition. */
  readonly when?: (request: RecordedRequest) => boolean;
  /** For how many requests. Default 1; `Number.POSITIVE_INFINITY` for all. */
  readonly times?: number;
  /** Cuts the connection instead of, or after, executing. */
  readonly disconnect?: DisconnectPoint;
  /** Default `reset`. */
  readonly way?: DisconnectWay;
  /** Runs before the request is executed: the place to change the world under it (a race). */
  readonly before?: (request: RecordedRequest) => void | Promise<void>;
  /** Milliseconds to wait before executing. A shorter `timeout` parameter is answered 504 meanwhile. */
  readonly delayBefore?: number;
  /** Admission of writes: answers the object to store (a mutating webhook), or throws a StatusError. */
  readonly admit?: (object: KubeObject, before: KubeObject | undefined) => KubeObject;
  /** Answers this. A reply comes instead of executing unless `execute` is true; a function gets the real reply. */
  readonly answer?: Reply | ((original: Reply) => Reply);
  /** With a ready `answer`: execute first, then answer it. Default false. */
  readonly execute?: boolean;
  /** Milliseconds to wait between executing and answering. */
  readonly delayAfter?: number;
  /** Further response headers, such as `warning`. */
  readonly headers?: Readonly<Record<string, string | string[]>>;
}

/** A fault in place. */
export interface InjectedFault {
  /** How many requests it hit so far. */
  readonly hits: number;
  /** Takes it away. */
  remove(): void;
}

interface Entry {
  readonly fault: Fault;
  hits: number;
}

/** The faults in place; the oldest that matches wins. */
export class FaultList {
  #entries: Entry[] = [];

  /** Puts a fault in place. */
  inject(fault: Fault): InjectedFault {
    const entry: Entry = { fault, hits: 0 };
    this.#entries.push(entry);
    return {
      get hits() {
        return entry.hits;
      },
      remove: () => {
        this.#entries = this.#entries.filter((other) => other !== entry);
      },
    };
  }

  /** Takes every fault away. */
  clear(): void {
    this.#entries = [];
  }

  /** The fault that hits this request; it counts as used. */
  take(request: RecordedRequest): Fault | undefined {
    const entry = this.#entries.find(({ fault, hits }) => hits < (fault.times ?? 1) && matches(fault, request));
    if (entry !== undefined) entry.hits += 1;
    return entry?.fault;
  }
}

function matches(fault: Fault, request: RecordedRequest): boolean {
  return (
    (fault.method === undefined || fault.method === request.method) &&
    (fault.path === undefined || fault.path.test(request.path)) &&
    (fault.user === undefined || fault.user === request.user) &&
    (fault.when === undefined || fault.when(request))
  );
}
