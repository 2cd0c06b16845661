import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type Deployment,
  DeploymentSchema,
  type Job,
  JobSchema,
} from "../../../gen/restart/arcgis/v1/deployment_pb.ts";
import {
  type DeploymentService,
  ListDeploymentsResponseSchema,
  ListSitesResponseSchema,
} from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { callKey } from "../../core/call.ts";
import type { Runtime } from "../../core/target.ts";
import { findSite, type RefreshAction, type Sites } from "./action.ts";
import type { VendorDeployment, VendorJob, VendorStatus } from "./answers.ts";
import { deploymentName } from "./client.ts";

/** What the service works with. */
export interface ServiceOptions {
  readonly sites: Sites;
  /** What RefreshDeployment does. */
  readonly refresh: RefreshAction;
  readonly runtime: Pick<Runtime, "operations">;
}

/** restart.arcgis.v1.DeploymentService. Its requests have passed the rules of their schema. */
export function createDeploymentService(options: ServiceOptions): ServiceImpl<typeof DeploymentService> {
  const { sites, refresh, runtime } = options;
  return {
    refreshDeployment: (request, context) => runtime.operations.run(refresh, request, context),

    async getJob({ site, jobId }, context) {
      return toJob(await findSite(sites, site).getJob(jobId, context.signal));
    },

    listSites: () =>
      create(ListSitesResponseSchema, {
        sites: [...sites.values()]
          .map(({ name, adminUrl }) => ({ name, adminUrl }))
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
      }),

    async listDeployments({ site }, context) {
      const deployments = await findSite(sites, site).listDeployments(context.signal);
      return create(ListDeploymentsResponseSchema, { deployments: deployments.map((one) => toDeployment(one)) });
    },

    async getDeployment({ site, deploymentId }, context) {
      about(context, deploymentName(site, deploymentId));
      const found = findSite(sites, site);
      const deployment = await found.getDeployment(deploymentId, context.signal);
      return toDeployment(deployment, await found.getStatus(deploymentId, context.signal));
    },
  };
}

/** For the log. */
const about = ({ values }: HandlerContext, target: string): void => {
  values.get(callKey).target = target;
};

const toDeployment = (deployment: VendorDeployment, status?: VendorStatus): Deployment =>
  create(DeploymentSchema, { ...deployment, ...status });

function toJob({ jobId, status, operationUri, username, startTime, updatedTime, endTime, result }: VendorJob): Job {
  const job: MessageInitShape<typeof JobSchema> = { jobId, status, operationUri, username };
  if (startTime !== undefined) job.startTime = timestampFromMs(startTime);
  if (updatedTime !== undefined) job.updateTime = timestampFromMs(updatedTime);
  if (endTime !== undefined) job.endTime = timestampFromMs(endTime);
  if (result !== undefined) job.result = result;
  return create(JobSchema, job);
}
