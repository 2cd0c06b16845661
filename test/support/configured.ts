import { stringify } from "yaml";
import { sandboxWorld, type World } from "../../src/targets/kubernetes/simulator.ts";
import { temporaryFolder } from "./folder.ts";
import { type Environment, type Program, startProgram } from "./program.ts";
import { type SimulatorBackend, startSimulatorBackend } from "./simulator-backend.ts";

/** The real program with a configuration file, and the simulated cluster `sandbox` that the file names. */
export interface Configured extends AsyncDisposable {
  readonly program: Program;
  readonly backend: SimulatorBackend;
  /** Path of the configuration file; what it keeps is beside it. */
  readonly file: string;
  /** Writes another configuration beside it, the same but for where operations are kept; answers its path. */
  variant(name: string, store: object): Promise<string>;
  /** How many restarts have reached the cluster, applied or not. */
  patches(): number;
}

/**
 * Starts both. Unlike the sandbox's own, this cluster can be looked at and broken, and its rollouts take milliseconds.
 *
 * @param sections further sections of the configuration.
 * @param env variables of the program beside the process's own.
 * @param world what is in the cluster. Default the sandbox's.
 */
export async function startConfigured(
  sections: Record<string, unknown> = {},
  env: Environment = {},
  world: World = sandboxWorld,
): Promise<Configured> {
  await using stack = new AsyncDisposableStack();
  const backend = stack.use(await startSimulatorBackend({ world }));
  const folder = stack.use(await temporaryFolder());
  const clusters = [{ name: "sandbox", kubeconfig: backend.kubeconfig, context: "patcher" }];
  const base = { listen: "127.0.0.1:0", kubernetes: { clusters }, ...sections };
  const file = await folder.write("restartd.yaml", stringify(base));
  const program = stack.use(await startProgram(["--config", file], env));
  const parts = stack.move();
  return {
    program,
    backend,
    file,
    variant: (name, store) => folder.write(name, stringify({ ...base, store })),
    patches: () => backend.simulator.requests.filter(({ method }) => method === "PATCH").length,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
