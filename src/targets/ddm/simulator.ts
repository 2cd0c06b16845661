import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConfigSchema } from "../../../gen/restart/config/v1/config_pb.ts";
import { type Account, createAccount } from "../../clouds/huawei/simulator/account.ts";
import { type HuaweiServer, startHuaweiService } from "../../clouds/huawei/simulator/gateway.ts";
import { withEndpoint } from "../../clouds/huawei/simulator/sandbox.ts";
import type { VendorServerOptions } from "../../clouds/simulator/server.ts";
import type { Simulation } from "../../core/target.ts";
import { answer } from "./simulator/routes.ts";
import { DdmWorld, type DdmWorldOptions } from "./simulator/world.ts";

export { DDM_FAILURES, refused } from "./simulator/replies.ts";
export type { NewInstance, RestartScript, SimulatedInstance, SimulatedJob } from "./simulator/world.ts";

/** How a simulated DDM is. Everything has a default: no instances, and the sandbox's account. */
export interface DdmSimulatorOptions extends DdmWorldOptions, Pick<VendorServerOptions, "tls"> {
  /** Who may ask. Several services can share one. */
  readonly account?: Account;
}

/** A simulated DDM: its server, with faults and recorded requests, and its instances. */
export interface DdmSimulator extends AsyncDisposable {
  readonly server: HuaweiServer;
  readonly world: DdmWorld;
}

/** The instance of the sandbox's world (api.md §4). */
export const SANDBOX_INSTANCE_ID = "28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09";

/** Starts a simulated DDM on loopback. */
export async function startDdmSimulator(options: DdmSimulatorOptions = {}): Promise<DdmSimulator> {
  const world = new DdmWorld(options);
  const account = options.account ?? createAccount();
  const server = await startHuaweiService({
    service: "ddm",
    account,
    handle: (request) => answer(world, account.projectId, request),
    ...(options.tls !== undefined && { tls: options.tls }),
  });
  return { server, world, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** Starts the sandbox's DDM: one instance that runs. */
export async function simulate(folder: string, sections: MessageInitShape<typeof ConfigSchema>): Promise<Simulation> {
  const { server, world } = await startDdmSimulator();
  world.add({ id: SANDBOX_INSTANCE_ID, name: "ddm-sandbox" });
  return {
    sections: { huaweicloud: await withEndpoint(sections.huaweicloud, server, folder) },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
