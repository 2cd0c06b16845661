import { readFileSync } from "node:fs";
import type { Http2Session, SecureClientSessionOptions } from "node:http2";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { CommandMistake } from "../core/command.ts";
import { readFailure } from "../core/problem.ts";

/** How a server is reached. */
export interface Route {
  /** Base URL. */
  readonly address: string;
  /** Empty for none. */
  readonly token: string;
  /** A file of certificates that the server's is checked by. */
  readonly ca: string | undefined;
  /** Whether many streams will be open at a time: then they share one connection, where that can be. */
  readonly many?: boolean;
}

/** The way to a server, which ends with {@link Channel.close}. */
export interface Channel {
  readonly transport: Transport;
  /** Lets go of what is open: a stream that is left would keep its connection, and the process. */
  close(): void;
}

/** @throws CommandMistake */
export function openChannel({ address, token, ca, many = false }: Route): Channel {
  const nodeOptions = ca === undefined ? {} : { ca: readCa(ca) };
  const common = { baseUrl: address, interceptors: token === "" ? [] : [bearer(token)] };
  const http1 = createConnectTransport({ ...common, httpVersion: "1.1", nodeOptions });
  if (!many) return { transport: http1, close: () => {} };
  const sessionManager = createSessions(address, nodeOptions);
  const http2 = createConnectTransport({ ...common, httpVersion: "2", sessionManager });
  let chosen: Promise<Transport> | undefined;
  const choose = (): Promise<Transport> => {
    chosen ??= speaksHttp2(sessionManager, address).then((spoken) => (spoken ? http2 : http1));
    return chosen;
  };
  const transport: Transport = {
    unary: async (...call) => (await choose()).unary(...call),
    stream: async (...call) => (await choose()).stream(...call),
  };
  return { transport, close: () => sessionManager.abort() };
}

/** The library's, which keeps one connection and makes another when that ends; it looks away from a session before the last error of it. */
function createSessions(address: string, nodeOptions: SecureClientSessionOptions): Sessions {
  const manager = new Http2SessionManager(address, KEEPALIVE, nodeOptions);
  const known = new WeakSet<Http2Session>();
  return {
    authority: manager.authority,
    async request(...asked: Parameters<Http2SessionManager["request"]>) {
      const stream = await manager.request(...asked);
      const { session } = stream;
      if (session !== undefined && !known.has(session)) {
        known.add(session);
        session.on("error", () => {}); // its streams say it
      }
      return stream;
    },
    notifyResponseByteRead: (stream) => manager.notifyResponseByteRead(stream),
    abort: () => manager.abort(),
  };
}

type Sessions = Pick<Http2SessionManager, "authority" | "request" | "notifyResponseByteRead" | "abort">;

/** A connection that has died without a word is told by a PING that nobody answers: its streams end then, and are asked for anew. */
const KEEPALIVE = { pingIntervalMs: 30_000, pingTimeoutMs: 15_000 };

/** So long (ms) an answer to the first request of HTTP/2 is waited for: what does not know its preface may say nothing at all. */
const FIRST_ANSWER_MS = 3_000;

/** What the first request asks for: an rpc that anybody may call, by GET. The answer is not read. */
const FIRST_REQUEST = "/restart.server.v1.ServerService/GetServer?connect=v1&encoding=json&message=%7B%7D";

/**
 * Whether somebody answers over HTTP/2, restartd itself or a proxy before it. In clear nobody says before that whether they know it, and
 * over TLS not everybody: HTTP/1.1 is what is left where no answer comes.
 */
async function speaksHttp2(manager: Sessions, address: string): Promise<boolean> {
  const path = `${new URL(address).pathname.replace(/\/$/, "")}${FIRST_REQUEST}`;
  const isAnswered = new Promise<boolean>((resolve) => {
    setTimeout(resolve, FIRST_ANSWER_MS, false).unref();
    manager.request("GET", path, {}, {}).then(
      (stream) => {
        stream.once("response", () => resolve(true));
        stream.once("error", () => resolve(false)); // whatever it is, the calls themselves say it over HTTP/1.1
        stream.once("close", () => resolve(false));
        stream.resume();
      },
      () => resolve(false),
    );
  });
  const answered = await isAnswered;
  if (!answered) manager.abort();
  return answered;
}

function readCa(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CommandMistake(`--ca ${file} cannot be read: ${readFailure(error)}`);
  }
}

/** Says who calls. */
const bearer =
  (token: string): Interceptor =>
  (next) =>
  (req) => {
    req.header.set("authorization", `Bearer ${token}`);
    return next(req);
  };
