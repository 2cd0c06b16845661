import { createClient } from "@connectrpc/connect";
import { DeploymentSchema, SiteSchema } from "../../../gen/restart/arcgis/v1/deployment_pb.ts";
import { DeploymentService } from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { idsOf, onlyOne, resourceName, type Session, type Subject, type TargetCommand } from "../../core/command.ts";

const clientOf = ({ transport }: Session) => createClient(DeploymentService, transport);

const siteOf = (session: Session): Promise<string> =>
  onlyOne("site", session.scope.site, async () => {
    const { sites } = await clientOf(session).listSites({}, session.reading);
    return sites.map(({ name }) => name);
  });

const read = async (site: string, session: Session) => {
  const { deployments } = await clientOf(session).listDeployments({ site }, session.reading);
  return deployments.map((deployment) => ({ id: deployment.deploymentId, name: deployment.name, deployment }));
};

const subjectOf = (site: string, { id, name }: { id: string; name: string }, session: Session): Subject => ({
  target: resourceName("sites", site, "deployments", id),
  label: `arcgis/${name || id}`,
  name: name || id,
  action: "refresh",
  done: "refreshed",
  async send({ acknowledged, ...wish }, options) {
    // The vendor's job is followed by its operation, for as long as somebody waits.
    const request = { site, deploymentId: id, async: true, acknowledgeOutage: acknowledged.has("outage") };
    await clientOf(session).refreshDeployment({ ...request, ...wish }, options);
    return {};
  },
});

/** ArcGIS deployments: `arcgis/ID`, `sites/{site}/deployments/{id}`. */
export const arcgisCommand: TargetCommand = {
  service: DeploymentService,
  types: ["arcgis"],
  verbs: ["refresh"],
  takes: (type) => type.toLowerCase() === "arcgis",
  async find({ names }, session) {
    const site = await siteOf(session);
    const found = await idsOf("arcgis", names, () => read(site, session));
    return found.map((each) => subjectOf(site, each, session));
  },
  named([sites, site, deployments, id, ...more], _, session) {
    if (sites !== "sites" || deployments !== "deployments" || !site || !id || more.length > 0) return undefined;
    return idsOf("arcgis", [id], () => read(site, session)).then(([found]) =>
      subjectOf(site, found ?? { id, name: id }, session),
    );
  },
  lists: [
    {
      words: ["sites", "site"],
      async list({ names }, session) {
        const { sites } = await clientOf(session).listSites({}, session.reading);
        const chosen = sites.filter(({ name }) => names.length === 0 || names.includes(name));
        return {
          columns: ["NAME", "ADDRESS"],
          wideColumns: [],
          rows: chosen.map((site) => ({
            name: `sites/${site.name}`,
            cells: [site.name, site.adminUrl],
            wide: [],
            schema: SiteSchema,
            message: site,
          })),
        };
      },
    },
    {
      words: ["arcgis"],
      async list({ names }, session) {
        const site = await siteOf(session);
        const listed = await read(site, session);
        const chosen = names.length === 0 ? listed.map(({ deployment }) => deployment) : await each();
        async function each() {
          const found = await idsOf("arcgis", names, async () => listed);
          return Promise.all(
            found.map(({ id }) => clientOf(session).getDeployment({ site, deploymentId: id }, session.reading)),
          );
        }
        return {
          columns: ["ID", "NAME", "TYPE", "MODE"],
          wideColumns: ["PROVIDER", "STATE", "READY"],
          rows: chosen.map((deployment) => ({
            name: `arcgis/${deployment.deploymentId}`,
            cells: [deployment.deploymentId, deployment.name, deployment.type, deployment.mode],
            wide: [
              deployment.provider,
              deployment.currentState,
              deployment.currentState === "" ? "" : `${deployment.readyReplicas}/${deployment.totalReplicas}`,
            ],
            schema: DeploymentSchema,
            message: deployment,
          })),
        };
      },
    },
  ],
};
