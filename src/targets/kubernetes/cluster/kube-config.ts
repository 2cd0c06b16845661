import { createSecureContext, type SecureContextOptions } from "node:tls";
import { HttpMethod, KubeConfig, RequestContext } from "@kubernetes/client-node";
import { Agent, type Dispatcher, ProxyAgent } from "undici";
import { FreshPool } from "./fresh-pool.ts";

type DispatcherOptions = ReturnType<KubeConfig["createDispatcherOptions"]>;

/** How a KubeConfig would connect and authenticate, without the dispatcher that it makes for every request. */
export interface Authentication {
  readonly headers: Readonly<Record<string, string>>;
  /** Equal (deeply) as long as a dispatcher made of it is still right. */
  readonly transport: unknown;
  /** Makes the dispatcher. Called once per `transport`. Throws when its certificates and keys are none, or do not fit together. */
  readonly dispatcher: () => Dispatcher;
}

/** Bounds the TCP and TLS handshakes, and a proxy's (ms). */
const CONNECT_TIMEOUT_MS = 10_000;

/** How often (ms) a quiet HTTP/2 connection says something: more often than load balancers forget connections (from 60 s). */
const PING_INTERVAL_MS = 20_000;

/** For how long (ms) a connection is kept that nothing uses. API servers close theirs after 90 s. */
const KEEP_ALIVE_MS = 30_000;

/**
 * A KubeConfig that hands out what it knows instead of a new pool, with a new TLS connection, for each request. It also takes a
 * plain http address (loopback; whoever loads it sees to that), which KubeConfig refuses unless certificates are not checked.
 */
export class ClusterKubeConfig extends KubeConfig {
  #transport: DispatcherOptions = { type: "none" };

  override createDispatcherOptions(
    ...[cluster, agentOptions]: Parameters<KubeConfig["createDispatcherOptions"]>
  ): DispatcherOptions {
    const plain = cluster?.server.startsWith("http:") === true && !cluster.proxyUrl;
    this.#transport = plain ? { type: "none" } : super.createDispatcherOptions(cluster, agentOptions);
    return { type: "none" };
  }

  /** Runs whatever authenticates the current user: reads certificate files, asks OIDC providers. */
  async authenticate(server: string): Promise<Authentication> {
    const context = new RequestContext(server, HttpMethod.GET);
    await this.applySecurityAuthentication(context);
    const transport = this.#transport;
    return { headers: context.getHeaders(), transport, dispatcher: () => dispatcherOf(transport) };
  }
}

/** KubeConfig's options are undici's own, typed as Node's. */
function dispatcherOf(transport: DispatcherOptions): Dispatcher {
  const h2Options = { pingInterval: PING_INTERVAL_MS };
  const timeout = CONNECT_TIMEOUT_MS;
  const common = { h2Options, keepAliveTimeout: KEEP_ALIVE_MS };
  if (transport.type === "proxy" || transport.type === "socks") {
    const { uri, requestTls } = transport;
    createSecureContext(requestTls as SecureContextOptions);
    // undici's SOCKS does not ask for HTTP/2 by itself.
    const tls = { ...requestTls, timeout, ALPNProtocols: ["h2", "http/1.1"] };
    const options = { ...common, uri, requestTls: tls, connectTimeout: timeout } as ProxyAgent.Options;
    return new FreshPool((factory) => new ProxyAgent({ ...options, factory }));
  }
  const connect = transport.type === "agent" ? transport.connect : {};
  createSecureContext(connect as SecureContextOptions);
  const options = { ...common, connect: { ...connect, timeout } } as Agent.Options;
  return new FreshPool((factory) => new Agent({ ...options, factory }));
}
