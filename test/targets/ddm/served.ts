import { randomBytes } from "node:crypto";
import type { Client } from "@connectrpc/connect";
import { InstanceService } from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { openDdm } from "../../../src/targets/ddm/index.ts";
import { type DdmSimulator, startDdmSimulator } from "../../../src/targets/ddm/simulator.ts";
import { type ServedTarget, type ServeOptions, serveTarget, settingsFor } from "../../support/served-target.ts";

/** restartd with a simulated DDM. */
export interface ServedDdm extends AsyncDisposable {
  readonly simulator: DdmSimulator;
  readonly served: ServedTarget;
  readonly client: Client<typeof InstanceService>;
  /** A request for an instance. */
  request<Part extends object>(instanceId: string, part?: Part): { projectId: string; instanceId: string } & Part;
  /** The requests that would change something. */
  writes(): DdmSimulator["server"]["requests"];
}

/** How a {@link ServedDdm} is started. */
export interface ServedDdmOptions extends ServeOptions {
  /** A restart takes so long (ms). Default 60. */
  readonly restartMs?: number;
  /** Default 20. */
  readonly pollIntervalMs?: number;
}

/** Starts both. */
export async function startServedDdm(options: ServedDdmOptions = {}): Promise<ServedDdm> {
  await using stack = new AsyncDisposableStack();
  const simulator = stack.use(await startDdmSimulator({ restartMs: options.restartMs ?? 60 }));
  const { account, url } = simulator.server;
  const settings = settingsFor(account, url, options.pollIntervalMs);
  const served = stack.use(await serveTarget((runtime) => openDdm(settings, runtime), options));
  const parts = stack.move();
  return {
    simulator,
    served,
    client: served.client(InstanceService),
    request: (instanceId, part) => Object.assign({ projectId: account.projectId, instanceId }, part),
    writes: () => simulator.server.requests.filter(({ method }) => method !== "GET"),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** The id of an instance that is nowhere else. */
export const newId = (): string => `${randomBytes(16).toString("hex")}in09`;
