import { isCelError, type parse, run } from "@bufbuild/cel";
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { nearName } from "../core/near-name.ts";

/** An expression as the library parses it. */
type Expr = ReturnType<typeof parse>["expr"];

/** What is known of a value before it is there. */
export type Type =
  /** Anything. */
  | { readonly is: "any" }
  | { readonly is: "bool" }
  /** Neither true nor false, and without fields: text, a number, a time, a list. */
  | { readonly is: "value" }
  /** Has these fields and no others. */
  | { readonly is: "fields"; readonly what: string; readonly fields: ReadonlyMap<string, Type> }
  /** A message of one of these types: a field can be asked for when all of them have it. */
  | { readonly is: "message"; readonly descs: readonly DescMessage[] };

/** The variables of an expression, and what is known of each. */
export interface Scope {
  readonly variables: ReadonlyMap<string, Type>;
  /** Why there is no variable of a name that one might expect. */
  readonly missing?: ReadonlyMap<string, string>;
}

/** What nothing is known of. */
export const ANY: Type = { is: "any" };

/** What is neither true nor false. */
export const VALUE: Type = { is: "value" };

const BOOL: Type = { is: "bool" };

/** A function: how many arguments it takes behind its receiver (undefined: it has none), and what it gives. */
interface Signature {
  readonly receiver: boolean;
  readonly args: readonly number[];
  readonly gives: Type;
  /** Whether its arguments have to be true or false. */
  readonly logical?: boolean;
}

const operators = (names: readonly string[], args: number, gives: Type, logical = false) =>
  names.map((name): [string, Signature] => [name, { receiver: false, args: [args], gives, logical }]);

const methods = (names: readonly string[], args: readonly number[], gives: Type) =>
  names.map((name): [string, Signature] => [name, { receiver: true, args, gives }]);

const FUNCTIONS: ReadonlyMap<string, Signature> = new Map([
  ...operators(["_&&_", "_||_"], 2, BOOL, true),
  ...operators(["!_", "@not_strictly_false"], 1, BOOL, true),
  ...operators(["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"], 2, BOOL),
  ...operators(["_+_", "_-_", "_*_", "_/_", "_%_"], 2, VALUE),
  ...operators(["-_", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "type"], 1, VALUE),
  ...operators(["bool"], 1, BOOL),
  ...operators(["dyn"], 1, ANY),
  ...methods(["startsWith", "endsWith", "contains", "matches"], [1], BOOL),
  ...methods(["getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"], [0, 1], VALUE),
  ...methods(["getHours", "getMinutes", "getSeconds", "getMilliseconds"], [0, 1], VALUE),
]);

/** Names of types, which `type(x)` is compared with. */
const TYPE_NAMES: ReadonlySet<string> = new Set("bool int uint double string bytes list map null_type type".split(" "));

/**
 * Everything that is wrong with an expression that shall be true or false: names and functions that are not there, fields that some
 * message in its scope does not have, what is neither true nor false, patterns that do not compile, a comprehension inside another.
 */
export function checkExpression(expr: Expr, scope: Scope): readonly string[] {
  const wrong = new Set<string>();
  const checker = createChecker(scope, (what) => wrong.add(what));
  const type = checker(expr, scope.variables, false);
  if (wrong.size === 0 && !mayBeBool(type)) wrong.add("must be true or false, but is something else");
  return [...wrong];
}

const mayBeBool = ({ is }: Type): boolean => is === "bool" || is === "any";

type Variables = ReadonlyMap<string, Type>;

type Check = (expr: Expr | undefined, variables: Variables, inside: boolean) => Type;

function createChecker(scope: Scope, report: (what: string) => void): Check {
  const check: Check = (expr, variables, inside) => {
    const kind = expr?.exprKind;
    switch (kind?.case) {
      case "constExpr":
        return kind.value.constantKind.case === "boolValue" ? BOOL : VALUE;
      case "identExpr":
        return variable(kind.value.name, variables);
      case "selectExpr": {
        const { operand, field, testOnly } = kind.value;
        const found = fieldOf(check(operand, variables, inside), field);
        return testOnly ? BOOL : found;
      }
      case "callExpr":
        return call(kind.value, variables, inside);
      case "listExpr":
        for (const element of kind.value.elements) check(element, variables, inside);
        return VALUE;
      case "structExpr":
        if (kind.value.messageName !== "") report(`cannot make a message (${kind.value.messageName})`);
        for (const entry of kind.value.entries) check(entry.value, variables, inside);
        return VALUE;
      case "comprehensionExpr": {
        const { iterRange, iterVar, accuVar, accuInit, loopCondition, loopStep, result } = kind.value;
        check(iterRange, variables, inside);
        if (inside) report("must not have a comprehension (all, exists, exists_one, filter, map) inside another");
        const within = new Map(variables).set(iterVar, ANY).set(accuVar, check(accuInit, variables, inside));
        check(loopCondition, within, true);
        check(loopStep, within, true);
        return check(result, within, true);
      }
      default:
        report("has a part that is not understood");
        return ANY;
    }
  };

  const variable = (name: string, variables: Variables): Type => {
    const type = variables.get(name);
    if (type !== undefined) return type;
    if (TYPE_NAMES.has(name)) return VALUE;
    const near = nearName(name, variables.keys());
    const hint = near === undefined ? `there are ${[...scope.variables.keys()].join(", ")}` : `did you mean ${near}?`;
    report(`${name} is not a variable: ${scope.missing?.get(name) ?? hint}`);
    return ANY;
  };

  const fieldOf = (type: Type, field: string): Type => {
    switch (type.is) {
      case "any":
        return ANY;
      case "fields": {
        const found = type.fields.get(field);
        if (found !== undefined) return found;
        const near = nearName(field, type.fields.keys());
        const known = [...type.fields.keys()].join(", ") || "none";
        report(`${type.what} has no ${field}: ${near === undefined ? `there are ${known}` : `did you mean ${near}?`}`);
        return ANY;
      }
      case "message":
        return fieldOfAll(type.descs, field);
      default:
        report(`what ${field} is asked of has no fields`);
        return ANY;
    }
  };

  const fieldOfAll = (descs: readonly DescMessage[], name: string): Type => {
    const found = descs.map((desc) => ({ desc, field: desc.fields.find((field) => field.name === name) }));
    const without = found.filter(({ field }) => field === undefined).map(({ desc }) => desc.name);
    if (without.length === 0) return typeOfFields(found.flatMap(({ field }) => field ?? []));
    const names = [...new Set(descs.flatMap((desc) => desc.fields.map((field) => field.name)))];
    const near = without.length === descs.length ? nearName(name, names) : undefined;
    report(`${without.join(", ")} has no ${name}${near === undefined ? "" : `: did you mean ${near}?`}`);
    return ANY;
  };

  const call = (
    { function: name, target, args }: { function: string; target?: Expr | undefined; args: readonly Expr[] },
    variables: Variables,
    inside: boolean,
  ): Type => {
    const receiver = target && check(target, variables, inside);
    const types = args.map((arg) => check(arg, variables, inside));
    if (name === "_?_:_") {
      requireBool(types[0]);
      const [, yes = ANY, no = ANY] = types;
      return mayBeBool(yes) && mayBeBool(no) ? BOOL : VALUE;
    }
    if (name === "_[_]") return indexed(types[0] ?? ANY, args[1]);
    if (name === "size" && types.length === (receiver === undefined ? 1 : 0)) return VALUE;
    const known = FUNCTIONS.get(name);
    if (known === undefined || known.receiver !== (receiver !== undefined) || !known.args.includes(types.length)) {
      report(
        `${name} is not a function that is known with ${types.length} argument${types.length === 1 ? "" : "s"} here`,
      );
      return ANY;
    }
    if (known.logical) types.forEach(requireBool);
    if (name === "matches") checkPattern(args[0]);
    return known.gives;
  };

  const indexed = (type: Type, index: Expr | undefined): Type => {
    if (type.is !== "fields") {
      if (type.is === "message") report("fields of a message are asked for with a dot");
      return ANY;
    }
    const text = constantText(index);
    if (text === undefined) {
      report(`fields of ${type.what} are asked for by their names`);
      return ANY;
    }
    return fieldOf(type, text);
  };

  const requireBool = (type: Type | undefined): void => {
    if (type !== undefined && !mayBeBool(type)) report("must combine what is true or false, but has something else");
  };

  const checkPattern = (expr: Expr | undefined): void => {
    const pattern = constantText(expr);
    if (pattern !== undefined && isCelError(run("''.matches(pattern)", { pattern }))) {
      report(`has a pattern that RE2 does not understand: ${JSON.stringify(pattern)}`);
    }
  };

  return check;
}

const constantText = (expr: Expr | undefined): string | undefined =>
  expr?.exprKind.case === "constExpr" && expr.exprKind.value.constantKind.case === "stringValue"
    ? expr.exprKind.value.constantKind.value
    : undefined;

function typeOfFields(fields: readonly DescField[]): Type {
  const messages = fields.flatMap(({ fieldKind, message }) => (fieldKind === "message" && message ? [message] : []));
  if (messages.length === fields.length) return { is: "message", descs: messages };
  return fields.every(({ fieldKind, scalar }) => fieldKind === "scalar" && scalar === BOOL_SCALAR) ? BOOL : VALUE;
}

/** ScalarType.BOOL. */
const BOOL_SCALAR = 8;
