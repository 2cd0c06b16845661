import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Whether something is a JSON object. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A text, or an empty one for anything else. */
export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** A count that fits an int32, or 0 for anything else. */
export const countOf = (value: unknown): number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0x7fff_ffff ? value : 0;

/** The latest time (epoch ms) that a Timestamp can hold: the end of the year 9999. */
const LAST_TIME_MS = 253_402_300_799_999;

/** A time in epoch ms; undefined for 0, which the vendor writes for none, and for anything else. */
export const timeOf = (value: unknown): number | undefined =>
  typeof value === "number" && value > 0 && value <= LAST_TIME_MS ? Math.trunc(value) : undefined;

/** An object that came out of JSON, as one; undefined for anything else. */
export const jsonObjectOf = (value: unknown): JsonObject | undefined => (isJsonObject(value) ? value : undefined);

const isJsonObject = (value: unknown): value is JsonObject =>
  isObject(value) && Object.values(value).every(isJsonValue);

const isJsonValue = (value: unknown): value is JsonValue =>
  value === null ||
  ["string", "number", "boolean"].includes(typeof value) ||
  (Array.isArray(value) ? value.every(isJsonValue) : isJsonObject(value));
