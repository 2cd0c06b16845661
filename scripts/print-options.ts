import {
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescMessage,
  getExtension,
  isMessage,
  type Message,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/** An option's name and value, as they stand left and right of the equals sign. */
export type OptionPair = readonly [name: string, value: string];

/** The options set on one element, custom ones included; a repeated option comes once per value. */
export function optionPairs(registry: Registry, schema: DescMessage, options: Message | undefined): OptionPair[] {
  if (options === undefined) return [];
  return settings(registry, reflect(schema, options)).flatMap(({ field, values }) =>
    values.map((value): OptionPair => {
      const name = field.kind === "extension" ? `(.${field.typeName})` : field.name;
      return [name, valueText(registry, field, value)];
    }),
  );
}

/** {@link optionPairs} as statements, the form that files, messages, enums, oneofs, services and methods take. */
export function optionStatements(registry: Registry, schema: DescMessage, options: Message | undefined): string[] {
  return optionPairs(registry, schema, options).map(([name, value]) => `option ${name} = ${value};`);
}

/** Option pairs in brackets with a space before, the form that fields, enum values and ranges take; empty without options. */
export function bracketed(pairs: readonly OptionPair[]): string {
  return pairs.length === 0 ? "" : ` [${pairs.map(([name, value]) => `${name} = ${value}`).join(", ")}]`;
}

/** A string literal of the proto language: JSON's escapes are among its own. */
export function quote(text: string): string {
  return JSON.stringify(text);
}

interface Setting {
  readonly field: DescField | DescExtension;
  readonly values: readonly unknown[];
}

function settings(registry: Registry, message: ReflectMessage): Setting[] {
  const fields = message.fields
    .filter((field) => message.isSet(field))
    .map((field): Setting => {
      if (field.fieldKind === "map") throw new Error(`${field}: an option that is a map cannot be written`);
      return { field, values: field.fieldKind === "list" ? [...message.get(field)] : [message.get(field)] };
    });
  // What a runtime does not know, custom options among it, it keeps as unknown fields.
  const numbers = new Set((message.message.$unknown ?? []).map((unknown) => unknown.no));
  return [...fields, ...[...numbers].map((number) => extensionSetting(registry, message, number))];
}

function extensionSetting(registry: Registry, message: ReflectMessage, number: number): Setting {
  const field = registry.getExtensionFor(message.desc, number);
  if (field === undefined) throw new Error(`${message.desc}: nothing defines option number ${number}`);
  if (field.fieldKind === "list") throw new Error(`${field}: an extension that is a list cannot be written`);
  const value: unknown = getExtension(message.message, field);
  return { field, values: [field.fieldKind === "message" && isMessage(value) ? reflect(field.message, value) : value] };
}

function valueText(registry: Registry, field: DescField | DescExtension, value: unknown): string {
  if (field.enum !== undefined) return enumText(field.enum, value);
  if (isReflectMessage(value)) return messageText(registry, value);
  switch (typeof value) {
    case "string":
      return quote(value);
    case "number":
      return numberText(field, value);
    case "bigint":
    case "boolean":
      return `${value}`;
    default:
      if (value instanceof Uint8Array) return bytesText(value);
      throw new Error(`${field}: unexpected value`);
  }
}

function messageText(registry: Registry, message: ReflectMessage): string {
  const entries = settings(registry, message).flatMap(({ field, values }) =>
    values.map((value) => {
      const name = field.kind === "extension" ? `[${field.typeName}]` : field.name;
      return `${name}: ${valueText(registry, field, value)}`;
    }),
  );
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}

function enumText(desc: DescEnum, value: unknown): string {
  const name = desc.values.find((candidate) => candidate.number === value)?.name;
  if (name === undefined) throw new Error(`${desc}: no value has the number ${value}`);
  return name;
}

function numberText(field: DescField | DescExtension, value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? "-0.0" : `${value}`;
  if (field.scalar !== ScalarType.DOUBLE && field.scalar !== ScalarType.FLOAT) throw new Error(`${field}: ${value}`);
  return Number.isNaN(value) ? "nan" : value < 0 ? "-inf" : "inf";
}

function bytesText(bytes: Uint8Array): string {
  return `"${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}"`;
}
