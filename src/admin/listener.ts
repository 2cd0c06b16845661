import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { isIP, isIPv6 } from "node:net";
import type { Metrics } from "./metrics.ts";
import { type Probes, readiness } from "./probes.ts";

/** What the admin listener serves, and where. */
export interface AdminOptions {
  /** Address, without brackets. Any: nothing can be changed through it. */
  readonly host: string;
  /** Port; 0 picks one. */
  readonly port: number;
  /** DNS names that may be asked for, beside every IP address and localhost: a rebound web page has a name, a kubelet an address. */
  readonly allowedHosts: readonly string[];
  readonly probes: Probes;
  readonly metrics: Pick<Metrics, "render">;
  /** Told why a request could not be answered: a defect. */
  readonly onError: (error: unknown) => void;
}

/** The listener at work. */
export interface AdminListener extends AsyncDisposable {
  /** Where, such as `http://0.0.0.0:8081`. */
  readonly url: string;
}

/** More connections than these are closed. */
const MAX_CONNECTIONS = 64;

/** A request must have arrived, and its answer left, after so many milliseconds. */
const REQUEST_MS = 10_000;

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
  readonly allow?: string;
}

/** Starts it. @throws Error when the address cannot be listened on. */
export async function startAdmin(options: AdminOptions): Promise<AdminListener> {
  const server = createServer({ headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS }, (request, response) => {
    const answered = answerTo(request, options).catch((error: unknown): Answer => {
      options.onError(error);
      return { status: 500, body: "this could not be answered: the log says why\n" };
    });
    void answered.then((answer) => write(request, response, answer));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = REQUEST_MS;
  server.keepAliveTimeout = REQUEST_MS;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options.port, options.host, resolve);
  await promise;
  server.off("error", reject);
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  return {
    url: `http://${isIPv6(options.host) ? `[${options.host}]` : options.host}:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

async function answerTo(request: IncomingMessage, options: AdminOptions): Promise<Answer> {
  if (!isAllowedHost(request.headersDistinct.host, options.allowedHosts)) {
    return { status: 403, body: "this Host is not allowed: an IP address, localhost, or one of admin.allowed_hosts\n" };
  }
  const url = URL.parse(request.url ?? "", "http://admin");
  const page = url === null ? undefined : PAGES[url.pathname];
  if (url === null || page === undefined) {
    return { status: 404, body: `not found: ${Object.keys(PAGES).join(" ")}\n` };
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { status: 405, body: "GET and HEAD only\n", allow: "GET, HEAD" };
  }
  return page(options, url.searchParams, request);
}

type Page = (options: AdminOptions, query: URLSearchParams, request: IncomingMessage) => Answer | Promise<Answer>;

const readyz: Page = ({ probes }, query) => {
  const { ready, body } = readiness(probes, query);
  return { status: ready ? 200 : 503, body };
};

const PAGES: Readonly<Record<string, Page>> = {
  __proto__: null as never,
  // That it is answered at all is what it says: nothing outside this process can make a restart of it help.
  "/livez": () => ({ status: 200, body: "ok\n" }),
  "/readyz": readyz,
  "/healthz": readyz,
  "/metrics": async ({ metrics }, _query, { headers }) => {
    const rendered = await metrics.render(/application\/openmetrics-text/i.test(headers.accept ?? ""));
    return { status: 200, ...rendered };
  },
};

/** One Host, and that an address, this machine, or a name that was configured. */
function isAllowedHost(hosts: readonly string[] | undefined, allowed: readonly string[]): boolean {
  const [host, ...others] = hosts ?? [];
  if (host === undefined || others.length > 0) return false;
  const name = host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  return isIP(name) !== 0 || name === "localhost" || allowed.some((one) => one.toLowerCase() === name);
}

function write(request: IncomingMessage, response: ServerResponse, { status, body, contentType, allow }: Answer): void {
  response.writeHead(status, {
    "content-type": contentType ?? "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(allow !== undefined && { allow }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
