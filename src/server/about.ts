import { create } from "@bufbuild/protobuf";
import { Auth_Kind, ServerSchema, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { ANONYMOUS, principalKey } from "../core/principal.ts";
import { type Route, route } from "../core/route.ts";
import { VERSION } from "../core/version.ts";

/** What a server tells of itself. */
export interface About {
  /** Whether its systems are simulated ones. */
  readonly sandbox: boolean;
  /** Sections of the configuration that name systems. */
  readonly systems: readonly string[];
  /** Who gives out tokens that are taken; undefined when nobody is asked who they are. */
  readonly issuers: readonly { readonly name: string; readonly issuer: string }[] | undefined;
}

/** restart.server.v1.ServerService. A stranger is told how to say who it is, and nothing else. */
export const createAboutRoute = ({ sandbox, systems, issuers }: About): Route =>
  route(
    ServerService,
    {
      getServer(_, { values }) {
        const principal = values.get(principalKey);
        const auth =
          issuers === undefined ? { kind: Auth_Kind.NONE } : { kind: Auth_Kind.BEARER, issuers: [...issuers] };
        if (issuers !== undefined && principal === ANONYMOUS) {
          return create(ServerSchema, { auth });
        }
        return create(ServerSchema, {
          version: VERSION,
          sandbox,
          systems: [...systems],
          principal: principal.id,
          auth,
        });
      },
    },
    { forAnybody: ["GetServer"] },
  );
