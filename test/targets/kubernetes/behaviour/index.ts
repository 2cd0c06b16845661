import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import type { Backend } from "../../../support/backend.ts";
import { accessRows } from "./access.ts";
import { admissionRows } from "./admission.ts";
import { discoveryRows } from "./discovery.ts";
import { frontRows } from "./front.ts";
import { requestRows } from "./requests.ts";
import { stateRows } from "./state.ts";
import { transportRows } from "./transport.ts";
import { unknownRows } from "./unknown.ts";
import { valueRows } from "./values.ts";
import { openWorld, type TheWorld, type World } from "./world.ts";

/**
 * The rows of contracts/kubernetes.md §6.3 that every backend produces: the same tests against the simulator and a real control plane.
 *
 * @param open is called before the first test, and its result disposed of after the last.
 * @param more further rows for the same world.
 */
export function behaviour(name: Backend["name"], open: () => Promise<Backend>, more?: (world: TheWorld) => void): void {
  describe(`Restart on the ${name}`, () => {
    let backend: Backend;
    let opened: World;
    const world: TheWorld = () => opened;
    beforeAll(async () => {
      backend = await open();
      opened = await openWorld(backend);
    });
    afterAll(async () => {
      await opened?.[Symbol.asyncDispose]();
      await backend?.[Symbol.asyncDispose]();
    });
    afterEach(() => {
      const { mistakes } = opened.tap;
      expect(mistakes).toEqual([]);
      opened.tap.reset();
    });

    requestRows(world);
    discoveryRows(world);
    frontRows(world);
    accessRows(world);
    stateRows(world);
    valueRows(world);
    admissionRows(world);
    transportRows(world);
    unknownRows(world);
    more?.(world);
  });
}
