import { subscribe } from "node:diagnostics_channel";
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { formOf } from "./answer.ts";

/** Holds the handle of a stream's connection until that of the stream is collected. */
const connections = new FinalizationRegistry<object>(() => {});

// Where a client breaks the protocol, headers of a stream can be left that Node (24.21, 26.10) has not given to anybody, and that lie in
// the memory of the connection. A connection that is collected before such a stream, in one go, ends the process by an assertion: a few
// frames of anybody would be enough.
subscribe("http2.server.stream.created", (created) => {
  const { stream } = created as { readonly stream: ServerHttp2Stream };
  const handle = handleOf(stream);
  const connection = stream.session && handleOf(stream.session);
  if (handle !== undefined && connection !== undefined) connections.register(handle, connection);
});

let handleKey: symbol | undefined;

/** What Node's own code in C++ knows something by. It has no name that is public. */
function handleOf(owner: object): object | undefined {
  handleKey ??= Object.getOwnPropertySymbols(owner).find(({ description }) => description === "kHandle");
  return handleKey && Reflect.get(owner, handleKey);
}

/**
 * A request of HTTP/2: its stream, as far as a request of HTTP/1.1 has the same. Node's compatibility layer makes two more streams for
 * each, which every call pays for, and every watcher keeps (3 kB).
 */
export class Http2Request {
  readonly httpVersion = "2.0";
  readonly httpVersionMajor = 2;
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: string[]) {
    this.stream = stream;
    this.headers = headers;
    this.rawHeaders = rawHeaders;
  }

  get method(): string | undefined {
    return this.headers[":method"];
  }

  get url(): string | undefined {
    return this.headers[":path"];
  }

  /** What its connection goes over; undefined when that has ended. */
  get socket(): Socket | undefined {
    return this.stream.session?.socket;
  }
}

/** The answer to a request of HTTP/2: its stream, as far as an answer of HTTP/1.1 has the same. */
export class Http2Response {
  statusCode = 200;
  readonly stream: ServerHttp2Stream;
  #headers: OutgoingHttpHeaders | undefined = {};
  #trailers: Readonly<Record<string, string>> | undefined;

  constructor(stream: ServerHttp2Stream) {
    this.stream = stream;
  }

  setHeader(name: string, value: string): void {
    if (this.#headers !== undefined) this.#headers[name.toLowerCase()] = value;
  }

  /** @throws Error when there is a header that HTTP/2 cannot carry. */
  flushHeaders(): void {
    const { stream } = this;
    const headers = this.#headers;
    this.#headers = undefined;
    if (headers === undefined || stream.closed || stream.destroyed) return;
    headers[":status"] = this.statusCode;
    // Without trailers the last bytes say themselves that they are.
    const waitForTrailers = formOf(String(headers["content-type"])) === "grpc";
    if (waitForTrailers) stream.once("wantTrailers", () => stream.sendTrailers(this.#trailers ?? {}));
    stream.respond(headers, { waitForTrailers });
  }

  /** @returns whether more can be written before there is a `drain`. */
  write(chunk: Uint8Array): boolean {
    this.flushHeaders();
    return this.stream.write(chunk);
  }

  /** To be called before the answer has ended, for one of gRPC. */
  addTrailers(trailers: Readonly<Record<string, string>>): void {
    this.#trailers = trailers;
  }

  end(): void {
    this.flushHeaders();
    this.stream.end();
  }

  destroy(): void {
    this.stream.destroy();
  }

  on(event: "error", listener: (error: Error) => void): void {
    this.stream.on(event, listener);
  }

  once(event: "close" | "drain", listener: () => void): void {
    this.stream.once(event, listener);
  }

  off(event: "close" | "drain", listener: () => void): void {
    this.stream.off(event, listener);
  }
}
