import { createClient } from "@connectrpc/connect";
import { EngineService } from "../../../../gen/restart/cse/v1/engine_service_pb.ts";
import { transport } from "../../api/transport.ts";

/** restart.cse.v1.EngineService. */
export const engines = createClient(EngineService, transport);
