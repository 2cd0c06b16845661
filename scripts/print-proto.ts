import {
  createRegistry,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescOneof,
  type DescService,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  Edition,
  EnumOptionsSchema,
  EnumValueOptionsSchema,
  ExtensionRangeOptionsSchema,
  FieldOptionsSchema,
  FileOptionsSchema,
  FieldDescriptorProto_Label as Label,
  MessageOptionsSchema,
  MethodOptionsSchema,
  OneofOptionsSchema,
  ServiceOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { bracketed, optionPairs, optionStatements, quote } from "./print-options.ts";

const MAX_FIELD_NUMBER = 536_870_911;
const MAX_ENUM_NUMBER = 2_147_483_647;

/**
 * Writes a file's descriptor as the `.proto` source it could have come from.
 *
 * Compiling the result gives the same descriptor again: options, custom ones included, extensions, reserved and extension ranges,
 * default values. Comments are lost, since descriptors made for a runtime do not carry them.
 *
 * Throws on what it cannot write faithfully: groups, and options that neither the file nor its imports define.
 */
export function printProto(file: DescFile): string {
  const printer: Printer = { file, registry: createRegistry(file) };
  const { proto } = file;
  const blocks = [
    header(file),
    proto.dependency.map((path, index) => `import ${importModifier(file, index)}${quote(path)};`),
    optionStatements(printer.registry, FileOptionsSchema, proto.options),
    ...file.messages.map((message) => printMessage(printer, message)),
    ...file.enums.map((desc) => printEnum(printer, desc)),
    printExtensions(printer, file.extensions),
    ...file.services.map((service) => printService(printer, service)),
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

interface Printer {
  readonly file: DescFile;
  readonly registry: Registry;
}

function header(file: DescFile): string[] {
  const edition = file.edition;
  const syntax =
    edition === Edition.EDITION_PROTO2
      ? 'syntax = "proto2";'
      : edition === Edition.EDITION_PROTO3
        ? 'syntax = "proto3";'
        : `edition = ${quote(Edition[edition].replace("EDITION_", ""))};`;
  return file.proto.package === "" ? [syntax] : [syntax, "", `package ${file.proto.package};`];
}

function importModifier(file: DescFile, index: number): string {
  if (file.proto.publicDependency.includes(index)) return "public ";
  return file.proto.weakDependency.includes(index) ? "weak " : "";
}

function printMessage(printer: Printer, message: DescMessage): string[] {
  const printedOneofs = new Set<DescOneof>();
  const body: string[] = optionStatements(printer.registry, MessageOptionsSchema, message.proto.options);
  for (const field of message.fields) {
    if (field.oneof === undefined) {
      body.push(printField(printer, field));
    } else if (!printedOneofs.has(field.oneof)) {
      printedOneofs.add(field.oneof);
      body.push(...printOneof(printer, field.oneof));
    }
  }
  for (const nested of message.nestedMessages) body.push(...printMessage(printer, nested));
  for (const nested of message.nestedEnums) body.push(...printEnum(printer, nested));
  body.push(...printExtensions(printer, message.nestedExtensions));
  for (const range of message.proto.extensionRange) {
    const options = bracketed(optionPairs(printer.registry, ExtensionRangeOptionsSchema, range.options));
    body.push(`extensions ${printRange(range.start, range.end - 1, MAX_FIELD_NUMBER)}${options};`);
  }
  const ranges = message.proto.reservedRange.map((range) => printRange(range.start, range.end - 1, MAX_FIELD_NUMBER));
  body.push(...printReserved(printer, ranges, message.proto.reservedName));
  return block(`message ${message.name}`, body);
}

function printOneof(printer: Printer, oneof: DescOneof): string[] {
  const body = optionStatements(printer.registry, OneofOptionsSchema, oneof.proto.options);
  return block(`oneof ${oneof.name}`, [...body, ...oneof.fields.map((field) => printField(printer, field))]);
}

function printField(printer: Printer, field: DescField | DescExtension): string {
  const pairs = optionPairs(printer.registry, FieldOptionsSchema, field.proto.options);
  if (field.proto.defaultValue !== "") pairs.unshift(["default", printDefault(field)]);
  return `${label(printer, field)}${typeName(field)} ${field.name} = ${field.number}${bracketed(pairs)};`;
}

function label(printer: Printer, field: DescField | DescExtension): string {
  if (field.fieldKind === "map" || (field.kind === "field" && field.oneof !== undefined)) return "";
  if (field.fieldKind === "list") return "repeated ";
  switch (printer.file.edition) {
    case Edition.EDITION_PROTO2:
      return field.proto.label === Label.REQUIRED ? "required " : "optional ";
    case Edition.EDITION_PROTO3:
      return field.proto.proto3Optional ? "optional " : "";
    default:
      return "";
  }
}

function typeName(field: DescField | DescExtension): string {
  if (field.proto.type === Type.GROUP) throw new Error(`${field.toString()}: groups are not supported`);
  switch (field.fieldKind) {
    case "scalar":
      return scalarName(field.scalar);
    case "enum":
      return `.${field.enum.typeName}`;
    case "message":
      return `.${field.message.typeName}`;
    case "list":
      if (field.listKind === "scalar") return scalarName(field.scalar);
      return `.${field.listKind === "enum" ? field.enum.typeName : field.message.typeName}`;
    case "map": {
      const value =
        field.mapKind === "scalar"
          ? scalarName(field.scalar)
          : `.${field.mapKind === "enum" ? field.enum.typeName : field.message.typeName}`;
      return `map<${scalarName(field.mapKey)}, ${value}>`;
    }
  }
}

function scalarName(scalar: ScalarType): string {
  return ScalarType[scalar].toLowerCase();
}

function printDefault(field: DescField | DescExtension): string {
  const text = field.proto.defaultValue;
  if (field.fieldKind !== "scalar") return text;
  if (field.scalar === ScalarType.STRING) return quote(text);
  // A descriptor holds the default of a bytes field escaped already.
  return field.scalar === ScalarType.BYTES ? `"${text}"` : text;
}

function printEnum(printer: Printer, desc: DescEnum): string[] {
  const body = optionStatements(printer.registry, EnumOptionsSchema, desc.proto.options);
  for (const value of desc.values) {
    const options = bracketed(optionPairs(printer.registry, EnumValueOptionsSchema, value.proto.options));
    body.push(`${value.name} = ${value.number}${options};`);
  }
  const ranges = desc.proto.reservedRange.map((range) => printRange(range.start, range.end, MAX_ENUM_NUMBER));
  body.push(...printReserved(printer, ranges, desc.proto.reservedName));
  return block(`enum ${desc.name}`, body);
}

function printExtensions(printer: Printer, extensions: readonly DescExtension[]): string[] {
  return extensions.flatMap((extension) =>
    block(`extend .${extension.extendee.typeName}`, [printField(printer, extension)]),
  );
}

function printService(printer: Printer, service: DescService): string[] {
  const body = optionStatements(printer.registry, ServiceOptionsSchema, service.proto.options);
  return block(`service ${service.name}`, [...body, ...service.methods.flatMap((rpc) => printMethod(printer, rpc))]);
}

function printMethod(printer: Printer, method: DescMethod): string[] {
  const input = `${method.proto.clientStreaming ? "stream " : ""}.${method.input.typeName}`;
  const output = `${method.proto.serverStreaming ? "stream " : ""}.${method.output.typeName}`;
  const options = optionStatements(printer.registry, MethodOptionsSchema, method.proto.options);
  const head = `rpc ${method.name}(${input}) returns (${output})`;
  // Empty braces would be options, if empty ones, in the descriptor.
  return options.length === 0 ? [`${head};`] : block(head, options);
}

function printReserved(printer: Printer, ranges: readonly string[], names: readonly string[]): string[] {
  const quoted = printer.file.edition > Edition.EDITION_PROTO3 ? names : names.map(quote);
  return [ranges, quoted].filter((list) => list.length > 0).map((list) => `reserved ${list.join(", ")};`);
}

function printRange(start: number, last: number, max: number): string {
  if (start === last) return `${start}`;
  return `${start} to ${last === max ? "max" : last}`;
}

function block(head: string, body: readonly string[]): string[] {
  return body.length === 0 ? [`${head} {}`] : [`${head} {`, ...body.map((line) => `  ${line}`), "}"];
}
