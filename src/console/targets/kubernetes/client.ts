import { createClient } from "@connectrpc/connect";
import { WorkloadService } from "../../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { transport } from "../../api/transport.ts";

/** restart.kubernetes.v1.WorkloadService. */
export const workloads = createClient(WorkloadService, transport);
