import type { Intent } from "../../api/intention.ts";
import { count, W, WHAT } from "../../words.ts";
import { deployments } from "./client.ts";

/** A deployment to refresh. */
export interface DeploymentRef {
  readonly site: string;
  readonly deploymentId: string;
  /** What people call it; its id while that is not known. */
  readonly name: string;
  /** How many pods it has; undefined while that is not known. */
  readonly pods?: number;
}

/** A refresh. It is asked for as a job: the page follows the operation, and waits for nothing. */
export const refreshIntent = ({ site, deploymentId, name, pods }: DeploymentRef): Intent => ({
  verb: "Refresh",
  doing: "Refreshing…",
  subject: name,
  title: `Refresh deployment ${site}/${name}`,
  what: WHAT.arcgis,
  scope: pods === undefined ? [] : [count(pods, "pod")],
  checked: W.check.other,
  acknowledgement: { kind: "outage", always: false, word: "", label: W.acceptOutage },
  async send({ acknowledged, ...ask }, options) {
    const request = { site, deploymentId, async: true, acknowledgeOutage: acknowledged, ...ask };
    await deployments.refreshDeployment(request, options);
    return {};
  },
});
