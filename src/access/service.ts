import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AccessService,
  TestPermissionsResponseSchema,
  WhoAmIResponseSchema,
} from "../../gen/restart/access/v1/access_service_pb.ts";
import { authorizerKey } from "../core/access.ts";
import { badRequest, Failure } from "../core/errors.ts";
import type { FreezeRegistry } from "../core/freeze.ts";
import { type Principal, principalKey } from "../core/principal.ts";
import { type Route, route } from "../core/route.ts";
import type { Impersonated } from "../core/target.ts";
import { type Catalog, emptyRequest, mindsFreezes, unknownPermission } from "./catalog.ts";

/**
 * restart.access.v1.AccessService: callers are told of themselves alone.
 *
 * @param impersonates who a caller is to systems that are told.
 */
export const createAccessRoute = (
  catalog: Catalog,
  freezes: FreezeRegistry,
  impersonates: (principal: Principal) => readonly Impersonated[],
): Route =>
  route(AccessService, {
    whoAmI(_, { values }) {
      const principal = values.get(principalKey);
      const { id, authenticator, username, groups, expireTime } = principal;
      return create(WhoAmIResponseSchema, {
        principal: id,
        authenticator,
        username,
        groups: [...groups],
        impersonates: impersonates(principal).map((one) => ({ ...one, groups: [...one.groups] })),
        ...(expireTime !== undefined && { expireTime: timestampFromMs(expireTime) }),
      });
    },
    async testPermissions({ checks }, { values }) {
      const unknown = checks.flatMap(({ permission }, index) => {
        const description = unknownPermission(catalog, permission);
        return description === undefined
          ? []
          : [{ field: `checks[${index}].permission`, description, reason: "UNKNOWN_PERMISSION" }];
      });
      if (unknown.length > 0) {
        throw new Failure(
          "INVALID_ARGUMENT",
          unknown.map(({ field, description }) => `${field} ${description}`).join("; "),
          {
            details: [badRequest(unknown)],
          },
        );
      }
      const principal = values.get(principalKey);
      const authorizer = values.get(authorizerKey);
      const frozen = await freezes.onEach(checks.map(({ target }) => target));
      return create(TestPermissionsResponseSchema, {
        results: checks.map(({ permission, target }, index) => {
          const request = emptyRequest(catalog, permission);
          const { allowed } = authorizer.authorize({ principal, permission, target, request });
          const reasonRequired = authorizer.wrongReasons(permission, [target], "").length > 0;
          return {
            permission,
            target,
            allowed,
            reasonRequired,
            frozen: mindsFreezes(catalog, permission) && frozen[index] === true,
          };
        }),
      });
    },
  });
