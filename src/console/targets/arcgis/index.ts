import type { ConsoleTarget } from "../target.ts";
import { describeDeployment } from "./name.ts";
import { DeploymentPage, SitePage, Sites } from "./pages.tsx";

/** Deployments of ArcGIS Enterprise sites. */
export const arcgis: ConsoleTarget = {
  Overview: { system: "arcgis", Show: Sites },
  pages: [
    { matches: ([sites, , ...more]) => sites === "sites" && more.length === 0, Show: SitePage },
    { matches: (segments) => describeDeployment(segments) !== undefined, Show: DeploymentPage },
  ],
};
