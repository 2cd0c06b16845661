import { create } from "@bufbuild/protobuf";
import { Auth_Kind, ServerSchema, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { ANONYMOUS } from "../core/principal.ts";
import { type Route, route } from "../core/route.ts";
import { VERSION } from "../core/version.ts";

/** What a server tells of itself. */
export interface About {
  /** Whether its systems are simulated ones. */
  readonly sandbox: boolean;
  /** Sections of the configuration that name systems. */
  readonly systems: readonly string[];
}

/** restart.server.v1.ServerService. */
export const createAboutRoute = ({ sandbox, systems }: About): Route =>
  route(ServerService, {
    getServer: () =>
      create(ServerSchema, {
        version: VERSION,
        sandbox,
        systems: [...systems],
        principal: ANONYMOUS,
        auth: { kind: Auth_Kind.NONE },
      }),
  });
