import { type DescEnum, type JsonValue, type Registry, toJson } from "@bufbuild/protobuf";
import { AnySchema, anyUnpack, type Timestamp, timestampDate, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Operation, OperationSchema } from "../../gen/google/longrunning/operations_pb.ts";
import { CodeSchema } from "../../gen/google/rpc/code_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import {
  type RestartMetadata,
  RestartMetadata_OutcomeSchema,
  RestartMetadata_StateSchema,
  RestartMetadataSchema,
} from "../../gen/restart/operation/v1/operation_pb.ts";
import { plain } from "../core/plain.ts";

/** What is known of an operation; undefined for one of another service. */
export const metadataOf = ({ metadata }: Operation): RestartMetadata | undefined =>
  metadata && anyUnpack(metadata, RestartMetadataSchema);

const HEAD = ["NAME", "STATE", "OUTCOME", "TARGET", "ACTION", "AGE", "PRINCIPAL"];

const WIDE_HEAD = ["REASON", "PROGRESS"];

/**
 * Operations as a table, a line for each.
 *
 * @param now epoch ms, for their age.
 */
export function renderTable(
  operations: readonly Operation[],
  now: number,
  { headers, wide }: { readonly headers: boolean; readonly wide: boolean },
): string {
  const rows = operations.map((operation) => rowOf(operation, now, wide));
  return tableOf(headers ? [wide ? [...HEAD, ...WIDE_HEAD] : HEAD, ...rows] : rows);
}

/** Rows in columns, a line for each. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  const lineOf = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return rows.map((row) => `${lineOf(row).trimEnd()}\n`).join("");
}

function rowOf(operation: Operation, now: number, wide: boolean): string[] {
  const metadata = metadataOf(operation);
  return [
    operation.name,
    stateOf(metadata),
    outcomeOf(metadata),
    metadata?.target ?? "",
    metadata?.action ?? "",
    metadata?.createTime === undefined ? "" : renderAge(now - timestampMs(metadata.createTime)),
    metadata?.principal ?? "",
    ...(wide ? [metadata?.reason ?? "", metadata?.progress ?? ""] : []),
  ].map(plain);
}

/** Milliseconds in the largest unit that fits: `5s`, `12m`, `3h`, `40d`. */
export function renderAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "m"],
  ];
  const [size, letter] = units.find(([unit]) => seconds >= 2 * unit) ?? [1, "s"];
  return `${Math.floor(seconds / size)}${letter}`;
}

/** An operation's state as people read it: `SUCCEEDED`. */
export const stateOf = (metadata: RestartMetadata | undefined): string =>
  metadata === undefined ? "?" : valueName(RestartMetadata_StateSchema, metadata.state).replace(/^STATE_/, "");

const outcomeOf = (metadata: RestartMetadata | undefined): string =>
  metadata === undefined
    ? "?"
    : valueName(RestartMetadata_OutcomeSchema, metadata.outcome)
        .replace(/^OUTCOME_/, "")
        .toLowerCase();

/** The name of an enum's value; of one that a newer server has, its number. */
const valueName = ({ value }: DescEnum, number: number): string => value[number]?.name ?? String(number);

/** Everything readable of an operation, a line for each thing that is known. */
export function renderOperation(operation: Operation, registry: Registry): string {
  const metadata = metadataOf(operation);
  const lines: [label: string, text: string | undefined][] = [
    ["name", operation.name],
    ["state", stateOf(metadata)],
    ["outcome", outcomeOf(metadata)],
    ["target", metadata?.target],
    ["action", metadata?.action],
    ["progress", metadata?.progress],
    ["principal", metadata?.principal],
    ["reason", metadata?.reason],
    ["request_id", metadata?.requestId],
    ["vendor_job", metadata?.vendorJob],
    ["parent", metadata?.parent],
    ["created", time(metadata?.createTime)],
    ["sent", time(metadata?.sendTime)],
    ["updated", time(metadata?.updateTime)],
    ["ended", time(metadata?.endTime)],
    ["cancel", metadata?.cancelRequested ? "requested" : ""],
    ...(metadata?.warnings ?? []).map((warning): [string, string] => ["warning", warning]),
    ...resultOf(operation, registry),
  ];
  return lines
    .filter(([, text]) => text !== undefined && text !== "")
    .map(([label, text]) => `${(label && `${label}:`).padEnd(12)}${plain(text ?? "")}\n`)
    .join("");
}

function resultOf({ result }: Operation, registry: Registry): [string, string][] {
  switch (result.case) {
    case "response": {
      const message = anyUnpack(result.value, registry);
      const desc = message && registry.getMessage(message.$typeName);
      return [
        ["response", message && desc ? JSON.stringify(toJson(desc, message, { registry })) : result.value.typeUrl],
      ];
    }
    case "error": {
      const { code, message, details } = result.value;
      const info = details.map((detail) => anyUnpack(detail, ErrorInfoSchema)).find((found) => found !== undefined);
      const others = details.filter(({ typeUrl }) => !typeUrl.endsWith(`/${ErrorInfoSchema.typeName}`));
      return [
        ["error", `${valueName(CodeSchema, code)} ${info?.reason ?? ""}: ${message}`],
        ...Object.entries(info?.metadata ?? {}).map(([key, value]): [string, string] => ["", `${key}: ${value}`]),
        ...others.map((detail): [string, string] => ["", JSON.stringify(anyJson(detail, registry))]),
      ];
    }
    default:
      return [];
  }
}

const time = (timestamp: Timestamp | undefined): string => (timestamp ? timestampDate(timestamp).toISOString() : "");

/** One step of an operation: when, where it stands, and how far it has come. */
export function renderStep(operation: Operation): string {
  const metadata = metadataOf(operation);
  const { result } = operation;
  const more = result.case === "error" ? result.value.message : metadata?.progress;
  return `${[time(metadata?.updateTime), stateOf(metadata), outcomeOf(metadata), plain(more ?? "")].join("  ").trimEnd()}\n`;
}

/** An operation as one line of protobuf's JSON. What this program does not know the shape of is there by its type alone. */
export function renderJson(operation: Operation, registry: Registry): string {
  const { result } = operation;
  const bare: Operation = { ...operation, metadata: undefined, result: { case: undefined } };
  const json = {
    ...(toJson(OperationSchema, bare) as { [key: string]: JsonValue }),
    ...(operation.metadata && { metadata: anyJson(operation.metadata, registry) }),
    ...(result.case === "response" && { response: anyJson(result.value, registry) }),
    ...(result.case === "error" && {
      error: {
        code: result.value.code,
        message: result.value.message,
        details: result.value.details.map((detail) => anyJson(detail, registry)),
      },
    }),
  };
  return `${JSON.stringify(json)}\n`;
}

type Any = NonNullable<Operation["metadata"]>;

function anyJson(any: Any, registry: Registry): JsonValue {
  const known = registry.getMessage(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1)) !== undefined;
  return known ? toJson(AnySchema, any, { registry }) : { "@type": any.typeUrl };
}
