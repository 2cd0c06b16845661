import { afterAll, beforeAll, describe } from "vitest";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";
import { watchRows } from "../behaviour/watch.ts";
import { openWorld, type World } from "../behaviour/world.ts";

describe("a simulated API server", () => {
  let backend: SimulatorBackend;
  let world: World;
  beforeAll(async () => {
    backend = await startSimulatorBackend();
    world = await openWorld(backend);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
  });

  watchRows(() => world, { openWatches: async () => backend.simulator.watches });
});
