import { once } from "node:events";
import { createSecureServer, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";

/** One HTTP/1.1 request as it came over the wire. */
export interface WireRequest {
  readonly method: string;
  /** Path and query, undecoded. */
  readonly target: string;
  /** Everything before the body, without the empty line. */
  readonly head: string;
  readonly body: string;
  /** The connection that it came over, counted from 1. */
  readonly connection: number;
  readonly socket: Socket;
}

/** A server that answers with whatever bytes a test wants. */
export interface WireServer extends AsyncDisposable {
  readonly port: number;
  /** Base address. */
  readonly url: string;
  /** Whole requests, in the order in which they came. */
  readonly requests: readonly WireRequest[];
  /** How many connections were ever opened (with TLS: shook hands). */
  readonly connections: number;
  /** Open connections. */
  readonly sockets: ReadonlySet<Socket>;
}

/** An answer with a JSON body, as bytes of HTTP/1.1. */
export const http1 = (status: number, body: unknown, headers = ""): string => {
  const text = JSON.stringify(body);
  return `HTTP/1.1 ${status} X\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n${headers}\r\n${text}`;
};

/** Starts a server that speaks HTTP/1.1 by hand, over TLS where `tls` is given. */
export async function startWireServer(answer: (request: WireRequest) => void, tls?: TlsOptions): Promise<WireServer> {
  const requests: WireRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const accept = (socket: Socket) => {
    const connection = ++connections;
    sockets.add(socket);
    let received = Buffer.alloc(0);
    socket.on("error", () => {}); // tests end connections as they like
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      for (;;) {
        const end = received.indexOf("\r\n\r\n");
        if (end < 0) return;
        const head = received.subarray(0, end).toString("latin1");
        const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
        if (received.length < end + 4 + length) return;
        const body = received.subarray(end + 4, end + 4 + length).toString("utf8");
        received = received.subarray(end + 4 + length);
        const [method = "", target = ""] = head.split(" ");
        const request = { method, target, head, body, connection, socket };
        requests.push(request);
        answer(request);
      }
    });
  };
  const server =
    tls === undefined ? createServer(accept) : createTlsServer({ ...tls, ALPNProtocols: ["http/1.1"] }, accept);
  server.on("tlsClientError", () => {}); // a client that refuses us
  const port = await listen(server);
  return {
    port,
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    requests,
    sockets,
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: () => close(server, sockets),
  };
}

/** One HTTP/2 request, whole. */
export interface StreamRequest {
  readonly headers: IncomingHttpHeaders;
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** The connection that it came over, counted from 1. */
  readonly connection: number;
  readonly stream: ServerHttp2Stream;
  readonly session: Http2Session;
}

/** An HTTP/2 server over TLS. */
export interface StreamServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Every stream that came, in order, also those that the server then refused. */
  readonly streams: readonly { readonly method: string; readonly path: string }[];
  /** How many connections were ever opened. */
  readonly connections: number;
  readonly sessions: ReadonlySet<Http2Session>;
  /** The connections that are open, as TLS. */
  readonly sockets: ReadonlySet<Socket>;
}

/** How {@link startStreamServer} behaves. */
export interface StreamServerOptions {
  /** Default 100, as an API server. */
  readonly maxConcurrentStreams?: number;
  /** Looks at a stream before its body is read; `true` when it has dealt with it. */
  readonly onStream?: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;
}

/** Starts an HTTP/2 server. */
export async function startStreamServer(
  tls: TlsOptions,
  answer: (request: StreamRequest) => void,
  { maxConcurrentStreams = 100, onStream = () => false }: StreamServerOptions = {},
): Promise<StreamServer> {
  const streams: { method: string; path: string }[] = [];
  const sessions = new Set<Http2Session>();
  const sockets = new Set<Socket>();
  const numbers = new Map<Http2Session, number>();
  const server = createSecureServer({ ...tls, settings: { maxConcurrentStreams } });
  server.on("secureConnection", (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("session", (session) => {
    sessions.add(session);
    numbers.set(session, numbers.size + 1);
    session.on("error", () => {}); // tests end connections as they like
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    const { session } = stream;
    const method = String(headers[":method"]);
    const path = String(headers[":path"]);
    streams.push({ method, path });
    stream.on("error", () => {});
    if (session === undefined || onStream(stream, headers)) return;
    let body = "";
    stream.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    stream.on("end", () =>
      answer({ headers, method, path, body, connection: numbers.get(session) ?? 0, stream, session }),
    );
  });
  server.on("tlsClientError", () => {});
  const port = await listen(server);
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    streams,
    sessions,
    sockets,
    get connections() {
      return numbers.size;
    },
    [Symbol.asyncDispose]: () => close(server, sockets),
  };
}

/** Answers a stream with JSON. */
export function respond(stream: ServerHttp2Stream, status: number, body: unknown): void {
  stream.respond({ ":status": status, "content-type": "application/json" });
  stream.end(JSON.stringify(body));
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function close(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  server.close();
  for (const socket of sockets) socket.destroy();
  await once(server, "close");
}
