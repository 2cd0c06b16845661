import { badRequest, excerpt, Failure } from "../../core/errors.ts";
import { lowerCaseTarget } from "../../core/lower-case-id.ts";
import { nearName } from "../../core/near-name.ts";
import type { OperationState } from "../../core/operation.ts";
import type { Comparison } from "../store/store.ts";

/** Every state: the values that `state` can be compared with. */
const STATES: Readonly<Record<OperationState, OperationState>> = {
  ACCEPTED: "ACCEPTED",
  SENDING: "SENDING",
  SENT: "SENT",
  SUCCEEDED: "SUCCEEDED",
  FAILED: "FAILED",
  CANCELLED: "CANCELLED",
  UNKNOWN: "UNKNOWN",
  NOT_OBSERVED: "NOT_OBSERVED",
  UNRESOLVED: "UNRESOLVED",
};

const FIELDS = ["target", "state", "principal", "parent", "create_time"] as const;

type Field = (typeof FIELDS)[number];

/** More than anybody needs, and less than a database takes. */
const MAX_COMPARISONS = 50;

/** At most so many characters of the caller's own are repeated. */
const MAX_SHOWN = 60;

const ALLOWED =
  'a filter is comparisons joined by AND, such as state = UNRESOLVED AND create_time > "2026-01-31T00:00:00Z"; ' +
  "fields: target, state, principal, parent, create_time; operators: =, <, >";

type Operator = Comparison["operator"];

/** One word, operator or value of a filter. */
interface Token {
  readonly kind: "word" | "quoted" | "operator";
  /** The text; of a quoted one what is meant by it. */
  readonly text: string;
  /** Where it begins, from 0. */
  readonly at: number;
}

/**
 * Reads a filter of ListOperations: AIP-160's comparisons of target, state, principal, parent and create_time by =, < and >, joined
 * by AND. An empty one is none.
 *
 * @throws Failure INVALID_ARGUMENT, saying what is wrong, where, and what is allowed.
 */
export function parseFilter(filter: string): Comparison[] {
  const tokens = tokenize(filter);
  const comparisons: Comparison[] = [];
  for (let index = 0; index < tokens.length; index += 4) {
    const [field, operator, value, and] = tokens.slice(index, index + 4);
    if (comparisons.length === MAX_COMPARISONS) {
      throw bad(field?.at ?? 0, `a filter has at most ${MAX_COMPARISONS} comparisons`);
    }
    comparisons.push(readComparison(field, operator, value, filter.length));
    if (and !== undefined) {
      requireAnd(and);
      if (tokens[index + 4] === undefined) throw bad(filter.length, "a comparison has to follow AND");
    }
  }
  return comparisons;
}

const PATTERN =
  /\s*(?:(?<quoted>"(?:[^"\\]|\\.)*")|(?<operator>[<>!]=|[=<>:])|(?<word>[^\s"'()=<>!:,]+(?:[^\s"'()=<>!,]*))|(?<other>\S))/gsu;

function tokenize(filter: string): Token[] {
  const tokens: Token[] = [];
  // Every blank is followed by something, so that none is looked at twice.
  for (const { groups = {}, index, 0: all } of filter.trimEnd().matchAll(PATTERN)) {
    const text = all.trimStart();
    const at = index + all.length - text.length;
    if (groups.other !== undefined) {
      throw bad(at, explainStray(text, filter.slice(at)));
    }
    if (groups.quoted !== undefined) {
      tokens.push({ kind: "quoted", text: unquote(text, at), at });
    } else if (groups.operator !== undefined) {
      tokens.push({ kind: "operator", text, at });
    } else {
      tokens.push({ kind: "word", text, at });
    }
  }
  return tokens;
}

function explainStray(character: string, rest: string): string {
  switch (character) {
    case '"':
      return `a quoted value has no end: ${show(rest)}`;
    case "'":
      return "values are quoted by double quotes";
    case "(":
    case ")":
      return "parentheses are not supported";
    default:
      return `${show(character)} is not supported here; a value with special characters has to be in double quotes`;
  }
}

/** What a text in quotes means. In AIP-160 a star stands for anything, which is not supported: one that is meant has a backslash. */
function unquote(text: string, at: number): string {
  const inner = text.slice(1, -1);
  const star = /^(?:[^\\*]|\\.)*?\*/su.exec(inner);
  if (star !== null) {
    throw bad(at + star[0].length, "wildcards are not supported; a star that is meant as such is written \\*");
  }
  return inner.replaceAll(/\\(.)/gsu, "$1");
}

function readComparison(
  field: Token | undefined,
  operator: Token | undefined,
  value: Token | undefined,
  end: number,
): Comparison {
  const name = FIELDS.find((known) => field?.kind === "word" && field.text === known);
  if (name === undefined) {
    throw bad(field?.at ?? end, explainField(field));
  }
  if (operator === undefined || operator.kind !== "operator" || !isOperator(operator.text)) {
    throw bad(operator?.at ?? end, explainOperator(name, operator));
  }
  if (value === undefined || value.kind === "operator") {
    throw bad(value?.at ?? end, `a value has to follow ${name} ${operator.text}`);
  }
  if (value.kind === "word" && value.text.includes("*")) {
    throw bad(value.at, 'wildcards are not supported; a star that is meant as such is written "\\*", in quotes');
  }
  return compare(name, operator.text, operator.at, value);
}

function compare(field: Field, operator: Operator, operatorAt: number, value: Token): Comparison {
  switch (field) {
    case "state":
      if (operator !== "=") {
        throw bad(operatorAt, `state has no order: it can only be compared by =, not by ${operator}`);
      }
      return { field: "state", operator, value: readState(value) };
    case "create_time":
      return { field: "createTime", operator, value: readTime(value) };
    case "target":
      return { field, operator, value: lowerCaseTarget(value.text) };
    default:
      return { field, operator, value: value.text };
  }
}

const isOperator = (text: string): text is Operator => text === "=" || text === "<" || text === ">";

function explainField(token: Token | undefined): string {
  if (token?.kind !== "word") {
    return token === undefined
      ? "a comparison is missing"
      : `a comparison begins with a field, not with ${show(token.text)}`;
  }
  if (token.text === "NOT" || token.text.startsWith("-")) {
    return "negation is not supported";
  }
  if (token.text.includes(":")) {
    return `operator : is not supported in ${show(token.text)}; use =, < or >`;
  }
  const near = nearName(excerpt(token.text, MAX_SHOWN), FIELDS);
  return `there is no field ${show(token.text)}${near === undefined ? "" : `; did you mean ${near}?`}`;
}

function explainOperator(field: string, token: Token | undefined): string {
  return token?.kind === "operator"
    ? `operator ${token.text} is not supported; use =, < or >`
    : `an operator (=, < or >) has to follow ${field}`;
}

function requireAnd(token: Token): void {
  if (token.kind === "word" && token.text === "AND") {
    return;
  }
  if (token.kind === "word" && token.text.toUpperCase() === "AND") {
    throw bad(token.at, `AND is written in capitals, not ${show(token.text)}`);
  }
  if (token.kind === "word" && token.text.toUpperCase() === "OR") {
    throw bad(token.at, "OR is not supported");
  }
  throw bad(
    token.at,
    `comparisons are joined by AND, not by ${show(token.text)}; a value with blanks has to be in quotes`,
  );
}

function readState({ text, at }: Token): OperationState {
  const name = text.replace(/^STATE_/, "");
  if (Object.hasOwn(STATES, name)) {
    return STATES[name as OperationState];
  }
  const near = nearName(excerpt(name, MAX_SHOWN), Object.keys(STATES));
  const help = near === undefined ? `states: ${Object.keys(STATES).join(", ")}` : `did you mean ${near}?`;
  throw bad(at, `there is no state ${show(text)}; ${help}`);
}

const RFC_3339 =
  /^(?<day>(\d{4})-(\d{2})-(\d{2}))[Tt](?<time>(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(?<fraction>\d{1,9}))?(?<zone>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** A time in epoch ms, which is as fine as they are kept. */
function readTime({ text, at }: Token): number {
  const { day = "", time = "", fraction = "", zone = "" } = RFC_3339.exec(text)?.groups ?? {};
  const midnight = Date.parse(`${day}T00:00:00Z`);
  // Date.parse makes March of 30 February.
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(day)) {
    throw bad(at, `${show(text)} is not a time of RFC 3339, such as 2026-01-31T23:59:59Z`);
  }
  if (!/^\d{0,3}0*$/.test(fraction)) {
    throw bad(at, `${show(text)} is finer than milliseconds, in which times are kept`);
  }
  return Date.parse(`${day}T${time}.${fraction.slice(0, 3).padEnd(3, "0")}${zone.toUpperCase()}`);
}

const show = (text: string): string => JSON.stringify(excerpt(text, MAX_SHOWN));

function bad(at: number, what: string): Failure {
  const description = `position ${at + 1}: ${what} (${ALLOWED})`;
  return new Failure("INVALID_ARGUMENT", `filter: ${description}`, {
    details: [badRequest([{ field: "filter", description, reason: "INVALID_FILTER" }])],
  });
}
