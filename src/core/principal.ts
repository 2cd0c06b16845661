import type { JsonObject } from "@bufbuild/protobuf";
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import type { Failure } from "./errors.ts";

/** Who calls. */
export interface Principal {
  /** `AUTHENTICATOR:USERNAME`, or `anonymous`: what operations, the audit trail and request ids know a caller by. */
  readonly id: string;
  /** Who vouches for it: the name of an issuer, `token`, or `cert`. Empty for {@link ANONYMOUS}. */
  readonly authenticator: string;
  /** Its name there. */
  readonly username: string;
  /** Its groups, each `AUTHENTICATOR:GROUP`. */
  readonly groups: readonly string[];
  /** What rules may see of its credential beside these. */
  readonly claims: JsonObject;
  /** Tells its credential from its others, for the audit trail: never the credential itself. */
  readonly credential: string;
  /** When its credential ends, in epoch ms; undefined: it does not by itself. */
  readonly expireTime: number | undefined;
}

/** Whoever says nothing of who it is. */
export const ANONYMOUS: Principal = {
  id: "anonymous",
  authenticator: "",
  username: "anonymous",
  groups: [],
  claims: {},
  credential: "",
  expireTime: undefined,
};

/** Where handlers and interceptors find who calls. Its default serves calls that nobody asks who they are. */
export const principalKey: ContextKey<Principal> = createContextKey<Principal>(ANONYMOUS, { description: "principal" });

/** Tells why the credential of a call does not hold any longer; undefined while it does. */
export type Lapsed = () => Failure | undefined;

/** Where streams find whether their caller's credential still holds. Its default: there is none that could end. */
export const lapsedKey: ContextKey<Lapsed | undefined> = createContextKey<Lapsed | undefined>(undefined, {
  description: "lapsed",
});

const MAX_CHARACTERS = 512;

const MAX_GROUPS = 200;

const MAX_GROUP = 256;

/** What is wrong with a name that an authenticator gives a caller; undefined when nothing is. */
export const wrongUsername = (authenticator: string, username: string): string | undefined =>
  wrongName(username, MAX_CHARACTERS - authenticator.length - 1);

/** What is wrong with the groups that an authenticator gives a caller; undefined when nothing is. */
export function wrongGroups(authenticator: string, groups: readonly string[]): string | undefined {
  if (groups.length > MAX_GROUPS) return `there are more than ${MAX_GROUPS}`;
  const most = MAX_GROUP - authenticator.length - 1;
  return groups.map((group) => wrongName(group, most)).find((wrong) => wrong !== undefined);
}

function wrongName(name: string, most: number): string | undefined {
  if (name === "") return "one is empty";
  if (name.length > most) return `one has more than ${most} characters`;
  if (!name.isWellFormed()) return "one has half a surrogate pair";
  if (/\p{Cc}/u.test(name)) return "one has a control character";
  return name.trim() === name ? undefined : "one has a blank at an end";
}
