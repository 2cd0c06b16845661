import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { Agent, type Dispatcher, ProxyAgent } from "undici";
import { FreshPool } from "./fresh-pool.ts";

/** How a cluster is connected to. Equal (deeply) as long as connections made by it are still right. */
export interface Transport {
  /** PEM of the authorities that the server's certificate is judged by. Default: the system's. */
  readonly ca: readonly string[] | undefined;
  /** PEM of our own certificate, with its key. */
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
  /** The name that the server's certificate is for. Default: the address's. */
  readonly serverName: string | undefined;
  readonly skipVerify: boolean;
  readonly proxy: string | undefined;
  /** Whether it is HTTP/1.1 alone. Default: HTTP/2 where the server speaks it. */
  readonly http1?: boolean;
}

/** Bounds the TCP and TLS handshakes, and a proxy's (ms). */
const CONNECT_TIMEOUT_MS = 10_000;

/** How often (ms) a quiet HTTP/2 connection says something: more often than load balancers forget connections (from 60 s). */
const PING_INTERVAL_MS = 20_000;

/** For how long (ms) a connection is kept that nothing uses. API servers close theirs after 90 s. */
const KEEP_ALIVE_MS = 30_000;

/** How long (ms) a TCP connection is quiet before the kernel asks whether it is still there. */
const PROBE_MS = 30_000;

/** Makes the connections of a cluster. Throws when its certificates and keys are none, or do not fit together. */
export function openTransport({
  ca,
  certificate,
  serverName,
  skipVerify,
  proxy,
  http1 = false,
}: Transport): Dispatcher {
  const secureContext = createSecureContext({ ca: [...(ca ?? systemAuthorities())], ...certificate });
  const tls = {
    secureContext,
    rejectUnauthorized: !skipVerify,
    timeout: CONNECT_TIMEOUT_MS,
    ...(serverName !== undefined && { servername: serverName }),
  };
  const common = { allowH2: !http1, h2Options: { pingInterval: PING_INTERVAL_MS }, keepAliveTimeout: KEEP_ALIVE_MS };
  if (proxy === undefined) {
    const connect = { ...tls, keepAlive: true, keepAliveInitialDelay: PROBE_MS };
    return new FreshPool((factory) => new Agent({ ...common, connect, factory } as Agent.Options));
  }
  // undici's SOCKS does not ask for HTTP/2 by itself.
  const requestTls = { ...tls, ALPNProtocols: http1 ? ["http/1.1"] : ["h2", "http/1.1"] };
  const proxyTls = proxy.startsWith("https:") ? { proxyTls: { secureContext: proxyContext() } } : {};
  const options = { ...common, ...proxyTls, uri: proxy, requestTls, connectTimeout: CONNECT_TIMEOUT_MS };
  return new FreshPool((factory) => new ProxyAgent({ ...options, factory } as ProxyAgent.Options));
}

let authorities: readonly string[] | undefined;

/** Authorities of the system's store, those that Node.js brings, and those of NODE_EXTRA_CA_CERTS. */
function systemAuthorities(): readonly string[] {
  authorities ??= [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
  return authorities;
}

let shared: SecureContext | undefined;

/** What a proxy's own certificate is judged by. */
function proxyContext(): SecureContext {
  shared ??= createSecureContext({ ca: [...systemAuthorities()] });
  return shared;
}
