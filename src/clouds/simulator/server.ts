import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { encodeReply, type VendorHandler, type VendorReply, type VendorRequest } from "./exchange.ts";
import { type Chaos, type ChaosReplies, type Fault, FaultList, type InjectedFault } from "./faults.ts";

/** What a vendor's server is like, beside what it answers. */
export interface VendorServerOptions {
  /** Which requests may change something: what chaos hits. Default all but GET and HEAD. */
  readonly changes?: (request: VendorRequest) => boolean;
  /** How the vendor, or what stands before it, says what chaos has it say. Default texts of a proxy. */
  readonly chaosReplies?: Partial<ChaosReplies>;
  /** Serves HTTPS with this key and certificate (PEM). Default HTTP. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** A vendor's server on loopback: it records, fails on demand, and leaves what is answered to its handler. */
export interface VendorServer extends AsyncDisposable {
  /** Where it is reached, such as `http://127.0.0.1:40123`: no slash at the end. */
  readonly url: string;
  /** Every request received so far, the oldest first. Its answer's status comes in later. */
  readonly requests: readonly VendorRequest[];
  /** Forgets the requests recorded so far. */
  forgetRequests(): void;
  /** Puts a fault in place. */
  inject(fault: Fault): InjectedFault;
  /** Takes every fault away; chaos stays. */
  clearFaults(): void;
  /** Makes requests that may change something go wrong at random; undefined ends it. */
  chaos(chaos: Chaos | undefined): void;
  /** Cuts every connection and ends; nobody listens from then on. Throws, once, what the handler threw, if it ever did. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The largest body (bytes) that is read: no request of ours comes near. */
const MAX_BODY_BYTES = 1_048_576;

/** Gateways take more than the 16 kB of Node.js: a token can have as much. */
const HEADS = { maxHeaderSize: 256 * 1024 };

const PROXY_REPLIES: ChaosReplies = {
  serverError: { status: 502, headers: { "content-type": "text/html" }, body: "<html><h1>502 Bad Gateway</h1></html>" },
  throttled: { status: 429, headers: { "retry-after": "1" }, body: "too many requests" },
};

/** Starts a vendor's server on 127.0.0.1, on a port that is free. */
export async function startVendorServer(
  handle: VendorHandler,
  options: VendorServerOptions = {},
): Promise<VendorServer> {
  const faults = new FaultList({ ...PROXY_REPLIES, ...options.chaosReplies });
  const changes = options.changes ?? (({ method }) => method !== "GET" && method !== "HEAD");
  const requests: VendorRequest[] = [];
  const defects: unknown[] = [];
  const stopping = new AbortController();

  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const bytes = await readBody(incoming);
    if (bytes === undefined) {
      await send(response, { status: 413, headers: { connection: "close" } });
      return;
    }
    const request = recorded(incoming, bytes);
    requests.push(request);
    const fault = faults.take(request, changes(request)) ?? {};
    await play({ request, response, fault, handle, signal: stopping.signal });
  };
  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    serve(incoming, response).catch((error: unknown) => {
      // A client that went away while its request was read, or a server that stops, is no mistake of the handler.
      if (!incoming.complete || stopping.signal.aborted) return;
      defects.push(error);
      response.destroy();
    });
  };
  const server =
    options.tls === undefined ? createServer(HEADS, listener) : createTlsServer({ ...HEADS, ...options.tls }, listener);
  const port = await listen(server);

  return {
    url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    requests,
    forgetRequests: () => {
      requests.length = 0;
    },
    inject: (fault) => faults.inject(fault),
    clearFaults: () => faults.clear(),
    chaos: (chaos) => faults.chaos(chaos),
    [Symbol.asyncDispose]: async () => {
      if (stopping.signal.aborted) return;
      stopping.abort();
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
      if (defects.length > 0) throw new AggregateError(defects, "the simulator's handler threw");
    },
  };
}

/** Listens on a free port; answers which. */
async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}

interface Scene {
  readonly request: VendorRequest;
  readonly response: ServerResponse;
  readonly fault: Fault;
  readonly handle: VendorHandler;
  readonly signal: AbortSignal;
}

/** Takes a request through its fault to its answer. */
async function play({ request, response, fault, handle, signal }: Scene): Promise<void> {
  await fault.before?.(request);
  await pause(fault.delayBefore, signal);
  if (fault.disconnect === "before-executing") {
    cut(response);
    return;
  }
  const { answer } = fault;
  const executes = answer === undefined || typeof answer === "function" || fault.execute === true;
  const original = executes ? await execute(request, handle) : undefined;
  const reply = typeof answer === "function" ? answer(original ?? { status: 500 }) : (answer ?? original);
  await pause(fault.delayAfter, signal);
  if (fault.disconnect === "after-executing" || reply === undefined) {
    cut(response);
    return;
  }
  request.status = reply.status;
  await (fault.disconnect === "while-answering" ? sendHalf(response, reply) : send(response, reply));
}

async function execute(request: VendorRequest, handle: VendorHandler): Promise<VendorReply> {
  request.executed = true;
  return handle(request);
}

async function pause(milliseconds: number | undefined, signal: AbortSignal): Promise<void> {
  if (milliseconds !== undefined) await delay(milliseconds, undefined, { signal });
}

/** Ends the connection at once, so that the client cannot take it for an orderly end. */
const cut = (response: ServerResponse): void => {
  response.socket?.resetAndDestroy();
};

async function send(response: ServerResponse, reply: VendorReply): Promise<void> {
  const { status, headers, body } = encodeReply(reply);
  response.writeHead(status, headers);
  response.end(body);
}

/** Sends the head and half of the body, and cuts the connection once that is on its way. */
async function sendHalf(response: ServerResponse, reply: VendorReply): Promise<void> {
  const { status, headers, body: text } = encodeReply(reply);
  const body = Buffer.from(text);
  response.writeHead(status, { ...headers, "content-length": `${body.byteLength + 1}` });
  await new Promise<void>((resolve) => {
    response.once("close", resolve);
    response.write(body.subarray(0, Math.ceil(body.byteLength / 2)), () => resolve());
  });
  cut(response);
}

/** The body, or undefined when it is larger than allowed. */
async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    const bytes = Buffer.from(chunk);
    size += bytes.byteLength;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function recorded(incoming: IncomingMessage, bytes: Buffer): VendorRequest {
  const url = incoming.url ?? "/";
  const mark = url.indexOf("?");
  return {
    method: incoming.method ?? "GET",
    url,
    path: mark === -1 ? url : url.slice(0, mark),
    query: new URLSearchParams(mark === -1 ? "" : url.slice(mark + 1)),
    headers: Object.fromEntries(
      Object.entries(incoming.headersDistinct).map(([name, values]) => [name, (values ?? []).join(", ")]),
    ),
    body: bytes.toString("utf8"),
    bytes,
    executed: false,
    status: undefined,
  };
}
