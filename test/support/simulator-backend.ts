import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request as send } from "undici";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/targets/kubernetes/simulator.ts";
import type { Backend, BackendRequest, BackendResponse } from "./backend.ts";

/** The simulator as a {@link Backend}. */
export interface SimulatorBackend extends Backend {
  readonly name: "simulator";
  /** The simulator itself: faults, recorded requests, changes without requests. */
  readonly simulator: Simulator;
}

/** Starts a simulator whose rollouts take a few milliseconds, with its kubeconfig (mode 0600) in a folder of its own. */
export async function startSimulatorBackend(options: SimulatorOptions = {}): Promise<SimulatorBackend> {
  await using stack = new AsyncDisposableStack();
  const simulator = stack.use(await startSimulator({ pace: 5, ...options }));
  const folder = await mkdtemp(join(tmpdir(), "restartd-simulator-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, simulator.kubeconfig(), { mode: 0o600 });
  const tls = options.tls === undefined ? {} : { connect: { ca: options.tls.cert } };
  let agent = new Agent({ ...tls, allowH2: false, bodyTimeout: 0 });
  stack.defer(() => agent.destroy());
  const parts = stack.move();
  return {
    name: "simulator",
    simulator,
    kubeconfig,
    url: simulator.url,
    users: simulator.users.filter((user) => user !== "admin"),
    request: (method, path, options) => requestOf(simulator, agent, method, path, options),
    controllers: held(simulator.controllers),
    pods: held(simulator.pods),
    async restartServer() {
      const old = agent;
      agent = new Agent({ ...tls, allowH2: false, bodyTimeout: 0 });
      await old.destroy();
      await simulator.restartServer();
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

function held(thing: { pause(): void; resume(): void }) {
  return { pause: async () => thing.pause(), resume: async () => thing.resume() };
}

async function requestOf(
  simulator: Simulator,
  dispatcher: Agent,
  method: string,
  path: string,
  options: BackendRequest = {},
): Promise<BackendResponse> {
  const headers: Record<string, string> = {
    ...options.headers,
    authorization: `Bearer ${simulator.token(options.user ?? "admin")}`,
  };
  if (options.body !== undefined) headers["content-type"] = options.contentType ?? "application/json";
  const answer = await send(simulator.url + path, {
    method,
    headers,
    dispatcher,
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  const body = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, body, json: () => JSON.parse(body) };
}
