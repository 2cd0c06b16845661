import { type DescField, type DescMessage, getOption, type MessageShape, toJson } from "@bufbuild/protobuf";
import {
  isReflectList,
  isReflectMap,
  isReflectMessage,
  type Path,
  type ReflectMessage,
  reflect,
} from "@bufbuild/protobuf/reflect";
import type { Validator } from "@bufbuild/protovalidate";
import { message as messageRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { type FieldPath, formatPath } from "../core/problem.ts";
import { showValue } from "../core/show-value.ts";

/** A rule that a message breaks. */
export interface BrokenRule {
  /** Where. */
  readonly path: FieldPath;
  /** The fields that the rule is about: the one at `path`, and what the oneof, message or list there is made of. */
  readonly about: readonly FieldPath[];
  /** A sentence with the value. */
  readonly message: string;
}

/** Every rule of the schema that a message breaks. Throws where a rule itself is wrong. */
export function brokenRules<Desc extends DescMessage>(
  validator: Validator,
  schema: Desc,
  message: MessageShape<Desc>,
): BrokenRule[] {
  const result = validator.validate(schema, message);
  if (result.kind === "error") throw result.error;
  return (result.violations ?? []).map(({ field, forKey, ruleId, message: rule }) => {
    const path = field.flatMap(pathPart);
    const last = field.at(-1);
    const below = (fields: readonly DescField[]): FieldPath[] => fields.map(({ name }) => [...path, name]);
    if (last?.kind === "oneof") {
      const names = last.fields.map(({ name }) => name);
      return { path, about: below(last.fields), message: `must have ${names.join(" or ")}` };
    }
    if (ruleId === "required") return { path, about: [path], message: "must be set" };
    const value = forKey ? undefined : valueAt(reflect(schema, message), field);
    const inside = isReflectMessage(value)
      ? below(fieldsOfRule(value.desc, ruleId))
      : isReflectList(value)
        ? Array.from(value, (_, index) => [...path, index])
        : [];
    const shown = shownValue(field, value);
    return { path, about: [path, ...inside], message: shown === undefined ? rule : `${rule}, but is ${shown}` };
  });
}

/** The broken rules but for those about something that could not be read: of that all is said. */
export const knownBroken = (broken: readonly BrokenRule[], unreadable: ReadonlySet<string>): BrokenRule[] =>
  broken.filter(({ path, about }) => {
    const around = path.map((_, length) => path.slice(0, length));
    return ![...around, ...about].some((field) => unreadable.has(formatPath(field)));
  });

/** The fields that a message's rule speaks of; none for a rule of the field that holds the message. */
function fieldsOfRule(desc: DescMessage, ruleId: string): DescField[] {
  const expression = getOption(desc, messageRules).cel.find(({ id }) => id === ruleId)?.expression ?? "";
  const names = new Set(Array.from(expression.matchAll(/\bthis\.(\w+)/g), ([, name]) => name));
  return desc.fields.filter(({ name }) => names.has(name));
}

/** A oneof is no part of a file: its fields stand where it would. */
function pathPart(part: Path[number]): FieldPath {
  switch (part.kind) {
    case "field":
      return [part.name];
    case "list_sub":
      return [part.index];
    case "map_sub":
      return [String(part.key)];
    case "oneof":
      return [];
    default:
      throw new Error(`a configuration has no ${part.kind}`);
  }
}

function valueAt(message: ReflectMessage, path: Path): unknown {
  let value: unknown = message;
  for (const part of path) {
    if (part.kind === "field" && isReflectMessage(value)) value = value.get(part);
    else if (part.kind === "list_sub" && isReflectList(value)) value = value.get(part.index);
    else if (part.kind === "map_sub" && isReflectMap(value)) value = value.get(part.key);
  }
  return value;
}

/** A value as a message shows it; undefined for lists and sections. */
function shownValue(path: Path, value: unknown): string | undefined {
  const field = path.findLast((part) => part.kind === "field");
  const plain = isReflectMessage(value) ? toJson(value.desc, value.message) : value;
  const scalar = typeof plain === "string" || typeof plain === "number" || typeof plain === "boolean";
  return field !== undefined && scalar ? showValue(field, plain) : undefined;
}
