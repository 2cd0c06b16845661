import { createServer, type Server as Http1Server, type IncomingMessage, type ServerResponse } from "node:http";
import { constants, createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from "node:http2";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import { isIPv6, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { Http2Request, Http2Response } from "./http2.ts";
import type { Logger } from "./log.ts";
import type { PatienceLimits } from "./patience.ts";
import { type SessionOptions, superviseSession } from "./sessions.ts";
import type { Tls } from "./tls.ts";

/** Bounds of what a connection may take, whatever it carries. */
export interface PortLimits extends SessionOptions, PatienceLimits {
  /** Most bytes of a request's headers. */
  readonly maxHeaderBytes: number;
  /** The headers of a request must have arrived after so many milliseconds; a new connection's first bytes too. */
  readonly headersTimeoutMs: number;
  /** A whole request of HTTP/1.1 must have arrived after so many milliseconds. */
  readonly requestTimeoutMs: number;
  /** Most calls at a time on one connection of HTTP/2. */
  readonly maxConcurrentStreams: number;
  /** Most connections at a time. What comes beyond is closed at once, and the log says so. */
  readonly maxConnections: number;
}

/** Who gets what arrives at a port. */
export interface PortHandlers {
  /** Gets every request. */
  request(request: IncomingMessage | Http2Request, response: ServerResponse | Http2Response): void;
  /**
   * Gets a connection of HTTP/1.1 on which something came that Node refuses, and has to close it.
   *
   * @param response the one that is being made on the connection, if any.
   */
  refused(error: Error, socket: Duplex, response: ServerResponse | undefined): void;
}

/** What {@link PortLimits} are unless somebody says otherwise. */
export const DEFAULT_PORT_LIMITS: Omit<PortLimits, "maxConnections"> = {
  maxHeaderBytes: 16 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  maxConcurrentStreams: 1000, // watches are long: calls of the same client would wait behind them
  pingIntervalMs: 30_000,
  pingTimeoutMs: 10_000,
  idleTimeoutMs: 300_000,
  stallMs: 30_000,
  drainingStallMs: 1000,
};

/** Sessions that are cut off have so many milliseconds to tell their clients. */
const CUT_OFF_MS = 50;

/** After so many milliseconds the log says again that connections are refused. */
const LOG_AGAIN_MS = 10_000;

/** Bytes that tell the preface of HTTP/2, `PRI`, from every method of HTTP/1.1. */
const PREFACE = "PRI";

/**
 * A port that speaks HTTP/1.1 and HTTP/2: in clear each connection by the first bytes that its client sends, over TLS by what the
 * client chose (ALPN).
 */
export class Port implements AsyncDisposable {
  readonly #handlers: PortHandlers;
  readonly #http1: Http1Server | HttpsServer;
  readonly #http2: Http2Server;
  readonly #limits: PortLimits;
  readonly #log: Logger;
  readonly #sockets = new Set<Socket>();
  readonly #silent = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Connections of HTTP/1.1 over TLS. */
  readonly #encrypted = new Set<Socket>();
  /** Those of them that end after the call under way. */
  readonly #old = new WeakSet<Socket>();
  /** Connections by their peer, for TLS wraps them in others. */
  readonly #handshaking = new Map<string, Socket>();

  /** @param tls what connections are encrypted by; undefined: they are not. */
  constructor(handlers: PortHandlers, log: Logger, limits: PortLimits, tls?: Tls) {
    this.#handlers = handlers;
    this.#log = log;
    this.#limits = limits;
    this.#http1 = this.#createHttp1(tls);
    this.#http2 = this.#createHttp2();
  }

  /** @returns the port that was taken, the one that was asked for unless that is 0. */
  async listen(host: string, port: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#http1.once("error", reject);
    this.#http1.listen({ host, port }, resolve);
    await promise;
    this.#http1.off("error", reject);
    this.#http1.on("error", (error) => this.#log.error({ detail: error.message }, "listener"));
    const address = this.#http1.address();
    return address === null || typeof address === "string" ? port : address.port;
  }

  /**
   * Takes no connection any longer and closes each as soon as no request is left on it.
   *
   * @param limitMs what is open then is cut off.
   */
  async close(limitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#http1.close(() => resolve());
    this.#http1.closeIdleConnections();
    for (const socket of this.#silent) {
      socket.destroy();
    }
    for (const session of this.#sessions) {
      session.close();
    }
    const cutOff = setTimeout(() => {
      // Not by their sockets alone: a client that sees a connection end without a word may wait for the answer for ever.
      for (const session of this.#sessions) {
        session.destroy(undefined, constants.NGHTTP2_CANCEL);
      }
    }, limitMs);
    const destroy = setTimeout(() => {
      for (const socket of this.#sockets) {
        socket.destroy();
      }
    }, limitMs + CUT_OFF_MS);
    await promise;
    clearTimeout(cutOff);
    clearTimeout(destroy);
  }

  /** Cuts everything off. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0);
  }

  #createHttp1(tls: Tls | undefined): Http1Server | HttpsServer {
    const limits = this.#limits;
    const responses = new WeakMap<Duplex, ServerResponse>();
    const options = {
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: Math.max(limits.requestTimeoutMs, limits.headersTimeoutMs),
      keepAliveTimeout: limits.idleTimeoutMs,
      connectionsCheckingInterval: Math.min(1000, limits.headersTimeoutMs),
      requireHostHeader: false, // ours to refuse, with a reason
      keepAlive: true,
      keepAliveInitialDelay: limits.pingIntervalMs,
    };
    const server = tls === undefined ? createServer(options) : createHttpsServer({ ...options, ...this.#secure(tls) });
    server.on("request", (request, response) => {
      responses.set(request.socket, response);
      this.#handlers.request(request, response);
    });
    // What a client expects is no reason to answer in another form than ours.
    server.on("checkExpectation", this.#handlers.request);
    server.on("connect", (_request, socket) => {
      this.#handlers.refused(Object.assign(new Error("CONNECT"), { code: "CONNECT" }), socket, undefined);
    });
    server.on("clientError", (error, socket) => {
      const response = responses.get(socket);
      this.#handlers.refused(error, socket, response?.writableFinished ? undefined : response);
    });
    server.maxConnections = limits.maxConnections;
    server.on("drop", this.#logDrop());
    // Node's own listeners stay behind the choice of a protocol: only a server that listens itself enforces its timeouts.
    const event = tls === undefined ? "connection" : "secureConnection";
    const toHttp1 = server.listeners(event);
    server.removeAllListeners(event);
    const speakHttp1 = (socket: Socket): void => {
      for (const listener of toHttp1) {
        listener.call(server, socket);
      }
    };
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      socket.on("error", (error) => this.#log.debug({ detail: error.message }, "connection"));
      if (tls === undefined) this.#peek(socket, () => speakHttp1(socket));
      else this.#waitForHandshake(socket);
    });
    if (tls !== undefined && "setSecureContext" in server) this.#encrypt(server, tls, speakHttp1);
    return server;
  }

  /** Says that connections are refused, at most every so often. */
  #logDrop(): () => void {
    let refused = 0;
    let loggedAt = Number.NEGATIVE_INFINITY;
    return () => {
      refused++;
      if (performance.now() - loggedAt < LOG_AGAIN_MS) return;
      loggedAt = performance.now();
      this.#log.warn(
        { connections: this.#limits.maxConnections, refused },
        "too many connections: new ones are refused; raise the limit of open files, or add replicas",
      );
    };
  }

  /** What TLS needs beside what HTTP does. */
  #secure(tls: Tls) {
    return {
      ...tls.context,
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: this.#limits.headersTimeoutMs,
      requestCert: tls.asksClients,
      // Whoever has none may have a token. One that is not trusted is refused with a reason, call by call.
      rejectUnauthorized: false,
    };
  }

  /** A connection whose handshake is not over is closed with the port at once. */
  #waitForHandshake(socket: Socket): void {
    const peer = peerOf(socket);
    this.#handshaking.set(peer, socket);
    this.#silent.add(socket);
    socket.once("close", () => {
      this.#silent.delete(socket);
      if (this.#handshaking.get(peer) === socket) this.#handshaking.delete(peer);
    });
  }

  /** Hands each connection, when its handshake is over, to the protocol that its client chose. */
  #encrypt(server: HttpsServer, tls: Tls, speakHttp1: (socket: Socket) => void): void {
    tls.follow((context, anew) => {
      server.setSecureContext(context);
      if (anew) this.#renew(server);
    });
    server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
      response.once("finish", () => {
        if (this.#old.has(socket)) socket.end();
      });
    });
    // Node's own listener would have HTTP answer what is no TLS.
    server.removeAllListeners("tlsClientError");
    server.on("tlsClientError", (error, socket) => {
      this.#log.debug({ peer: socket.remoteAddress, detail: error.message }, "tls handshake");
      socket.destroy();
    });
    server.on("secureConnection", (socket: TLSSocket) => {
      const raw = this.#handshaking.get(peerOf(socket));
      if (raw !== undefined) this.#silent.delete(raw);
      socket.on("error", (error) => this.#log.debug({ detail: error.message }, "connection"));
      if (socket.alpnProtocol === "h2") {
        this.#http2.emit("connection", socket);
        return;
      }
      this.#encrypted.add(socket);
      socket.once("close", () => this.#encrypted.delete(socket));
      speakHttp1(socket);
    });
  }

  /** Has every connection made anew after its calls: clients are judged when it is made, and now in another way. */
  #renew(server: HttpsServer): void {
    for (const session of this.#sessions) session.close();
    for (const socket of this.#encrypted) this.#old.add(socket);
    server.closeIdleConnections();
  }

  #createHttp2(): Http2Server {
    const { maxConcurrentStreams, maxHeaderBytes } = this.#limits;
    const server = createHttp2Server({ settings: { maxConcurrentStreams, maxHeaderListSize: maxHeaderBytes } });
    server.on("stream", (stream, headers, _flags, rawHeaders) => {
      if (headers.expect === "100-continue" && !stream.closed) stream.additionalHeaders({ ":status": 100 });
      this.#handlers.request(new Http2Request(stream, headers, rawHeaders), new Http2Response(stream));
    });
    server.on("sessionError", (error) => this.#log.debug({ detail: String(error) }, "http/2 session"));
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
      superviseSession(session, this.#limits, this.#log);
    });
    return server;
  }

  /** Waits for a connection's first bytes and hands it to HTTP/2, or to `toHttp1`. */
  #peek(socket: Socket, toHttp1: () => void): void {
    let head = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), this.#limits.headersTimeoutMs);
    const stop = (): void => {
      clearTimeout(timer);
      this.#silent.delete(socket);
      socket.off("readable", onReadable);
      socket.off("close", stop);
      socket.off("end", onEnd);
    };
    // Whoever has nothing to say any more gets no answer either.
    const onEnd = (): void => void socket.destroy();
    const onReadable = (): void => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        head = Buffer.concat([head, chunk]);
      }
      if (head.length < PREFACE.length) {
        return;
      }
      stop();
      socket.unshift(head);
      if (head.toString("latin1", 0, PREFACE.length) === PREFACE) {
        // A session on a half-open socket would not notice that its client has gone while it waits for it to read.
        socket.allowHalfOpen = false;
        this.#http2.emit("connection", socket);
      } else {
        toHttp1();
      }
    };
    this.#silent.add(socket);
    socket.on("readable", onReadable);
    socket.on("close", stop);
    socket.on("end", onEnd);
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/** The address as it stands in a URL. */
export const urlOf = (host: string, port: number, secure = false): string =>
  `${secure ? "https" : "http"}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
