import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Whether something is a JSON object. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** An object's fields by their names in lower case: the same API writes jobID, jobId and jobid (contracts: arcgis §A.2). */
export const anyCase = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]));

/** A text, or an empty one for anything else. */
export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** A number, be it written as one or as a text of digits; undefined for anything else. */
export const numberOf = (value: unknown): number | undefined =>
  typeof value === "number" ? value : /^\d{1,16}$/.test(textOf(value)) ? Number(value) : undefined;

/** A count that fits an int32, or 0 for anything else. */
export function countOf(value: unknown): number {
  const count = numberOf(value) ?? 0;
  return Number.isInteger(count) && count >= 0 && count <= 0x7fff_ffff ? count : 0;
}

/** The latest time (epoch ms) that a Timestamp can hold: the end of the year 9999. */
const LAST_TIME_MS = 253_402_300_799_999;

/** A time in epoch ms; undefined for 0, which the vendor writes for none, and for anything else. */
export function timeOf(value: unknown): number | undefined {
  const time = numberOf(value) ?? 0;
  return time > 0 && time <= LAST_TIME_MS ? Math.trunc(time) : undefined;
}

/** An object that came out of JSON, as one; undefined for anything else. */
export const jsonObjectOf = (value: unknown): JsonObject | undefined => (isJsonObject(value) ? value : undefined);

const isJsonObject = (value: unknown): value is JsonObject =>
  isObject(value) && Object.values(value).every(isJsonValue);

const isJsonValue = (value: unknown): value is JsonValue =>
  value === null ||
  ["string", "number", "boolean"].includes(typeof value) ||
  (Array.isArray(value) ? value.every(isJsonValue) : isJsonObject(value));
