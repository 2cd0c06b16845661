import type { Authentication } from "../../gen/restart/config/v1/authentication_pb.ts";

/** Vouches for whoever has a static token. */
export const TOKEN = "token";

/** Vouches for whoever has a client certificate. */
export const CERT = "cert";

/** Names of the authenticators that a section `authentication` says; none without it. */
export const authenticatorsOf = (section: Authentication | undefined): ReadonlySet<string> =>
  new Set([
    ...(section?.issuers.map(({ name }) => name) ?? []),
    ...(section?.tokens === undefined ? [] : [TOKEN]),
    ...(section?.certificates === undefined ? [] : [CERT]),
  ]);
