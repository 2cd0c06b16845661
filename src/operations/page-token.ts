import { createHash } from "node:crypto";
import { badRequest, Failure } from "../core/errors.ts";
import type { Comparison, ListQuery } from "./store.ts";

/** Where a list goes on. */
type After = NonNullable<ListQuery["after"]>;

const DEFAULT_PAGE_SIZE = 100;

const MAX_PAGE_SIZE = 1000;

/**
 * How many operations a page has: 100 when the caller does not say, 1000 when it asks for more.
 *
 * @throws Failure INVALID_ARGUMENT when it is negative.
 */
export function pageSizeOf(asked: number): number {
  if (asked < 0) {
    throw badField("page_size", `must not be negative: got ${asked}; 0 stands for ${DEFAULT_PAGE_SIZE}`);
  }
  return Math.min(asked || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
}

/** A token for the page that follows an operation in the list of a filter. */
export const writeToken = ({ createTime, name }: After, filter: readonly Comparison[]): string =>
  Buffer.from(JSON.stringify([digest(filter), createTime, name])).toString("base64url");

/**
 * Where the list of a filter goes on; undefined for an empty token: at its beginning.
 *
 * @throws Failure INVALID_ARGUMENT when the token is not ours, or another filter's.
 */
export function readToken(token: string, filter: readonly Comparison[]): After | undefined {
  if (token === "") {
    return undefined;
  }
  const [made, createTime, name] = parseArray(Buffer.from(token, "base64url").toString("utf8"));
  if (
    typeof made !== "string" ||
    !Number.isSafeInteger(createTime) ||
    typeof createTime !== "number" ||
    typeof name !== "string"
  ) {
    throw badField("page_token", "is not a token that this service made: begin again without it");
  }
  if (made !== digest(filter)) {
    throw badField("page_token", "belongs to a list with another filter: repeat the request with the filter it had");
  }
  return { createTime, name };
}

/** An array out of JSON; an empty one out of anything else. */
function parseArray(json: string): unknown[] {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value : [];
  } catch {
    return []; // as wrong as an array without what is looked for
  }
}

const digest = (filter: readonly Comparison[]): string =>
  createHash("sha256").update(JSON.stringify(filter)).digest("base64url").slice(0, 16);

const badField = (field: string, description: string): Failure =>
  new Failure("INVALID_ARGUMENT", `${field} ${description}`, {
    details: [badRequest([{ field, description, reason: "INVALID_ARGUMENT" }])],
  });
