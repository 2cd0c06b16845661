import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConfigSchema } from "../../gen/restart/config/v1/config_pb.ts";
import type { Target } from "../core/target.ts";

/** Simulated systems at work, and the configuration that reaches them. */
export interface Sandbox extends AsyncDisposable {
  readonly sections: MessageInitShape<typeof ConfigSchema>;
}

/** Starts the simulator of every target, all in one world. */
export async function startSandbox(targets: readonly Target[]): Promise<Sandbox> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "restartd-sandbox-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const sections: MessageInitShape<typeof ConfigSchema> = {};
  for (const { simulate } of targets) {
    const simulation = stack.use(await simulate(folder, sections));
    Object.assign(sections, simulation.sections);
  }
  const parts = stack.move();
  return { sections, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}
