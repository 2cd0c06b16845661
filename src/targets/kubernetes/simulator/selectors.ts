import { type KubeObject, stringsAt } from "./json.ts";
import { badRequest } from "./status-errors.ts";
import { namespaceOf } from "./store.ts";

/** Decides whether an object is selected. */
export type Selector = (object: KubeObject) => boolean;

/** Parses `labelSelector`: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`; 400 when it is malformed. */
export function labelSelector(text: string): Selector {
  const requirements = parseLabels(tokens(text));
  return (object) => {
    const labels = stringsAt(object, "metadata", "labels");
    return requirements.every((requirement) => requirement(labels));
  };
}

type Requirement = (labels: Record<string, string>) => boolean;

function tokens(text: string): string[] {
  return text.match(/==|!=|[=!(),<>]|[^\s=!(),<>]+/g) ?? [];
}

function unexpected(found: string | undefined, expected: string): Error {
  return badRequest(`unable to parse requirement: found '${found ?? ""}', expected: ${expected}`);
}

function isWord(token: string | undefined): token is string {
  return token !== undefined && /^[^=!(),<>]/.test(token);
}

function parseLabels(stream: string[]): Requirement[] {
  const requirements: Requirement[] = [];
  while (stream.length > 0) {
    requirements.push(parseRequirement(stream));
    const next = stream.shift();
    if (next === undefined) break;
    if (next !== ",") throw unexpected(next, "',' or 'end of string'");
    if (stream.length === 0) throw unexpected("", "identifier after ','");
  }
  return requirements;
}

function parseRequirement(stream: string[]): Requirement {
  const negated = stream[0] === "!";
  if (negated) stream.shift();
  const key = stream.shift();
  if (!isWord(key)) throw unexpected(key, "!, identifier, or 'end of string'");
  checkKey(key);
  const operator = stream[0];
  if (operator === undefined || operator === ",") {
    return (labels) => (labels[key] === undefined) === negated;
  }
  stream.shift();
  if (operator === "=" || operator === "==" || operator === "!=") {
    const value = readValue(stream);
    return (labels) => (labels[key] === value) === (operator !== "!=");
  }
  if (operator === "in" || operator === "notin") {
    const values = readValues(stream);
    return (labels) => {
      const value = labels[key];
      return (value !== undefined && values.has(value)) === (operator === "in");
    };
  }
  throw unexpected(operator, "in, notin, =, ==, !=, gt, lt");
}

function readValue(stream: string[]): string {
  if (stream[0] === undefined || stream[0] === ",") return "";
  const value = stream.shift();
  if (!isWord(value)) throw unexpected(value, "identifier");
  checkValue(value);
  return value;
}

function readValues(stream: string[]): Set<string> {
  const values = new Set<string>();
  const open = stream.shift();
  if (open !== "(") throw unexpected(open, "'('");
  for (;;) {
    const value = stream.shift();
    if (value === ")") {
      values.add("");
      return values;
    }
    if (!isWord(value)) throw unexpected(value, "',', or identifier");
    checkValue(value);
    values.add(value);
    const next = stream.shift();
    if (next === ")") return values;
    if (next !== ",") throw unexpected(next, "',' or ')'");
    if (stream.length === 0) throw unexpected("", "',', or identifier");
  }
}

const name = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/;
const prefix = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function checkKey(key: string): void {
  const slash = key.indexOf("/");
  const valid = name.test(key.slice(slash + 1)) && (slash < 0 || prefix.test(key.slice(0, slash)));
  if (!valid) {
    throw badRequest(
      `unable to parse requirement: <nil>: Invalid value: "${key}": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
    );
  }
}

function checkValue(value: string): void {
  if (!name.test(value)) {
    throw badRequest(
      `unable to parse requirement: values[0][]: Invalid value: "${value}": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
    );
  }
}

/** Parses `fieldSelector`: `metadata.name` and `metadata.namespace` with `=`, `==` or `!=`; 400 for anything else. */
export function fieldSelector(text: string): Selector {
  const terms = text
    .split(",")
    .filter((term) => term !== "")
    .map((term) => {
      const match = /^(.+?)(==|!=|=)(.*)$/.exec(term);
      if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
      const [, field = "", operator, value = ""] = match;
      if (field !== "metadata.name" && field !== "metadata.namespace") {
        throw badRequest(`"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`);
      }
      return (object: KubeObject) => {
        const found = field === "metadata.name" ? object.metadata.name : namespaceOf(object);
        return (found === value) === (operator !== "!=");
      };
    });
  return (object) => terms.every((term) => term(object));
}
