import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What becomes of a COMMIT: `lose` it, or let it through and lose its answer. */
export type Cut = "pass" | "lose" | "lose answer";

/** A TCP proxy before PostgreSQL that cuts connections at their commits. */
export interface CommitProxy extends AsyncDisposable {
  readonly port: number;
  /** Port of loopback that connections are led to from now on. */
  target: number;
  /** How many connections were cut, by what became of the commit. */
  readonly cuts: ReadonlyMap<Cut, number>;
}

/** Opens a proxy on loopback. */
export async function openCommitProxy(first: number, decide: () => Cut): Promise<CommitProxy> {
  let target = first;
  const cuts = new Map<Cut, number>();
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    let deaf = false;
    client.on("data", (chunk) => {
      const cut = isCommit(chunk) ? decide() : "pass";
      if (cut !== "pass") cuts.set(cut, (cuts.get(cut) ?? 0) + 1);
      if (cut === "lose") {
        client.resetAndDestroy();
        return;
      }
      deaf ||= cut === "lose answer";
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      if (deaf) client.resetAndDestroy();
      else client.write(chunk);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy()); // either end may go: that is what the proxy is for
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    cuts,
    get target() {
      return target;
    },
    set target(port) {
      target = port;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/**
 * Whether bytes ask PostgreSQL to commit: a simple query (`Q`) that says so, or values (`B`) for a statement with a name, each of which is
 * a transaction of its own (pool.ts). Its text is said once for a connection.
 */
export const isCommit = (chunk: Buffer): boolean =>
  /Q[\0-\xff]{4}commit;?\0|B[\0-\xff]{4}\0restartd_\d+\0/i.test(chunk.toString("latin1"));
