import { gunzipSync } from "node:zlib";
import { type DescField, type DescMessage, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

/** What a request's JSON is checked for, before it is read. */
export interface JsonCheck {
  /** What it is read as. */
  readonly desc: DescMessage;
  /** Most bytes of one message, unpacked. What is longer is refused by whoever reads it. */
  readonly maxBytes: number;
}

/**
 * Checks the JSON of one message for what its reader would change without a word: bytes that are no UTF-8, which become U+FFFD, and
 * numbers beyond 2^53 for fields of 64 bits, which are rounded.
 *
 * @param packed by gzip.
 * @returns its text; undefined where it cannot be unpacked, which is its reader's to say.
 * @throws ConnectError INVALID_ARGUMENT
 */
export function checkJson(message: Uint8Array, packed: boolean, { desc, maxBytes }: JsonCheck): string | undefined {
  const bytes = packed ? unpack(message, maxBytes) : message;
  if (bytes === undefined) {
    return undefined;
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ConnectError("the request is not UTF-8", Code.InvalidArgument);
  }
  // Most requests have no number of sixteen digits.
  if (/\d{16}|\d[eE]/.test(text)) {
    const json = parse(text);
    if (json !== undefined) checkNumbers(desc, json, "");
  }
  return text;
}

/**
 * A body of JSON that is checked on its way to its reader. What is wrong with it is thrown before the reader has all of it.
 *
 * @param enveloped whether each message has five bytes before it that say how long it is and whether it is packed.
 * @param packed whether a body without envelopes is packed by gzip.
 */
export async function* checkedJson(
  body: AsyncIterable<Uint8Array>,
  { enveloped, packed }: { readonly enveloped: boolean; readonly packed: boolean },
  check: (message: Uint8Array, packed: boolean) => void,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let held: Buffer = Buffer.alloc(0);
  let tooLong = false;
  for await (const chunk of body) {
    held = Buffer.concat([held, chunk]);
    while (enveloped && !tooLong && held.length >= 5) {
      const end = 5 + held.readUInt32BE(1);
      tooLong = end > maxBytes + 5;
      if (tooLong || held.length < end) break;
      check(held.subarray(5, end), ((held[0] ?? 0) & 1) === 1);
      yield held.subarray(0, end);
      held = held.subarray(end);
    }
    tooLong ||= held.length > maxBytes + 5;
    if (tooLong) {
      yield held;
      held = Buffer.alloc(0);
    }
  }
  if (held.length > 0) {
    if (!enveloped) check(held, packed);
    yield held;
  }
}

function unpack(bytes: Uint8Array, maxOutputLength: number): Uint8Array | undefined {
  try {
    return gunzipSync(bytes, { maxOutputLength });
  } catch {
    return undefined;
  }
}

function parse(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // its reader says so
  }
}

const LONG: ReadonlySet<ScalarType | undefined> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

const isLong = ({ scalar, message }: DescField): boolean =>
  LONG.has(scalar) || /^google\.protobuf\.U?Int64Value$/.test(message?.typeName ?? "");

function checkNumbers(desc: DescMessage, json: JsonValue, path: string): void {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    return;
  }
  for (const [key, value] of Object.entries(json)) {
    const field = desc.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    for (const one of field === undefined ? [] : valuesOf(field, value)) {
      const at = `${path}${field?.name}`;
      if (field !== undefined && isLong(field)) checkLong(one, at);
      else if (field?.message !== undefined) checkNumbers(field.message, one, `${at}.`);
    }
  }
}

function valuesOf({ fieldKind }: DescField, value: JsonValue): JsonValue[] {
  if (Array.isArray(value)) return value;
  return fieldKind === "map" && typeof value === "object" && value !== null ? Object.values(value) : [value];
}

function checkLong(value: JsonValue, at: string): void {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new ConnectError(
      `${at}: a number beyond 2^53 is not exact in JSON: write it as a string`,
      Code.InvalidArgument,
    );
  }
}
