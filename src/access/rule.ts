import type { Registry } from "@bufbuild/protobuf";
import type { ReasonRule, Rule } from "../../gen/restart/config/v1/authorization_pb.ts";
import { callerPattern } from "../core/caller-pattern.ts";
import { lowerCaseTarget } from "../core/lower-case-id.ts";
import { nearName } from "../core/near-name.ts";
import type { Principal } from "../core/principal.ts";
import type { FieldPath } from "../core/problem.ts";
import { quote } from "../core/show-value.ts";
import { anyTargetOf, canMatch, type Matches, type Pattern, targetPattern } from "../core/target-pattern.ts";
import { type Catalog, type Permission, templatesOf } from "./catalog.ts";
import { ANY, type Scope, type Type, VALUE } from "./check.ts";
import { compileExpression, type Evaluate } from "./expression.ts";
import { permissionPattern } from "./pattern.ts";

/** A rule that was understood. */
export interface CompiledRule {
  readonly name: string;
  readonly deny: boolean;
  /** Whether it is about a caller. */
  readonly concerns: (principal: Principal) => boolean;
  /** The caller's groups that it names. */
  readonly groupsOf: (principal: Principal) => readonly string[];
  /** Every permission that it is about. */
  readonly permissions: ReadonlySet<string>;
  /** Patterns of the targets that it is about. */
  readonly targets: readonly string[];
  /** Whether it is about every target. */
  readonly everything: boolean;
  readonly when: Evaluate | undefined;
}

/** What a reason has to be like. */
export interface CompiledReason {
  readonly permissions: ReadonlySet<string>;
  readonly matchesTarget: Matches;
  /** What a reason lacks, in a sentence; undefined when it is as it should be. */
  readonly wrong: (reason: string) => string | undefined;
}

/** What rules are judged by. */
export interface RuleContext {
  readonly catalog: Catalog;
  /** Claims that some issuer lists. */
  readonly claims: ReadonlySet<string>;
  /** Authenticators that are configured. */
  readonly authenticators: ReadonlySet<string>;
  /** Configured systems by the first segment of their names. */
  readonly systems: ReadonlyMap<string, ReadonlySet<string>>;
  /** Knows the requests. */
  readonly registry: Registry;
  readonly problem: (path: FieldPath, message: string) => void;
  readonly warning: (path: FieldPath, message: string) => void;
}

/** Reads a rule. What is wrong with it is reported. */
export function compileRule(rule: Rule, path: FieldPath, context: RuleContext): CompiledRule {
  const permissions = readPermissions(rule.permissions, [...path, "permissions"], context);
  const principals = patterns(rule.principals, [...path, "principals"], caller(context), context);
  const groups = patterns(rule.groups, [...path, "groups"], caller(context), context);
  const inGroup = (group: string): boolean => groups.some(({ matches }) => matches(group));
  const member = membership(rule.groups);
  return {
    name: rule.name,
    deny: rule.effect === "deny",
    concerns: ({ id, groups: has }) =>
      (rule.principals.length === 0 || principals.some(({ matches }) => matches(id))) &&
      (rule.groups.length === 0 || member(has)),
    groupsOf: ({ groups: has }) => (rule.groups.length === 0 ? [] : has.filter(inGroup)),
    permissions: new Set(permissions.map(({ name }) => name)),
    targets: readTargets(rule.targets, [...path, "targets"], context),
    everything: rule.targets.includes("**"),
    when: rule.when === "" ? undefined : condition(rule.when, [...path, "when"], permissions, context),
  };
}

/** The groups of a principal as a set, made once: a call asks for them in every rule. */
const groupSets = new WeakMap<readonly string[], ReadonlySet<string>>();

function setOf(groups: readonly string[]): ReadonlySet<string> {
  const known = groupSets.get(groups);
  if (known !== undefined) return known;
  const made = new Set(groups);
  groupSets.set(groups, made);
  return made;
}

/** Whether somebody is in any of some groups: of those that are named in full no list is gone through. */
function membership(texts: readonly string[]): (groups: readonly string[]) => boolean {
  const named = texts.filter((text) => !text.endsWith("*"));
  const beginnings = texts.filter((text) => text.endsWith("*")).map((text) => text.slice(0, -1));
  return (groups) => {
    const set = setOf(groups);
    return (
      named.some((group) => set.has(group)) ||
      (beginnings.length > 0 && groups.some((group) => beginnings.some((beginning) => group.startsWith(beginning))))
    );
  };
}

/** Reads a demand on reasons. What is wrong with it is reported. */
export function compileReason(rule: ReasonRule, path: FieldPath, context: RuleContext): CompiledReason {
  const permissions = readPermissions(rule.permissions, [...path, "permissions"], context);
  const { minLength, pattern } = rule;
  const scope: Scope = { variables: new Map([["reason", VALUE]]) };
  const fits =
    pattern === ""
      ? undefined
      : compileExpression(`reason.matches(${JSON.stringify(pattern)})`, scope, context.registry);
  for (const wrong of fits?.wrong ?? []) context.problem([...path, "pattern"], wrong);
  return {
    permissions: new Set(permissions.filter(takesReason).map(({ name }) => name)),
    matchesTarget: anyTargetOf(readTargets(rule.targets, [...path, "targets"], context)),
    wrong(reason) {
      if (reason.trim().length < minLength) return `must have at least ${minLength} characters`;
      const good = fits?.evaluate === undefined || fits.evaluate({ reason }) === true;
      return good ? undefined : `must have a part that matches ${pattern}`;
    },
  };
}

const takesReason = ({ requests }: Permission): boolean =>
  requests?.every(({ fields }) => fields.some(({ name }) => name === "reason")) ?? false;

function readPermissions(texts: readonly string[], path: FieldPath, context: RuleContext): Permission[] {
  const all = [...context.catalog.values()];
  const found = new Set<Permission>();
  for (const [index, text] of texts.entries()) {
    const pattern = permissionPattern(text);
    if (pattern.wrong !== undefined) {
      context.problem([...path, index], `${pattern.wrong}, but is ${quote(text)}`);
      continue;
    }
    const meant = all.filter(({ name }) => pattern.matches(name));
    if (meant.length === 0) {
      const near = nearName(text, context.catalog.keys());
      const hint = near === undefined ? "docs/security.md lists them" : `did you mean ${near}?`;
      context.problem([...path, index], `${quote(text)} is no permission; ${hint}`);
    }
    for (const permission of meant) found.add(permission);
  }
  return [...found];
}

function patterns(
  texts: readonly string[],
  path: FieldPath,
  read: (text: string, path: FieldPath) => Pattern,
  { problem }: Pick<RuleContext, "problem">,
): { readonly text: string; readonly matches: Matches }[] {
  return texts.flatMap((text, index) => {
    const pattern = read(text, [...path, index]);
    if (pattern.wrong === undefined) return [{ text, matches: pattern.matches }];
    problem([...path, index], `${pattern.wrong}, but is ${quote(text)}`);
    return [];
  });
}

const caller =
  ({ authenticators, warning }: RuleContext) =>
  (text: string, path: FieldPath): Pattern => {
    const authenticator = text.slice(0, Math.max(0, text.indexOf(":")));
    if (authenticator !== "" && !authenticators.has(authenticator)) {
      warning(path, `${quote(authenticator)} is no authenticator here, so that nobody is ${quote(text)}`);
    }
    return callerPattern(text);
  };

/** Reads patterns of targets. Those that are wrong are reported, and left out. */
export function readTargets(
  texts: readonly string[],
  path: FieldPath,
  context: Pick<RuleContext, "catalog" | "systems" | "problem" | "warning">,
): string[] {
  const templates = templatesOf(context.catalog);
  const read = (text: string, at: FieldPath): Pattern => {
    const pattern = targetPattern(text);
    if (pattern.wrong !== undefined) return pattern;
    if (text !== "**" && !templates.some((template) => canMatch(text, template))) {
      return { wrong: "must be able to match the name of something" };
    }
    const [kind = "", name = ""] = lowerCaseTarget(text).split("/");
    if (!name.startsWith("*") && context.systems.get(kind)?.has(decodeURIComponent(name)) === false) {
      context.warning(at, `${quote(`${kind}/${name}`)} is not configured here`);
    }
    return pattern;
  };
  return patterns(texts, path, read, context).map(({ text }) => text);
}

function condition(
  text: string,
  path: FieldPath,
  permissions: readonly Permission[],
  context: RuleContext,
): Evaluate | undefined {
  const expression = compileExpression(text, scopeOf(permissions, context), context.registry);
  for (const wrong of expression.wrong ?? []) context.problem(path, wrong);
  return expression.evaluate;
}

/** The variables of a condition. */
function scopeOf(permissions: readonly Permission[], { claims }: RuleContext): Scope {
  const principal: Type = {
    is: "fields",
    what: "principal",
    fields: new Map<string, Type>([
      ["id", VALUE],
      ["authenticator", VALUE],
      ["username", VALUE],
      ["groups", VALUE],
      [
        "claims",
        {
          is: "fields",
          what: "principal.claims (the claims that some issuer lists)",
          fields: new Map([...claims].map((claim): [string, Type] => [claim, ANY])),
        },
      ],
    ]),
  };
  const variables = new Map<string, Type>([
    ["principal", principal],
    ["permission", VALUE],
    ["target", VALUE],
    ["now", VALUE],
  ]);
  const blind = permissions.find(({ requests }) => requests === undefined);
  if (blind !== undefined) {
    return { variables, missing: new Map([["request", `${blind.name} is judged without a request`]]) };
  }
  const descs = [...new Set(permissions.flatMap(({ requests }) => requests ?? []))];
  return { variables: variables.set("request", { is: "message", descs }) };
}
