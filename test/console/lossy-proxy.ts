import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A proxy that passes every request on, and may keep its answer to itself. */
export interface LossyProxy extends AsyncDisposable {
  readonly origin: string;
  /** Whether the answer to a request is lost: the server has had it, and the connection is cut. Default: none is. */
  loses: (path: string, body: Buffer) => boolean;
  /** Cuts every connection, streams too. */
  cut(): void;
  /** Paths of the streams and calls that are open now. */
  readonly open: ReadonlySet<{ readonly path: string }>;
}

/** Opens a proxy on loopback in front of a server there. */
export async function openLossyProxy(upstream: string): Promise<LossyProxy> {
  const open = new Set<{ path: string }>();
  const pass = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const path = incoming.url ?? "";
    const one = { path };
    open.add(one);
    outgoing.on("close", () => open.delete(one));
    const body = await buffer(incoming);
    const { method, headers } = incoming;
    const passed = httpRequest(`${upstream}${path}`, { method, headers, agent: false });
    passed.on("error", () => outgoing.destroy()); // the server is away: so is the answer
    outgoing.on("close", () => passed.destroy());
    passed.end(body);
    passed.on("response", (answer) => {
      if (proxy.loses(path, body)) {
        answer.resume();
        answer.on("end", () => outgoing.destroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
  };
  const server = createServer((incoming, outgoing) => void pass(incoming, outgoing).catch(() => outgoing.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: LossyProxy = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loses: () => false,
    cut: () => server.closeAllConnections(),
    open,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return proxy;
}
