import { stringify } from "yaml";
import { sandboxWorld } from "../../src/targets/kubernetes/simulator.ts";
import { temporaryFolder } from "./folder.ts";
import { type Program, startProgram } from "./program.ts";
import { type SimulatorBackend, startSimulatorBackend } from "./simulator-backend.ts";

/** The real program with a configuration file, and the simulated cluster `sandbox` that the file names. */
export interface Configured extends AsyncDisposable {
  readonly program: Program;
  readonly backend: SimulatorBackend;
  /** How many restarts have reached the cluster, applied or not. */
  patches(): number;
}

/**
 * Starts both. Unlike the sandbox's own, this cluster can be looked at and broken, and its rollouts take milliseconds.
 *
 * @param sections further sections of the configuration.
 */
export async function startConfigured(sections: Record<string, unknown> = {}): Promise<Configured> {
  await using stack = new AsyncDisposableStack();
  const backend = stack.use(await startSimulatorBackend({ world: sandboxWorld }));
  const folder = stack.use(await temporaryFolder());
  const clusters = [{ name: "sandbox", kubeconfig: backend.kubeconfig, context: "patcher" }];
  const file = await folder.write(
    "restartd.yaml",
    stringify({ listen: "127.0.0.1:0", kubernetes: { clusters }, ...sections }),
  );
  const program = stack.use(await startProgram(["--config", file]));
  const parts = stack.move();
  return {
    program,
    backend,
    patches: () => backend.simulator.requests.filter(({ method }) => method === "PATCH").length,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
