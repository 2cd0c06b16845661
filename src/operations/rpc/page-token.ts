import { badField, readPageToken, writePageToken } from "../../core/page-token.ts";
import type { Comparison, ListQuery } from "../store/store.ts";

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
  writePageToken([createTime, name], filter);

/**
 * Where the list of a filter goes on; undefined for an empty token: at its beginning.
 *
 * @throws Failure INVALID_ARGUMENT when the token is not ours, or another filter's.
 */
export const readToken = (token: string, filter: readonly Comparison[]): After | undefined =>
  readPageToken(token, filter, readAfter);

function readAfter(place: unknown): After | undefined {
  const [createTime, name]: unknown[] = Array.isArray(place) ? place : [];
  return typeof createTime === "number" && Number.isSafeInteger(createTime) && typeof name === "string"
    ? { createTime, name }
    : undefined;
}
