import type { RequestInfo } from "./request-info.ts";
import { badRequest, forbidden, StatusError, unauthorized } from "./status-errors.ts";

/** What a user may do; `*` stands for everything. */
export interface Rule {
  readonly verbs: readonly string[];
  readonly groups: readonly string[];
  /** Plurals, and `plural/subresource`. */
  readonly resources: readonly string[];
  /** Default: every namespace, and the cluster scope. */
  readonly namespaces?: readonly string[];
  /** Default: every object. */
  readonly names?: readonly string[];
}

/** Somebody whom the server knows. */
export interface SimulatorUser {
  readonly name: string;
  /** The bearer token. */
  readonly token: string;
  /** `system:masters` may do everything. Default none. */
  readonly groups?: readonly string[];
  /** Default none: discovery and health alone. */
  readonly rules?: readonly Rule[];
  /** Whom the user may act as (`Impersonate-*` headers): everybody, or some names. Default nobody; `system:masters` may. */
  readonly impersonates?: boolean | { readonly users: readonly string[]; readonly groups: readonly string[] };
}

/** Who asks, after impersonation. */
export interface Identity {
  readonly name: string;
  readonly groups: readonly string[];
  readonly rules: readonly Rule[];
}

function onWorkloads(...verbs: string[]): Rule[] {
  return [
    { verbs, groups: ["apps"], resources: ["deployments", "statefulsets", "daemonsets", "replicasets"] },
    { verbs, groups: ["argoproj.io"], resources: ["rollouts"] },
  ];
}

/** The users of every simulator. A token is `token-of-` and the name. */
export const standardUsers: readonly SimulatorUser[] = [
  { name: "admin", token: "token-of-admin", groups: ["system:masters"] },
  { name: "patcher", token: "token-of-patcher", rules: onWorkloads("get", "list", "watch", "patch") },
  { name: "blind", token: "token-of-blind", rules: onWorkloads("patch") },
  { name: "reader", token: "token-of-reader", rules: onWorkloads("get", "list", "watch") },
  { name: "nobody", token: "token-of-nobody" },
];

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The user behind the bearer token; 401 when there is none. */
export function authenticate(users: readonly SimulatorUser[], headers: Headers): SimulatorUser {
  const { authorization } = headers;
  const token = typeof authorization === "string" ? /^Bearer +(\S+)$/i.exec(authorization)?.[1] : undefined;
  const user = users.find((candidate) => candidate.token === token);
  if (user === undefined) throw unauthorized();
  return user;
}

/** The identity to act as: the user's own, or the one that `Impersonate-*` headers name. 403 for who may not, 400 without a name. */
export function impersonate(
  user: SimulatorUser,
  users: readonly SimulatorUser[],
  headers: Headers,
  info: RequestInfo,
): Identity {
  const name = single(headers["impersonate-user"]);
  const groups = many(headers["impersonate-group"]);
  const extra = Object.keys(headers).some((key) => key.startsWith("impersonate-extra-") || key === "impersonate-uid");
  if (name === "") {
    if (groups.length === 0 && !extra) return identityOf(user);
    const list = groups.map((group) => JSON.stringify(group)).join(", ");
    const shown = groups.length === 0 ? "[]string(nil)" : `[]string{${list}}`;
    throw badRequest(
      `requested &user.DefaultInfo{Name:"", UID:"", Groups:${shown}, Extra:map[string][]string(nil)} without impersonating a user name`,
    );
  }
  const masters = user.groups?.includes("system:masters") === true;
  const { impersonates = false } = user;
  const may =
    typeof impersonates === "boolean"
      ? impersonates
      : impersonates.users.includes(name) && groups.every((group) => impersonates.groups.includes(group));
  if (!masters && !may) throw mayNotImpersonate(user, name, info);
  const known = users.find((candidate) => candidate.name === name);
  return { name, groups, rules: known?.rules ?? [] };
}

/** 1.36 asks for a constrained verb on the resource itself; on other paths the old sentence about users remains. */
function mayNotImpersonate(user: SimulatorUser, name: string, info: RequestInfo): Error {
  const account = name.startsWith("system:serviceaccount:");
  if (info.kind === "resource") {
    return denied(user.name, `impersonate-on:${account ? "serviceaccount" : "user-info"}:${info.verb}`, info);
  }
  return forbidden(
    { group: "", kind: "users", name },
    `User "${user.name}" cannot impersonate resource "users" in API group "" at the cluster scope`,
  );
}

function identityOf(user: SimulatorUser): Identity {
  return { name: user.name, groups: user.groups ?? [], rules: user.rules ?? [] };
}

/** Refuses with 403 what the identity may not do. Authorisation comes before any look at the object: absence never shows. */
export function authorize(identity: Identity, info: RequestInfo): void {
  if (identity.groups.includes("system:masters")) return;
  if (info.kind === "path") {
    if (/^\/(api|apis|version|healthz|livez|readyz|openapi)(\/|$)/.test(info.path)) return;
    throw new StatusError(
      403,
      "Forbidden",
      `forbidden: User "${identity.name}" cannot ${info.verb} path "${info.path}"`,
      {},
    );
  }
  const resource = info.subresource === "" ? info.plural : `${info.plural}/${info.subresource}`;
  const allowed = identity.rules.some(
    (rule) =>
      covers(rule.verbs, info.verb) &&
      covers(rule.groups, info.group) &&
      covers(rule.resources, resource) &&
      (rule.namespaces === undefined || covers(rule.namespaces, info.namespace)) &&
      (rule.names === undefined || covers(rule.names, info.name)),
  );
  if (!allowed) throw denied(identity.name, info.verb, info);
}

function denied(user: string, verb: string, info: Extract<RequestInfo, { kind: "resource" }>): Error {
  const resource = info.subresource === "" ? info.plural : `${info.plural}/${info.subresource}`;
  const where = info.namespace === "" ? "at the cluster scope" : `in the namespace "${info.namespace}"`;
  return forbidden(
    { group: info.group, kind: info.plural, name: info.name },
    `User "${user}" cannot ${verb} resource "${resource}" in API group "${info.group}" ${where}`,
  );
}

function covers(list: readonly string[], value: string): boolean {
  return list.includes("*") || list.includes(value);
}

function single(value: string | string[] | undefined): string {
  return (typeof value === "string" ? value : value?.[0]) ?? "";
}

function many(value: string | string[] | undefined): string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}
