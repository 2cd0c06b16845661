import { randomUUID } from "node:crypto";
import type { Client } from "@connectrpc/connect";
import { EngineService } from "../../../gen/restart/cse/v1/engine_service_pb.ts";
import { openCse } from "../../../src/targets/cse/index.ts";
import { type CseSimulator, startCseSimulator } from "../../../src/targets/cse/simulator.ts";
import { type ServedTarget, type ServeOptions, serveTarget, settingsFor } from "../../support/served-target.ts";

/** restartd with a simulated CSE. */
export interface ServedCse extends AsyncDisposable {
  readonly simulator: CseSimulator;
  readonly served: ServedTarget;
  readonly client: Client<typeof EngineService>;
  /** A request for an engine. */
  request<Part extends object>(engineId: string, part?: Part): { projectId: string; engineId: string } & Part;
  /** The requests that would change something. */
  writes(): CseSimulator["server"]["requests"];
}

/** How a {@link ServedCse} is started. */
export interface ServedCseOptions extends ServeOptions {
  /** A retried job takes so long (ms). Default 60. */
  readonly jobMs?: number;
  /** Default 20. */
  readonly pollIntervalMs?: number;
}

/** Starts both. */
export async function startServedCse(options: ServedCseOptions = {}): Promise<ServedCse> {
  await using stack = new AsyncDisposableStack();
  const simulator = stack.use(await startCseSimulator({ jobMs: options.jobMs ?? 60 }));
  const { account, url } = simulator.server;
  const settings = settingsFor(account, url, options.pollIntervalMs);
  const served = stack.use(await serveTarget((runtime) => openCse(settings, runtime), options));
  const parts = stack.move();
  return {
    simulator,
    served,
    client: served.client(EngineService),
    request: (engineId, part) => Object.assign({ projectId: account.projectId, engineId }, part),
    writes: () => simulator.server.requests.filter(({ method }) => method !== "GET"),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** The id of an engine that is nowhere else. */
export const newId = (): string => randomUUID();
