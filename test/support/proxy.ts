import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A proxy that remembers what it was asked to connect to. It connects to 127.0.0.1 whatever the name is. */
export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** `host:port` of each tunnel, in order. */
  readonly tunnels: readonly string[];
}

/** Starts a proxy for HTTP's CONNECT. */
export function startConnectProxy(): Promise<Proxy> {
  return start((socket, begin) => {
    let head = "";
    const onData = (chunk: Buffer) => {
      head += chunk.toString("latin1");
      if (!head.endsWith("\r\n\r\n")) return;
      socket.off("data", onData);
      void begin(head.split(" ")[1] ?? "", () => socket.write("HTTP/1.1 200 Connection established\r\n\r\n"));
    };
    socket.on("data", onData);
  });
}

/** Starts a SOCKS5 proxy (RFC 1928) without authentication, for names and IPv4 addresses. */
export function startSocksProxy(): Promise<Proxy> {
  return start((socket, begin) => {
    socket.once("data", () => {
      socket.write(Buffer.from([5, 0]));
      socket.once("data", (request) => {
        const isName = request[3] === 3;
        const host = isName ? request.toString("latin1", 5, 5 + (request[4] ?? 0)) : request.subarray(4, 8).join(".");
        const port = request.readUInt16BE(request.length - 2);
        void begin(`${host}:${port}`, () => socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])));
      });
    });
  });
}

type Begin = (target: string, established: () => void) => Promise<void>;

async function start(accept: (socket: Socket, begin: Begin) => void): Promise<Proxy> {
  const tunnels: string[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // either end may go as it likes
    socket.on("close", () => sockets.delete(socket));
  };
  const server: Server = createServer({ noDelay: true }, (socket) => {
    keep(socket);
    accept(socket, async (target, established) => {
      tunnels.push(target);
      const upstream = connect({ port: Number(target.split(":").at(-1)), host: "127.0.0.1", noDelay: true });
      keep(upstream);
      await once(upstream, "connect");
      established();
      socket.pipe(upstream).pipe(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    tunnels,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
