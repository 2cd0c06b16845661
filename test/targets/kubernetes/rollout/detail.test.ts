import { afterAll, beforeAll, describe } from "vitest";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";
import { detailRows } from "../behaviour/detail.ts";
import { openWorld, type World } from "../behaviour/world.ts";

describe("a simulated API server", () => {
  let backend: SimulatorBackend;
  let world: World;
  beforeAll(async () => {
    backend = await startSimulatorBackend();
    world = await openWorld(backend);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await backend?.[Symbol.asyncDispose]();
  });

  detailRows(() => world);
});
