import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConfigSchema } from "../../../gen/restart/config/v1/config_pb.ts";
import { type Account, createAccount } from "../../clouds/huawei/simulator/account.ts";
import { type HuaweiServer, startHuaweiService } from "../../clouds/huawei/simulator/gateway.ts";
import { withEndpoint } from "../../clouds/huawei/simulator/sandbox.ts";
import type { VendorServerOptions } from "../../clouds/simulator/server.ts";
import type { Simulation } from "../../core/target.ts";
import { answer } from "./simulator/routes.ts";
import { CseWorld, type CseWorldOptions } from "./simulator/world.ts";

export { CSE_FAILURES, type ErrorShape, refused } from "./simulator/replies.ts";
export type { JobScript, NewEngine, SimulatedEngine, SimulatedJob } from "./simulator/world.ts";

/** How a simulated CSE is. Everything has a default: no engines, and the sandbox's account. */
export interface CseSimulatorOptions extends CseWorldOptions, Pick<VendorServerOptions, "tls"> {
  /** Who may ask. Several services can share one. */
  readonly account?: Account;
}

/** A simulated CSE: its server, with faults and recorded requests, and its engines. */
export interface CseSimulator extends AsyncDisposable {
  readonly server: HuaweiServer;
  readonly world: CseWorld;
}

/** The engine of the sandbox's world (api.md §4). */
export const SANDBOX_ENGINE_ID = "4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98";

/** Starts a simulated CSE on loopback. */
export async function startCseSimulator(options: CseSimulatorOptions = {}): Promise<CseSimulator> {
  const world = new CseWorld(options);
  const account = options.account ?? createAccount();
  const server = await startHuaweiService({
    service: "cse",
    account,
    handle: (request) => answer(world, account.projectId, request),
    ...(options.tls !== undefined && { tls: options.tls }),
  });
  return { server, world, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** Starts the sandbox's CSE: one engine, whose latest job has failed. */
export async function simulate(folder: string, sections: MessageInitShape<typeof ConfigSchema>): Promise<Simulation> {
  const { server, world } = await startCseSimulator();
  world.add({ id: SANDBOX_ENGINE_ID, name: "cse-sandbox" });
  return {
    sections: { huaweicloud: await withEndpoint(sections.huaweicloud, server, folder) },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
