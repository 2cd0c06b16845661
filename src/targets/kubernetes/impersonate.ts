import type { Impersonation as Section } from "../../../gen/restart/config/v1/kubernetes_pb.ts";
import { deniedInfo } from "../../core/authorize.ts";
import type { Authorization } from "../../core/call.ts";
import { callerPattern } from "../../core/caller-pattern.ts";
import { Failure, resourceInfo } from "../../core/errors.ts";
import type { Principal } from "../../core/principal.ts";
import type { FieldPath } from "../../core/problem.ts";
import type { SectionReader } from "../../core/section-reader.ts";
import { quote } from "../../core/show-value.ts";
import type { Matches } from "../../core/target-pattern.ts";
import type { As, Client } from "./client.ts";
import { isHeaderValue } from "./cluster/header-value.ts";

/** Who the callers of one authenticator are to a cluster. */
interface Names {
  readonly userPrefix: string;
  /** Undefined: the cluster is told of no groups. */
  readonly groups: { readonly prefix: string; readonly isTold: Matches } | undefined;
}

/** Who callers are to a cluster, by the name of their authenticator. */
export type Impersonation = ReadonlyMap<string, Names>;

/** At most so many groups are told: each is a check of its own in the API server. */
const MAX_GROUPS = 100;

/** Bound (bytes) on a name. */
const MAX_NAME = 1_024;

/** What the cluster's own parts are called. */
const RESERVED = "system:";

/**
 * Reads who callers are to a cluster. What is wrong with it is reported.
 *
 * @param authenticators those that are configured.
 * @returns undefined where callers are nobody to it: restartd's own account makes every request then.
 */
export function readImpersonation(
  sections: Readonly<Record<string, Section>>,
  path: FieldPath,
  reader: SectionReader,
  authenticators: ReadonlySet<string>,
): Impersonation | undefined {
  const entries = Object.entries(sections);
  if (entries.length === 0) return undefined;
  return new Map(
    entries.map(([authenticator, section]) => {
      const at = [...path, authenticator];
      if (!authenticators.has(authenticator)) {
        const known = [...authenticators].map(quote).join(", ") || "none";
        reader.problem(at, `must be the name of an authenticator; configured are ${known}`);
      }
      return [authenticator, readNames(authenticator, section, at, reader)];
    }),
  );
}

function readNames(authenticator: string, section: Section, path: FieldPath, reader: SectionReader): Names {
  const checkPrefix = (prefix: string, at: FieldPath): void => {
    const wrong = wrongPrefix(prefix, section.unprefixed);
    if (wrong !== undefined) reader.problem(at, wrong);
  };
  checkPrefix(section.userPrefix, [...path, "user_prefix"]);
  const { groups } = section;
  if (groups === undefined) return { userPrefix: section.userPrefix, groups: undefined };
  checkPrefix(groups.prefix, [...path, "groups", "prefix"]);
  const only = groups.only.map((text, index): Matches => {
    const pattern = callerPattern(text);
    const wrong =
      pattern.wrong ?? (text.startsWith(`${authenticator}:`) ? undefined : `must be groups of ${authenticator}`);
    if (wrong !== undefined) reader.problem([...path, "groups", "only", index], `${wrong}, but is ${quote(text)}`);
    return pattern.wrong === undefined ? pattern.matches : () => false;
  });
  const isTold: Matches = (group) => only.length === 0 || only.some((matches) => matches(group));
  return { userPrefix: section.userPrefix, groups: { prefix: groups.prefix, isTold } };
}

function wrongPrefix(prefix: string, unprefixed: boolean): string | undefined {
  if (prefix === "") {
    return unprefixed
      ? undefined
      : "must be set, such as oidc:, or unprefixed must be true: without a prefix callers can have the names of others";
  }
  if (prefix.startsWith(RESERVED)) return `must not begin with ${RESERVED}, as the cluster's own parts do`;
  return isHeaderValue(`${prefix}x`) && prefix.length < MAX_NAME
    ? undefined
    : "must be printable ASCII characters, with no blank before them";
}

/**
 * Who a caller is to a cluster.
 *
 * @param authorization what the caller's call asks for, for its refusal; undefined where nothing is asked for.
 * @throws Failure PERMISSION_DENIED where it is nobody there, or would be a part of the cluster itself; IDENTITY_NOT_ENCODABLE where a
 *   header cannot say it exactly. Nobody ever becomes restartd's own account instead.
 */
export function identify(
  cluster: string,
  impersonation: Impersonation,
  { id, authenticator, username, groups }: Principal,
  authorization?: Authorization,
): As {
  const denied = (identity: "not_impersonated" | "reserved", sentence: string): Failure => {
    const { metadata, details } = deniedInfo(id, authorization?.permission, authorization?.targets ?? []);
    return new Failure("PERMISSION_DENIED", sentence, { metadata: { ...metadata, cluster, identity }, details });
  };
  const names = impersonation.get(authenticator);
  if (names === undefined) {
    throw denied("not_impersonated", `cluster ${cluster} knows nobody by the authenticator of ${id}`);
  }
  const user = names.userPrefix + username;
  const named = (names.groups === undefined ? [] : groups.filter(names.groups.isTold)).map(
    (group) => (names.groups?.prefix ?? "") + group.slice(authenticator.length + 1),
  );
  const unique = [...new Set(named)];
  if ([user, ...unique].some((name) => name.startsWith(RESERVED))) {
    throw denied("reserved", `${id} would be to cluster ${cluster} what only its own parts are called`);
  }
  if (!isTellable(user)) {
    throw notEncodable(cluster, "user", `the name of ${id} cannot be told to cluster ${cluster}: ${WANTED}`);
  }
  if (!unique.every(isTellable)) {
    throw notEncodable(cluster, "group", `a group of ${id} cannot be told to cluster ${cluster}: ${WANTED}`);
  }
  if (unique.length > MAX_GROUPS) {
    const sentence = `${id} has ${unique.length} groups for cluster ${cluster}, and at most ${MAX_GROUPS} are told: name fewer in impersonation.${authenticator}.groups.only`;
    throw notEncodable(cluster, "group", sentence);
  }
  return { user, groups: unique };
}

const WANTED = `it has to be printable ASCII with no blank at an end, at most ${MAX_NAME} characters`;

const isTellable = (name: string): boolean => name.length <= MAX_NAME && isHeaderValue(name);

const notEncodable = (cluster: string, part: "user" | "group", sentence: string) =>
  new Failure("IDENTITY_NOT_ENCODABLE", sentence, {
    metadata: { cluster, part },
    details: [resourceInfo("cluster", cluster)],
  });

/** A client whose every request is made in somebody's name. */
export const actingAs = (client: Client, as: As): Client => ({
  as,
  request: (request) => client.request({ ...request, as }),
  watch: (request) => client.watch({ ...request, as }),
  // It is not its own: whoever opened it closes it.
  [Symbol.asyncDispose]: async () => {},
});
