import { createClient } from "@connectrpc/connect";
import { InstanceService } from "../../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { transport } from "../../api/transport.ts";

/** restart.ddm.v1.InstanceService. */
export const instances = createClient(InstanceService, transport);
