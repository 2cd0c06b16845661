import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * What a {@link TcpProxy} does to the connections it has and gets: `pass`; `swallow` what the client sends, then reset (the server never
 * sees it); `deafen` the client: the server gets everything, and its answers go nowhere until {@link TcpProxy.reset}.
 */
export type ProxyMode = "pass" | "swallow" | "deafen";

/** A TCP proxy that can cut between the two ends of a connection, whatever they speak. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  mode: ProxyMode;
  /** Bytes that clients sent since the mode was last set. */
  readonly received: number;
  /** Connections that were ever made. */
  readonly connections: number;
  /** Resets every connection. */
  reset(): void;
}

/**
 * Opens a proxy on loopback in front of a port of it.
 *
 * @param sees is shown what a client sends before it is passed on; the mode that it answers holds from there on.
 */
export async function openTcpProxy(target: number, sees?: (chunk: Buffer) => ProxyMode | undefined): Promise<TcpProxy> {
  const clients = new Set<Socket>();
  let mode: ProxyMode = "pass";
  let received = 0;
  let connections = 0;
  const server = createServer((client) => {
    connections++;
    const upstream = connect(target, "127.0.0.1");
    clients.add(client);
    client.on("data", (chunk) => {
      received += chunk.length;
      mode = sees?.(chunk) ?? mode;
      if (mode === "swallow") {
        client.resetAndDestroy();
      } else {
        upstream.write(chunk);
      }
    });
    upstream.on("data", (chunk) => {
      if (mode !== "deafen") {
        client.write(chunk);
      }
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on("error", () => other.destroy()); // either end may reset: that is what the proxy is for
      one.on("close", () => other.destroy());
    }
    client.on("close", () => clients.delete(client));
  });
  const reset = () => {
    for (const client of clients) {
      client.resetAndDestroy();
    }
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    get mode() {
      return mode;
    },
    set mode(value) {
      mode = value;
      received = 0;
    },
    get received() {
      return received;
    },
    get connections() {
      return connections;
    },
    reset,
    async [Symbol.asyncDispose]() {
      reset();
      server.close();
    },
  };
}
