import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import { text } from "node:stream/consumers";
import { type ProcessControl, type ProcessName, processNames } from "./processes.ts";

const actions = ["start", "stop", "pause", "resume"] as const;

/**
 * Serves a process control to other processes on a Unix socket at `path`, whose folder keeps strangers out.
 *
 * Vitest runs test files in processes of their own, while the control plane belongs to the global setup's.
 */
export async function serveProcessControl(control: ProcessControl, path: string): Promise<Server> {
  const server = createServer(async (incoming, response) => {
    try {
      const [, verb, process] = (incoming.url ?? "").split("/");
      const action = actions.find((candidate) => candidate === verb);
      const name = processNames.find((candidate) => candidate === process);
      if (action && name) await control[action](name);
      else if (verb !== "status") throw new Error(`no such call: ${incoming.url}`);
      response.end(JSON.stringify(await control.status()));
    } catch (error) {
      response.statusCode = 500;
      response.end(error instanceof Error ? error.message : String(error));
    }
  });
  server.listen(path);
  await once(server, "listening");
  return server;
}

/** The process control that {@link serveProcessControl} serves at `path`. */
export function remoteProcessControl(path: string): ProcessControl {
  async function call(url: string): ReturnType<ProcessControl["status"]> {
    const outgoing = request({ socketPath: path, path: url, method: "POST", agent: false });
    const responded = once(outgoing, "response");
    outgoing.end();
    const [response] = await responded;
    const answer = await text(response);
    if (response.statusCode !== 200) throw new Error(answer);
    return JSON.parse(answer);
  }
  const act = (action: (typeof actions)[number]) => async (name: ProcessName) => {
    await call(`/${action}/${name}`);
  };
  return {
    start: act("start"),
    stop: act("stop"),
    pause: act("pause"),
    resume: act("resume"),
    status: () => call("/status"),
  };
}
