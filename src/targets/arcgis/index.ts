import { DeploymentService } from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { route } from "../../core/route.ts";
import type { RunningTarget, Runtime, Target } from "../../core/target.ts";
import { createRefreshAction } from "./action.ts";
import { openSite } from "./client.ts";
import { type ArcgisSettings, readArcgis } from "./config.ts";
import { createDeploymentService } from "./service.ts";
import { VENDOR_OPERATIONS } from "./session.ts";

/** Deployments of ArcGIS Enterprise on Kubernetes. */
export const arcgis: Target = {
  name: "arcgis",
  services: [DeploymentService],
  read(sections, reader) {
    const settings = readArcgis(sections.arcgis, reader);
    return (runtime) => openArcgis(settings, runtime);
  },
  async simulate(folder) {
    const { simulate } = await import("./simulator.ts");
    return simulate(folder);
  },
};

/** Serves the deployments of some sites. */
export function openArcgis({ sites, pollIntervalMs }: ArcgisSettings, runtime: Runtime): RunningTarget {
  const open = new Map(sites.map((settings) => [settings.name, openSite(settings, runtime)]));
  const refresh = createRefreshAction({ sites: open, pollIntervalMs });
  return {
    routes: [route(DeploymentService, createDeploymentService({ sites: open, refresh, runtime }))],
    actions: [refresh],
    vendor: { system: "arcgis", names: [...open.keys()], operations: VENDOR_OPERATIONS },
    async warmUp() {}, // nothing is loaded late
    async [Symbol.asyncDispose]() {
      await Promise.all([...open.values()].map((site) => site[Symbol.asyncDispose]()));
    },
  };
}
