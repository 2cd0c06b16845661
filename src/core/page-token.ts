import { createHash } from "node:crypto";
import { badRequest, Failure } from "./errors.ts";

/**
 * A token for the page that begins at some place of a list. It holds a digest of what was asked, so that a token of another list is
 * refused.
 *
 * @param place JSON of whatever tells the place.
 */
export const writePageToken = (place: unknown, query: unknown): string =>
  Buffer.from(JSON.stringify([digest(query), place])).toString("base64url");

/**
 * Where a page begins.
 *
 * @param query what the token has to be about: every field of the request that is no page's own.
 * @param read makes of the JSON a place; undefined when it is none.
 * @returns undefined for an empty token: at the list's beginning.
 * @throws Failure INVALID_ARGUMENT when the token is not ours, or another list's.
 */
export function readPageToken<Place>(
  token: string,
  query: unknown,
  read: (place: unknown) => Place | undefined,
): Place | undefined {
  if (token === "") {
    return undefined;
  }
  const [made, written] = parseArray(Buffer.from(token, "base64url").toString("utf8"));
  const notOurs = () => badField("page_token", "is not a token that this service made: begin again without it");
  if (typeof made !== "string") {
    throw notOurs();
  }
  if (made !== digest(query)) {
    throw badField("page_token", "belongs to a list with other fields: repeat the request with what it had");
  }
  const place = read(written);
  if (place === undefined) {
    throw notOurs();
  }
  return place;
}

/** A place that is told by how many items come before it. */
export const readOffset = (place: unknown): number | undefined =>
  typeof place === "number" && Number.isSafeInteger(place) && place >= 0 ? place : undefined;

/** One field of a request that cannot be used. */
export const badField = (field: string, description: string): Failure =>
  new Failure("INVALID_ARGUMENT", `${field} ${description}`, {
    details: [badRequest([{ field, description, reason: "INVALID_ARGUMENT" }])],
  });

/** An array out of JSON; an empty one out of anything else. */
function parseArray(json: string): unknown[] {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value : [];
  } catch {
    return []; // as wrong as an array without what is looked for
  }
}

const digest = (query: unknown): string =>
  createHash("sha256").update(JSON.stringify(query)).digest("base64url").slice(0, 16);
