import { describe } from "vitest";
import { behaviour } from "../targets/kubernetes/behaviour/index.ts";
import { realRows } from "./real-rows.ts";
import { sharedControlPlane } from "./shared.ts";
import { endingRows, webhookRows } from "./webhook-rows.ts";

const cluster = sharedControlPlane();

describe.skipIf(cluster === undefined)("a real control plane", () => {
  const real = () => {
    if (cluster === undefined) {
      throw new Error("skipped");
    }
    return cluster;
  };
  behaviour(
    "cluster",
    async () => real(),
    (world) => {
      realRows(world);
      webhookRows(world);
      endingRows(world, real);
    },
  );
});
