import { createServer, type Server } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { authenticate, authorize, impersonate, type SimulatorUser } from "./access.ts";
import {
  cut,
  headersOf,
  type Incoming,
  type Outgoing,
  readBody,
  send,
  sendHalf,
  writeChunk,
  writeHead,
} from "./exchange.ts";
import type { Fault, FaultList, RecordedRequest } from "./faults.ts";
import { allottedTimeout, errorReply, type Reply } from "./replies.ts";
import { type RequestInfo, requestInfo } from "./request-info.ts";
import { type Routes, route } from "./routes.ts";
import { expired, StatusError, tooLarge } from "./status-errors.ts";
import type { PreparedWatch, Watch } from "./watching.ts";
import { timeoutParameter } from "./write-options.ts";

/** A request body may have 3 MiB. */
const bodyLimit = 3 * 1024 * 1024;
/** Requests that are remembered for assertions. */
const recordLimit = 2000;

/** A certificate to serve TLS with. */
export interface TlsOptions {
  /** PEM. */
  readonly key: string;
  /** PEM. */
  readonly cert: string;
}

/** What the HTTP side needs. */
export interface ServerOptions {
  readonly routes: Routes;
  readonly faults: FaultList;
  readonly users: readonly SimulatorUser[];
  /** The time (epoch ms) that answers are dated with. */
  readonly now: () => number;
  /** HTTP/2 and HTTP/1.1 by ALPN. Default: plain HTTP/1.1. */
  readonly tls?: TlsOptions | undefined;
}

/** The HTTP side: connections, authentication, faults, recording. What requests mean is in routes.ts. */
export class ApiServer implements AsyncDisposable {
  /** The newest requests, oldest first. */
  readonly requests: RecordedRequest[] = [];
  readonly #options: ServerOptions;
  readonly #sockets = new Map<number, Socket>();
  readonly #watches = new Set<Watch>();
  #server: Server | Http2SecureServer | undefined;
  #stopping = new AbortController();
  #port = 0;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /** The port; 0 before {@link listen}. */
  get port(): number {
    return this.#port;
  }

  /** TCP connections that are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Watches that are open. */
  get watches(): number {
    return this.#watches.size;
  }

  /** Listens on 127.0.0.1; port 0 takes a free one. */
  async listen(port: number): Promise<void> {
    this.#stopping = new AbortController();
    const handler = (request: Incoming, response: Outgoing) => void this.#handle(request, response);
    const { tls } = this.#options;
    const server =
      tls === undefined
        ? createServer({ keepAliveTimeout: 60_000 }, handler)
        : createSecureServer({ ...tls, allowHTTP1: true, settings: { maxConcurrentStreams: 100 } }, handler);
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      const key = socket.remotePort ?? 0;
      this.#sockets.set(key, socket);
      socket.on("close", () => this.#sockets.delete(key));
      socket.on("error", () => undefined); // a reset by the client; "close" follows
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => resolve());
    });
    const address: AddressInfo | string | null = server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : port;
  }

  /** Closes every connection and the port. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#stopping.abort();
    for (const watch of [...this.#watches]) watch.stop();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const sockets = [...this.#sockets.values()].map(
      (socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
    );
    for (const socket of this.#sockets.values()) socket.destroy();
    await Promise.all([closed, ...sockets]);
  }

  /** Ends every open watch, with a 410 ERROR event or (default) without a word. */
  endWatches(way: "expired" | "silent" = "silent"): void {
    const error = way === "expired" ? expired("too old resource version: 1 (2)") : undefined;
    for (const watch of [...this.#watches]) watch.stop(error);
  }

  /** Resets every open connection. */
  resetConnections(): void {
    for (const socket of this.#sockets.values()) socket.resetAndDestroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #handle(request: Incoming, response: Outgoing): Promise<void> {
    const record = this.#record(request);
    const fault = this.#options.faults.take(record);
    const socket = this.#sockets.get(request.socket.remotePort ?? 0);
    response.on("error", () => undefined); // the client has gone; there is nobody to tell
    response.setHeader("date", new Date(this.#options.now()).toUTCString());
    const cutAt = (point: Fault["disconnect"]): boolean => {
      if (fault === undefined || fault.disconnect !== point) return false;
      cut(request, socket, fault.way ?? "reset");
      return true;
    };
    try {
      if (cutAt("before-reading")) return;
      const body = await readBody(request, bodyLimit);
      record.body = body ?? "";
      if (cutAt("before-executing")) return;
      const query = new URL(record.path, "http://localhost").searchParams;
      const answer = await this.#deadline(record, query, this.#execute(record, fault, query, body));
      if ("open" in answer) return this.#stream(response, record, answer, fault);
      if (cutAt("after-executing")) return;
      record.status = answer.status;
      const reply = this.#finish(record, answer, fault);
      if (fault?.disconnect === "while-answering") {
        await sendHalf(request, response, reply);
        cutAt("while-answering");
        return;
      }
      send(request, response, reply);
    } catch (error) {
      if (isGone(error, this.#stopping.signal)) return;
      send(request, response, this.#finish(record, failure(error), fault));
    }
  }

  #record(request: Incoming): RecordedRequest {
    const headers = headersOf(request);
    const { authorization } = headers;
    const token = typeof authorization === "string" ? authorization.replace(/^Bearer +/i, "") : "";
    const record: RecordedRequest = {
      method: request.method ?? "GET",
      path: request.url ?? "/",
      headers,
      user: this.#options.users.find((user) => user.token === token)?.name ?? "",
      httpVersion: request.httpVersion,
      body: "",
      status: undefined,
    };
    this.requests.push(record);
    if (this.requests.length > recordLimit) this.requests.shift();
    return record;
  }

  async #execute(
    record: RecordedRequest,
    fault: Fault | undefined,
    query: URLSearchParams,
    body: string | undefined,
  ): Promise<Reply | PreparedWatch> {
    await fault?.before?.(record);
    if (fault?.delayBefore !== undefined) await this.#wait(fault.delayBefore);
    const { answer } = fault ?? {};
    if (typeof answer === "object" && fault?.execute !== true) return answer;
    const real = this.#run(record, fault, query, body);
    if (fault?.delayAfter !== undefined) await this.#wait(fault.delayAfter);
    if (answer === undefined || "open" in real) return real;
    return typeof answer === "function" ? answer(real) : answer;
  }

  #run(
    record: RecordedRequest,
    fault: Fault | undefined,
    query: URLSearchParams,
    body: string | undefined,
  ): Reply | PreparedWatch {
    const { users, routes } = this.#options;
    const path = record.path.split("?")[0] ?? "/";
    const info: RequestInfo = requestInfo(record.method, path, query);
    try {
      if (isPublic(info) && record.headers.authorization === undefined) {
        return route(routes, { ...record, query, info, body: "" });
      }
      const user = authenticate(users, record.headers);
      authorize(impersonate(user, users, record.headers, info), info);
      if (body === undefined) throw tooLarge(bodyLimit);
      return route(routes, { ...record, query, info, body, admit: fault?.admit });
    } catch (error) {
      if (error instanceof StatusError) return errorReply(error);
      throw error;
    }
  }

  /** The `timeout` parameter bounds everything but watches; what is being executed goes on. */
  async #deadline<T extends Reply | PreparedWatch>(
    record: RecordedRequest,
    query: URLSearchParams,
    work: Promise<T>,
  ): Promise<T | Reply> {
    let limit: number | undefined;
    try {
      limit = timeoutParameter(query);
    } catch (error) {
      work.catch(() => undefined); // its outcome is not asked for any more
      if (error instanceof StatusError) return errorReply(error);
      throw error;
    }
    limit ??= record.method === "GET" ? 60_000 : 34_000;
    const timer = new AbortController();
    const late = delay(limit, allottedTimeout(), { signal: timer.signal, ref: false });
    late.catch(() => undefined); // aborted below, once the work was faster
    try {
      return await Promise.race([work, late]);
    } finally {
      timer.abort();
    }
  }

  #stream(response: Outgoing, record: RecordedRequest, prepared: PreparedWatch, fault: Fault | undefined): void {
    record.status = 200;
    const head = this.#finish(
      record,
      { status: 200, headers: { "content-type": "application/json" }, body: "" },
      fault,
    );
    writeHead(response, 200, { ...head.headers });
    const sink = {
      write: (line: string) => writeChunk(response, line),
      end: () => void response.end(),
    };
    const watch = prepared.open(sink, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    response.on("close", () => watch.stop());
    if (response.writableEnded) this.#watches.delete(watch);
  }

  /** The headers that every answer carries. */
  #finish(record: RecordedRequest, reply: Reply, fault: Fault | undefined): Reply {
    const given = record.headers["audit-id"];
    const headers = {
      "audit-id": typeof given === "string" && given !== "" ? given : this.#options.routes.ambient.id(),
      "cache-control": "no-cache, private",
      "x-kubernetes-pf-flowschema-uid": "e9c7879b-5bd3-4e69-948a-c27046787742",
      "x-kubernetes-pf-prioritylevel-uid": "825b4771-0edc-4b75-925f-7eb4b2ce33ac",
      ...reply.headers,
      ...fault?.headers,
    };
    const agent = record.headers["user-agent"];
    const readable =
      /[?&]pretty=(true|1)/.test(record.path) || (typeof agent === "string" && /^(curl|Mozilla|Wget)/.test(agent));
    return { ...reply, headers, body: readable ? prettify(reply) : reply.body };
  }

  async #wait(milliseconds: number): Promise<void> {
    await delay(milliseconds, undefined, { signal: this.#stopping.signal });
  }
}

/** A defect of the simulator, or of a fault's callback, is an answer that names it: a test must not wait for nothing. */
function failure(error: unknown): Reply {
  if (error instanceof StatusError) return errorReply(error);
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return errorReply(new StatusError(500, "InternalError", `Internal error occurred: simulator: ${message}`));
}

/** Health and version are open to everyone, as `system:public-info-viewer` makes them. */
function isPublic(info: RequestInfo): boolean {
  return info.kind === "path" && /^\/(version|healthz|livez|readyz)\/?$/.test(info.path);
}

function prettify(reply: Reply): string {
  if (reply.headers["content-type"] !== "application/json" || !reply.body.startsWith("{")) return reply.body;
  try {
    return `${JSON.stringify(JSON.parse(reply.body), null, 2)}\n`;
  } catch {
    return reply.body; // a fault's broken JSON stays as broken as it was meant
  }
}

/** Whether an error only says that the client or the server itself went away. */
function isGone(error: unknown, stopping: AbortSignal): boolean {
  if (stopping.aborted) return true;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return (
    code === "ECONNRESET" ||
    code === "ERR_STREAM_PREMATURE_CLOSE" ||
    code === "ERR_HTTP2_INVALID_STREAM" ||
    code === "EPIPE"
  );
}
