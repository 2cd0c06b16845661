import { createClient } from "@connectrpc/connect";
import { DeploymentService } from "../../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { transport } from "../../api/transport.ts";

/** restart.arcgis.v1.DeploymentService. */
export const deployments = createClient(DeploymentService, transport);
