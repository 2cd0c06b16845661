import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Distinct TCP ports of 127.0.0.1 that nothing listens on.
 *
 * Below the range the kernel takes ports of outgoing connections from (32768 on Linux, 49152 elsewhere), unlike those that listening
 * on 0 gives: while the API server restarts, a client that keeps trying could otherwise be given that very port for its own end.
 */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let attempt = 0; found.size < count && attempt < 100; attempt++) {
    const port = randomInt(16_384, 32_768);
    if (await isFree(port)) found.add(port);
  }
  if (found.size < count) throw new Error(`no ${count} free ports between 16384 and 32767`);
  return [...found];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return false;
    throw error;
  }
  server.close();
  await once(server, "close");
  return true;
}
