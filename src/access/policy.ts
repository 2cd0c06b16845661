import type { CelInput } from "@bufbuild/cel";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ReasonRule, Rule } from "../../gen/restart/config/v1/authorization_pb.ts";
import type { Authorizer, Decision, Question } from "../core/access.ts";
import type { Principal } from "../core/principal.ts";
import type { FieldPath } from "../core/problem.ts";
import { targetIndex } from "../core/target-pattern.ts";
import { type CompiledRule, compileReason, compileRule, type RuleContext } from "./rule.ts";

/** Rules as the configuration, or its file, has them. */
export interface PolicyText {
  readonly rules: readonly Rule[];
  readonly reasons: readonly ReasonRule[];
}

/** Rules that were understood. */
export interface Policy {
  /**
   * Judges by them.
   *
   * @param now the wall clock.
   * @param erred told of a rule whose condition could not be evaluated: a deny counts then, an allow does not.
   */
  authorizer(now: () => Date, erred: (rule: string, error: Error) => void): Authorizer;
  /** Whether some calls have to say why they are made. */
  readonly wantsReasons: boolean;
}

/**
 * Reads rules. What is wrong with them is reported to the context, and then they are not used.
 *
 * @param path where they stand.
 */
export function compilePolicy({ rules, reasons }: PolicyText, path: FieldPath, context: RuleContext): Policy {
  const names = new Map<string, number>();
  for (const [index, { name }] of rules.entries()) {
    const before = names.get(name);
    if (before === undefined) names.set(name, index);
    else if (name !== "") {
      context.problem([...path, "rules", index, "name"], `must be unique, but is that of rules[${before}] too`);
    }
  }
  const compiled = rules.map((rule, index) => compileRule(rule, [...path, "rules", index], context));
  const demands = reasons.map((rule, index) => compileReason(rule, [...path, "reasons", index], context));
  const denies = index(compiled.filter(({ deny }) => deny));
  const allows = index(compiled.filter(({ deny }) => !deny));
  return {
    wantsReasons: reasons.length > 0,
    authorizer: (now, erred) => ({
      authorize: (question) => decide(question, denies, allows, now, erred),
      mayEver: (principal, permission) => allows.of(permission).some(({ concerns }) => concerns(principal)),
      mayAlways: (principal, permission) =>
        allows
          .of(permission)
          .some(({ concerns, everything, when }) => everything && when === undefined && concerns(principal)) &&
        !denies.of(permission).some(({ concerns }) => concerns(principal)),
      wrongReasons: (permission, targets, reason) => [
        ...new Set(
          demands
            .filter((demand) => demand.permissions.has(permission) && targets.some(demand.matchesTarget))
            .flatMap((demand) => demand.wrong(reason) ?? []),
        ),
      ],
    }),
  };
}

/** Rules of one effect, so that none is looked at that is about something else: there may be hundreds, and each call is judged by them. */
interface Rules {
  /** Those about a permission. */
  of(permission: string): readonly CompiledRule[];
  /** Those about a permission and a target, in the order in which they stand. */
  about(permission: string, target: string): readonly CompiledRule[];
}

function index(rules: readonly CompiledRule[]): Rules {
  const byPermission = new Map<string, CompiledRule[]>();
  for (const rule of rules) {
    for (const name of rule.permissions) {
      const others = byPermission.get(name);
      if (others === undefined) byPermission.set(name, [rule]);
      else others.push(rule);
    }
  }
  const places = targetIndex(rules.map(({ targets }) => targets));
  return {
    of: (permission) => byPermission.get(permission) ?? [],
    about: (permission, target) =>
      places(target)
        .flatMap((place) => rules[place] ?? [])
        .filter(({ permissions }) => permissions.has(permission)),
  };
}

/** A deny that matches wins, wherever it stands; then any allow. */
function decide(
  question: Question,
  denies: Rules,
  allows: Rules,
  now: () => Date,
  erred: (rule: string, error: Error) => void,
): Decision {
  const { principal, permission, target } = question;
  let bindings: Readonly<Record<string, CelInput>> | undefined;
  const holds = ({ name, deny, when, concerns }: CompiledRule): boolean => {
    if (!concerns(principal)) return false;
    if (when === undefined) return true;
    bindings ??= bindingsOf(question, now());
    const value = when(bindings);
    if (!(value instanceof Error)) return value;
    erred(name, value);
    return deny;
  };
  const denied = denies.about(permission, target).find(holds);
  if (denied !== undefined) {
    return { allowed: false, kind: "deny", rule: denied.name, groups: denied.groupsOf(principal) };
  }
  const allowed = allows.about(permission, target).find(holds);
  return allowed === undefined
    ? { allowed: false, kind: "default-deny", rule: undefined, groups: [] }
    : { allowed: true, kind: "allow", rule: allowed.name, groups: allowed.groupsOf(principal) };
}

function bindingsOf({ principal, permission, target, request }: Question, now: Date): Record<string, CelInput> {
  return {
    principal: shown(principal),
    permission,
    target,
    now: timestampFromDate(now),
    ...(request && { request: request.message }),
  };
}

const shown = ({ id, authenticator, username, groups, claims }: Principal): CelInput =>
  ({ id, authenticator, username, groups, claims }) as CelInput;
