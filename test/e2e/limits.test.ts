import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { NODE, ROOT } from "../support/command.ts";
import { temporaryFolder } from "../support/folder.ts";
import { readLine } from "../support/log.ts";
import { WEB } from "./calls.ts";

it("connections are refused before the process has no file left for its work, and the log says so", async () => {
  await using folder = await temporaryFolder();
  const args = [join(ROOT, "src/main.ts"), "--listen", "127.0.0.1:0"];
  const child = spawn("sh", ["-c", 'ulimit -n 160 && exec "$0" "$@"', NODE, ...args], {
    cwd: folder.path,
    env: { ...process.env, TMPDIR: folder.path },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  const sockets: Socket[] = [];
  try {
    const log = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
    const line = async (wanted: (line: Record<string, unknown>) => boolean) => {
      for (;;) {
        const { value, done } = await log.next();
        if (done) throw new Error("the log ended");
        const read = readLine(value);
        if (wanted(read)) return read;
      }
    };
    const url = String((await line(({ msg }) => msg === "ready")).url);
    // One that is there already goes on to be served.
    const transport = createConnectTransport({ baseUrl: url, httpVersion: "2" });
    const client = createClient(WorkloadService, transport);
    await client.getRollout(WEB);
    for (let at = 0; at < 300; at++) {
      const socket = connect(Number(new URL(url).port), "127.0.0.1");
      socket.on("error", () => {});
      sockets.push(socket);
      await once(socket, "connect");
    }
    const { connections } = await line(({ msg }) => String(msg).startsWith("too many connections"));
    expect(connections).toBe(96);
    // It takes files: connections to the cluster, and the store.
    await client.restart(WEB);
    expect(await client.getRollout(WEB)).toMatchObject({ name: "web" });
  } finally {
    for (const socket of sockets) socket.destroy();
    child.kill("SIGKILL");
    await ended;
  }
});
