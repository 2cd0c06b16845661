import { DeploymentService } from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { arcgis } from "../../../src/targets/arcgis/index.ts";
import { type ArcgisSimulator, startArcgisSimulator } from "../../../src/targets/arcgis/simulator.ts";
import { temporaryFolder } from "../../support/folder.ts";
import type { Subject, Thing, World } from "../subject.ts";
import { JOB_MS, POLL_MS, secretFile, serverPart } from "../vendor-world.ts";

/** A site. */
interface Site extends World {
  /** Adds a deployment; answers the request that refreshes it. */
  make(type: string): Thing["request"];
  readonly simulator: ArcgisSimulator;
}

const idOf = ({ request }: Thing): string => String(request.deploymentId);

async function start(): Promise<Site> {
  const simulator = await startArcgisSimulator({ jobMs: JOB_MS, deployments: [] });
  const folder = await temporaryFolder();
  const part = serverPart(simulator, ({ method, path }) => method === "POST" && path.endsWith("/refresh"));
  const password = await secretFile(folder, "password", simulator.password);
  const { adminUrl, username } = simulator;
  let made = 0;
  const make: Site["make"] = (type) => {
    const deploymentId = `kdeployment${++made}`;
    simulator.addDeployment({ deploymentId, name: `name-${made}`, type, mode: "Shared", provider: "ArcObjects11" });
    return { site: "gis", deploymentId, async: true };
  };
  return {
    ...part,
    simulator,
    make,
    sections: {
      arcgis: { pollInterval: { nanos: POLL_MS * 1_000_000 }, sites: [{ name: "gis", adminUrl, username, password }] },
    },
    get secrets() {
      return [simulator.password, ...simulator.tokens];
    },
    fresh() {
      const request = make("FeatureServer");
      return {
        request,
        target: `sites/gis/deployments/${request.deploymentId}`,
        answer: { jobStatus: "SUBMITTED" },
      };
    },
    renew: () => {},
    applied: (thing) => simulator.refreshes.get(idOf(thing)) ?? 0,
    hold: () => simulator.hold(),
    release: () => simulator.release(),
    async [Symbol.asyncDispose]() {
      await part[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Deployments of ArcGIS: without the job's id nothing shows what became of a refresh. */
export const arcgisSubject: Subject<Site> = {
  target: arcgis,
  method: DeploymentService.method.refreshDeployment,
  start,
  blocksUntil: "ended",
  shows: { applied: false, notApplied: false },
  lostAnswer: "unknown",
  credentialsRefused: {
    reply: {
      status: 200,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ error: { code: 498, message: "Invalid token.", details: [] } }),
    },
    reason: "VENDOR_CREDENTIALS_REJECTED",
  },
  unreachable: "VENDOR_UNREACHABLE",
  guards: [
    {
      what: "the site's own deployment",
      reason: "OUTAGE_NOT_ACKNOWLEDGED",
      request: ({ make }) => make("System"),
      unless: { acknowledgeOutage: true },
    },
    {
      what: "a data store",
      reason: "OUTAGE_NOT_ACKNOWLEDGED",
      request: ({ make }) => make("RelationalStore"),
      unless: { acknowledgeOutage: true },
    },
    {
      what: "a deployment that is not there",
      reason: "TARGET_NOT_FOUND",
      request: ({ make }) => ({ ...make("MapServer"), deploymentId: "knobody" }),
    },
  ],
  endings: (["FAILED", "CANCELLED", "COMPLETED_WITH_ERROR", "COMPLETED_WITH_NESTED_ERROR"] as const).map((ending) => ({
    what: `the job is ${ending}`,
    reason: "VENDOR_JOB_FAILED",
    before: ({ simulator }, thing) => simulator.endWith(idOf(thing), ending),
  })),
  ids: { deployment_id: (deploymentId) => ({ deploymentId }) },
  unconfigured: [
    { request: { site: "elsewhere" }, reason: "SITE_NOT_FOUND" },
    { request: { site: "http://127.0.0.1:1/admin" }, reason: "SITE_NOT_FOUND" },
  ],
  otherwise: { async: false },
};
