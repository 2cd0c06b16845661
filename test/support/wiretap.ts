import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Backend } from "./backend.ts";

/** A request that reached the tap. */
export interface TappedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** The kubeconfig's context that it came from. */
  readonly user: string;
  /** Whether it reached the API server. */
  forwarded: boolean;
  /** HTTP status that its sender got; undefined while there is none, and for good when the connection was cut. */
  status: number | undefined;
}

/** An answer on its way to restartd. */
export interface TappedAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: string;
  /** Cut the connection in the middle of the body. Default false. */
  readonly truncated?: boolean;
}

/** Gets a request instead of the API server. Answers in its place, or undefined to cut the connection. */
export type Hook = (
  request: TappedRequest,
  forward: Forward,
) => Promise<TappedAnswer | undefined> | TappedAnswer | undefined;

/** Asks the API server, at another path where one is given. */
export type Forward = (path?: string) => Promise<TappedAnswer>;

/**
 * An HTTP server between restartd and an API server: it sees every request, and single ones can be held, answered in the API server's
 * place (executed or not), or cut. The same for a simulator and a real control plane.
 */
export interface Wiretap extends AsyncDisposable {
  readonly url: string;
  /** Path of a kubeconfig with the contexts of the backend's, and `impersonator`: a patcher that acts as somebody else. */
  readonly kubeconfig: string;
  /** Every request, in order. */
  readonly requests: readonly TappedRequest[];
  /** PATCHes that would persist something, in order. */
  readonly writes: readonly TappedRequest[];
  /** Of those, the ones that were not refused with a 4xx: a restart has at most one of them. */
  readonly applicable: readonly TappedRequest[];
  /** Sends the next `times` (default 1) matching requests through a hook. */
  on(matches: (request: TappedRequest) => boolean, hook: Hook, times?: number): void;
  /** What hooks threw, which is a test's mistake. */
  readonly mistakes: readonly unknown[];
  /** Forgets requests and hooks. */
  reset(): void;
}

/** A PATCH that would persist something. */
export const isWrite = ({ method, query }: TappedRequest): boolean => method === "PATCH" && !query.has("dryRun");

/** A dry run. */
export const isDryRun = ({ method, query }: TappedRequest): boolean => method === "PATCH" && query.has("dryRun");

/** A read of one object. */
export const isRead = ({ method, path }: TappedRequest): boolean =>
  method === "GET" && /\/namespaces\/[^/]+\/[^/]+\/[^/]+$/.test(path);

/** A list that restartd can do without: of what is only good to know. */
export const isAside = ({ method, query }: TappedRequest): boolean =>
  method === "GET" && query.get("resourceVersion") === "0" && !query.has("watch");

/** A read of what a group's version serves. */
export const isDiscovery = ({ method, path }: TappedRequest): boolean =>
  method === "GET" && /^\/(api|apis\/[^/]+)\/[^/]+$/.test(path);

/** Headers that concern one connection, or that the sender has to make. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
  "host",
  "authorization",
]);

/** Where the API server itself gives no answer, neither does the tap. */
class NotForwarded extends Error {
  override readonly name = "NotForwarded";
}

/** Opens a tap in front of an API server. */
export async function openWiretap(backend: Backend): Promise<Wiretap> {
  const requests: TappedRequest[] = [];
  const mistakes: unknown[] = [];
  const hooks: { matches: (request: TappedRequest) => boolean; hook: Hook; left: number }[] = [];
  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = await toTapped(incoming);
    requests.push(request);
    const forward: Forward = async (path = request.path) => {
      request.forwarded = true;
      const query = request.query.size > 0 ? `?${request.query}` : "";
      const { "content-type": contentType, ...headers } = passed(request.headers);
      return backend
        .request(request.method, path + query, {
          user: request.user,
          headers,
          ...(request.body !== "" && { body: JSON.parse(request.body), contentType: String(contentType) }),
        })
        .catch((cause: unknown) => {
          throw new NotForwarded("the API server gave no answer", { cause });
        });
    };
    const entry = hooks.find(({ matches, left }) => left > 0 && matches(request));
    if (entry !== undefined) {
      entry.left -= 1;
    }
    const answer = await (entry?.hook ?? ((_request, through) => through()))(request, forward);
    if (answer === undefined) {
      incoming.socket.destroy();
      return;
    }
    request.status = answer.status;
    send(response, answer);
  };
  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      if (!(error instanceof NotForwarded)) {
        mistakes.push(error);
      }
      incoming.socket.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  const folder = mkdtempSync(join(tmpdir(), "wiretap-"));
  const kubeconfig = join(folder, "kubeconfig");
  writeFileSync(kubeconfig, kubeconfigOf(url, ["admin", ...backend.users]));
  return {
    url,
    kubeconfig,
    requests,
    mistakes,
    get writes() {
      return requests.filter(isWrite);
    },
    get applicable() {
      return requests.filter(isWrite).filter(({ status = 0 }) => status < 400 || status >= 500);
    },
    on: (matches, hook, times = 1) => void hooks.push({ matches, hook, left: times }),
    reset() {
      requests.length = 0;
      hooks.length = 0;
      mistakes.length = 0;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function toTapped(incoming: IncomingMessage): Promise<TappedRequest> {
  const { pathname, searchParams } = new URL(incoming.url ?? "/", "http://tap");
  return {
    method: incoming.method ?? "",
    path: pathname,
    query: searchParams,
    headers: incoming.headers,
    body: await text(incoming),
    user: (incoming.headers.authorization ?? "").replace("Bearer ", ""),
    forwarded: false,
    status: undefined,
  };
}

function passed(headers: TappedRequest["headers"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      HOP_BY_HOP.has(name) || value === undefined ? [] : [[name, String(value)]],
    ),
  );
}

function send(response: ServerResponse, { status, headers = {}, body = "", truncated = false }: TappedAnswer): void {
  for (const [name, value] of Object.entries(headers)) {
    if (!HOP_BY_HOP.has(name) && value !== undefined) {
      response.setHeader(name, value);
    }
  }
  response.setHeader("content-length", Buffer.byteLength(body));
  response.writeHead(status);
  if (truncated) {
    response.write(body.slice(0, body.length / 2), () => response.destroy());
  } else {
    response.end(body);
  }
}

function kubeconfigOf(url: string, users: readonly string[]): string {
  const named = users.map((name) => ({ name, user: { token: name } as Record<string, string> }));
  named.push({ name: "impersonator", user: { token: "patcher", as: "somebody" } });
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "admin",
    clusters: [{ name: "tapped", cluster: { server: url } }],
    contexts: named.map(({ name }) => ({ name, context: { cluster: "tapped", user: name } })),
    users: named,
  });
}
