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
  /** What is asked of callers; undefined when nobody is asked who they are. */
  readonly access: AboutAccess | undefined;
}

/** What a server asks of its callers. */
export interface AboutAccess {
  /** Who gives out tokens that are taken. */
  readonly issuers: readonly { readonly name: string; readonly issuer: string }[];
  /** Whether some calls have to say why they are made. */
  readonly wantsReasons: () => boolean;
  /** Whom to ask for rights; may be empty. */
  readonly contact: string;
}

/** restart.server.v1.ServerService. A stranger is told how to say who it is, and nothing else. */
export const createAboutRoute = ({ sandbox, systems, access }: About): Route =>
  route(ServerService, {
    getServer(_, { values }) {
      const principal = values.get(principalKey);
      const auth =
        access === undefined ? { kind: Auth_Kind.NONE } : { kind: Auth_Kind.BEARER, issuers: [...access.issuers] };
      if (access !== undefined && principal === ANONYMOUS) {
        return create(ServerSchema, { auth });
      }
      return create(ServerSchema, {
        version: VERSION,
        sandbox,
        systems: [...systems],
        principal: principal.id,
        requireReason: access?.wantsReasons() ?? false,
        contact: access?.contact ?? "",
        auth,
      });
    },
  });
