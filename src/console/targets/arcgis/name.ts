import { WHAT } from "../../words.ts";
import type { Describe } from "../target.ts";
import { refreshIntent } from "./actions.ts";

/** Resource name of a deployment. */
export const nameOf = (site: string, id: string): string =>
  `sites/${encodeURIComponent(site)}/deployments/${encodeURIComponent(id)}`;

/** Deployments: `sites/{site}/deployments/{id}`. */
export const describeDeployment: Describe = ([sites, site, deployments, id, ...more]) => {
  if (sites !== "sites" || deployments !== "deployments" || !site || !id || more.length > 0) return undefined;
  return {
    short: `deployment ${site}/${id}`,
    look: WHAT.lookArcgis,
    again: () => ({ label: "Refresh again…", intent: refreshIntent({ site, deploymentId: id, name: id }) }),
  };
};
