import { afterAll, beforeAll, describe } from "vitest";
import { detailRows } from "../targets/kubernetes/behaviour/detail.ts";
import { openWorld, type World } from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();

describe.skipIf(shared === undefined)("a real control plane", () => {
  const cluster = shared as ControlPlane;
  let world: World;
  beforeAll(async () => {
    world = await openWorld(cluster);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  detailRows(() => world);
});
