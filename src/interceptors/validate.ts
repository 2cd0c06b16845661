import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromJson,
  type JsonValue,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { isReflectMessage, pathToString, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { createValidator, type Validator, type Violation, violationsToProto } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import {
  badRequest,
  excerpt,
  Failure,
  type FieldViolation,
  unknownFields,
  unknownFieldViolations,
} from "../core/errors.ts";
import { isMutating } from "../core/route.ts";
import { tooManyItems } from "./too-many.ts";

/** At most so many violations are listed: a request of garbage has thousands. */
const MAX_VIOLATIONS = 20;

/** At most so many characters of the name of a field that the caller has made up, or of a path in which such a name stands. */
const MAX_KEY = 100;

/**
 * Validates every request against the rules in the schema: all violations at once, as BadRequest beside protovalidate's own
 * detail. Fields of the binary format that the schema does not know are refused for whatever may change something.
 */
export const validate =
  (validator: Validator): Interceptor =>
  (next) =>
    async function validate(req) {
      if (!req.stream) {
        check(validator, req.method, req.message);
        return next(req);
      }
      return next({ ...req, message: checked(validator, req.method, req.message) });
    };

/** A validator that knows the rules of our own making. */
export const newValidator = (registry: Registry): Validator => createValidator({ registry });

/**
 * Compiles the rules of every request of some services, so that neither the first caller waits for it nor anybody meets a rule that
 * does not compile.
 *
 * @throws Error that names the message and the mistake.
 */
export function warmUp(validator: Validator, services: readonly DescService[]): void {
  for (const method of services.flatMap((service) => service.methods)) {
    const result = validator.validate(method.input, create(method.input));
    if (result.kind === "error") {
      throw new Error(`${method.input.typeName}: ${result.error.message}`, { cause: result.error });
    }
  }
}

async function* checked<T extends Message>(
  validator: Validator,
  method: DescMethod,
  messages: AsyncIterable<T>,
): AsyncGenerator<T> {
  for await (const message of messages) {
    check(validator, method, message);
    yield message;
  }
}

function check(validator: Validator, method: DescMethod, message: Message): void {
  const violations = violationsOf(validator, method.input, message);
  const unknown = isMutating(method) ? unknownNumbers(method.input, message) : [];
  if (violations.length > 0) {
    throw invalid(violations, unknown);
  }
  if (unknown.length > 0) {
    throw unknownFields(unknown);
  }
}

/** @throws Failure INTERNAL when a rule cannot be evaluated. */
function violationsOf(validator: Validator, desc: DescMessage, message: Message): readonly Violation[] {
  const long = tooManyItems(desc, message);
  if (long.length > 0) {
    return long;
  }
  const result = validator.validate(desc, message);
  if (result.kind === "error") {
    throw new Failure("INTERNAL", "internal error", { cause: result.error });
  }
  return result.kind === "invalid" ? result.violations : [];
}

/**
 * Everything that is wrong with a request in JSON that has unknown fields: protobuf's own reader stops at the first.
 *
 * @returns undefined when something else is wrong with it, so that nothing more can be said.
 */
export function failureOfJson(validator: Validator, method: DescMethod, text: string): Failure | undefined {
  try {
    const json: JsonValue = JSON.parse(text);
    const unknown = unknownKeys(method.input, json, "").slice(0, MAX_VIOLATIONS);
    const message = fromJson(method.input, json, { ignoreUnknownFields: true });
    const violations = violationsOf(validator, method.input, message);
    return violations.length > 0 ? invalid(violations, unknown) : unknownFields(unknown);
  } catch {
    return undefined; // the caller has a failure already, which says less
  }
}

function unknownKeys(desc: DescMessage, json: JsonValue, path: string): string[] {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    return [];
  }
  return Object.entries(json).flatMap(([key, value]) => {
    const field = desc.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    if (field === undefined) {
      return [`${path}${excerpt(key, MAX_KEY)}`];
    }
    const { message } = field;
    if (message === undefined || field.fieldKind === "map" || message.typeName.startsWith("google.protobuf.")) {
      return [];
    }
    const at = `${path}${field.name}`;
    return Array.isArray(value)
      ? value.flatMap((item, index) => unknownKeys(message, item, `${at}[${index}].`))
      : unknownKeys(message, value, `${at}.`);
  });
}

function invalid(violations: readonly Violation[], unknown: readonly string[]): Failure {
  const fields = [...violations.map(fieldViolation), ...unknownFieldViolations(unknown)];
  const [first] = fields;
  const more = fields.length > 1 ? `, and ${fields.length - 1} more` : "";
  const where = first?.field ? `${first.field}: ` : "";
  const [value, desc] = violationsToProto(violations.slice(0, MAX_VIOLATIONS));
  return new Failure("INVALID_ARGUMENT", `${where}${first?.description}${more}`, {
    details: [badRequest(fields.slice(0, MAX_VIOLATIONS)), { desc, value }],
  });
}

const fieldViolation = (violation: Violation): FieldViolation => ({
  field: excerpt(pathToString(violation.field), MAX_KEY),
  description: violation.message,
  reason: violation.ruleId.replace(/[^A-Za-z0-9]+/g, "_").toUpperCase(),
});

function unknownNumbers(desc: DescMessage, message: Message): string[] {
  const found = new Set<string>();
  collect(reflect(desc, message), "", found);
  return [...found].slice(0, MAX_VIOLATIONS);
}

function collect(message: ReflectMessage, path: string, found: Set<string>): void {
  for (const { no } of message.getUnknown() ?? []) {
    found.add(`${path === "" ? "" : `${path}: `}unknown field number ${no}`);
  }
  for (const field of message.fields) {
    if (!message.isSet(field)) {
      continue;
    }
    const at = path === "" ? field.name : `${path}.${field.name}`;
    for (const [key, value] of valuesOf(message, field)) {
      if (isReflectMessage(value)) {
        collect(value, `${at}${key}`, found);
      }
    }
  }
}

/** The values of a field, each with what follows the field's name in a path. */
function valuesOf(message: ReflectMessage, field: DescField): [string, unknown][] {
  switch (field.fieldKind) {
    case "message":
      return [["", message.get(field)]];
    case "list":
      return [...message.get(field)].map((value, index) => [`[${index}]`, value]);
    case "map":
      return [...message.get(field)].map(([key, value]) => [`[${JSON.stringify(key)}]`, value]);
    default:
      return [];
  }
}
