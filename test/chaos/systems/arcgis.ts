import { replies, startArcgisSimulator } from "../../../src/targets/arcgis/simulator.ts";
import type { StartSystem } from "../system.ts";
import { miscountOf, openCloud } from "./cloud.ts";

const SITE = "chaos";
const PREFIX = `sites/${SITE}/deployments/`;
const JOB_MS = 300;
const SHARED = ["k0shared", "k1shared", "k2shared", "k3shared", "k4shared", "k5shared"];

/** A site: a refresh leaves nothing behind to find it by, and a token that is refused may have it sent again. */
export const startArcgis: StartSystem = async ({ random, calls }) => {
  const once = Array.from({ length: calls }, (_, index) => `k${index}once`);
  const deployments = [...once, ...SHARED].map((deploymentId) => ({
    deploymentId,
    name: deploymentId,
    type: "FeatureServer",
    mode: "Shared",
    provider: "ArcObjects11",
  }));
  const simulator = await startArcgisSimulator({ deployments, jobMs: JOB_MS });
  const targets = deployments.map(({ deploymentId }) => `${PREFIX}${deploymentId}`);
  const cloud = openCloud({
    random,
    server: simulator,
    replies: {
      serverError: replies.httpError(503, "html"),
      throttled: { status: 429, headers: { "retry-after": "1" } },
    },
    writes: { "answered 498": [6, { answer: replies.invalidToken("portal") }] },
    changes: ({ path }) => path.endsWith("/refresh"),
    namesIn: ({ jobID, status, jobid }) => {
      if (typeof jobID === "string") return [jobID];
      return status === "success" && jobid === undefined ? [""] : [];
    },
  });
  const applied = (target: string): number => simulator.refreshes.get(target.slice(PREFIX.length)) ?? 0;
  return Object.assign(cloud, {
    name: "arcgis",
    targets,
    once: once.map((id) => [`${PREFIX}${id}`]),
    shared: SHARED.map((id) => `${PREFIX}${id}`),
    env: { CHAOS_ARCGIS: simulator.password },
    canTell: () => false,
    namesAll: false,
    configure: (sections: object) => ({
      ...sections,
      arcgis: {
        poll_interval: "0.1s",
        sites: [
          {
            name: SITE,
            admin_url: simulator.adminUrl,
            token_url: simulator.tokenUrl,
            username: simulator.username,
            password: { env: "CHAOS_ARCGIS" },
          },
        ],
      },
    }),
    ask: ([target = ""]: readonly string[]) => {
      const deploymentId = target.slice(PREFIX.length);
      const async = Number.parseInt(deploymentId.slice(1), 10) % 2 === 0;
      return {
        procedure: "restart.arcgis.v1.DeploymentService/RefreshDeployment",
        body: { site: SITE, deploymentId, async },
      };
    },
    applied,
    handles: () => cloud.names,
    miscounted: () => miscountOf({ name: "arcgis", targets, applied }, cloud.names.length),
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  });
};
