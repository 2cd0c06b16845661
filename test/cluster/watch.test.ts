import { afterAll, beforeAll, describe } from "vitest";
import { watchRows } from "../targets/kubernetes/behaviour/watch.ts";
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
    await world[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  watchRows(() => world, { openWatches });

  async function openWatches(): Promise<number> {
    const { body } = await cluster.request("GET", "/metrics");
    const watches = body.matchAll(
      /^apiserver_longrunning_requests\{.*group="apps".*resource="deployments".*verb="WATCH".*\} (\d+)$/gm,
    );
    return [...watches].reduce((sum, [, count]) => sum + Number(count), 0);
  }
});
