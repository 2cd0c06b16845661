import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConfigSchema } from "../../../gen/restart/config/v1/config_pb.ts";
import { type Account, createAccount } from "../../clouds/huawei/simulator/account.ts";
import {
  type HuaweiServer,
  type HuaweiServerOptions,
  startHuaweiService,
} from "../../clouds/huawei/simulator/gateway.ts";
import { withEndpoint } from "../../clouds/huawei/simulator/sandbox.ts";
import type { Simulation } from "../../core/target.ts";
import { type InstanceSeed, Instances, type Pace } from "./simulator/instances.ts";
import type { ErrorForm } from "./simulator/replies.ts";
import { answerDcs } from "./simulator/routes.ts";

export type { DcsAction, InstanceSeed, Pace, SimulatedInstance } from "./simulator/instances.ts";
export { Instances } from "./simulator/instances.ts";
export { dcsError, ERROR_ROWS, type ErrorForm, type ErrorRow } from "./simulator/replies.ts";

/** What a simulated DCS is like. Everything has a default: the sandbox's instances, each as fast as it is there. */
export interface SimulatorOptions extends Pick<HuaweiServerOptions, "tls"> {
  readonly instances?: readonly InstanceSeed[];
  readonly pace?: Pace;
  /** Who may ask. Default the sandbox's account. */
  readonly account?: Account;
  /** The clock (ms) that the instances live by. Default the machine's. */
  readonly now?: () => number;
}

/** A simulated DCS at work: its account's project has all of the instances. */
export interface Simulator extends HuaweiServer {
  readonly instances: Instances;
  /** How errors are said from now on: codes and shapes of today (default), or older ones. */
  sayErrors(form: ErrorForm): void;
}

/** The instances of the sandbox's world (api.md §4). */
export const SANDBOX_INSTANCES: readonly InstanceSeed[] = [
  { instanceId: "e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1", name: "dcs-sessions", cacheMode: "cluster", replicaCount: 2 },
  {
    instanceId: "b7d9b6a0-4a53-4f0e-8f39-1f0c5a4e2d77",
    name: "dcs-cache",
    cacheMode: "single",
    replicaCount: 1,
    appendOnly: "no",
  },
];

/** Starts a simulated DCS on loopback. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { account = createAccount(), tls, pace, now = Date.now } = options;
  const instances = new Instances(options.instances ?? SANDBOX_INSTANCES, now, pace);
  let form: ErrorForm = "code";
  const server = await startHuaweiService({
    service: "dcs",
    account,
    ...(tls !== undefined && { tls }),
    handle: (request) => answerDcs(request, { projectId: account.projectId, instances, form: () => form }),
  });
  return Object.assign(server, {
    instances,
    sayErrors: (next: ErrorForm) => {
      form = next;
    },
  });
}

/** Starts the sandbox's DCS, and adds it to the section `huaweicloud`. */
export async function simulate(folder: string, sections: MessageInitShape<typeof ConfigSchema>): Promise<Simulation> {
  const simulator = await startSimulator();
  return {
    sections: { huaweicloud: await withEndpoint(sections.huaweicloud, simulator, folder) },
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  };
}
