import { createHash } from "node:crypto";
import { badRequest, Failure } from "../core/errors.ts";

/**
 * A token for the page that begins after so many items of a vendor's list. It holds a digest of what was asked, so that a token of
 * another list is refused.
 */
export const writePageToken = (offset: number, asked: readonly string[]): string =>
  Buffer.from(JSON.stringify([digest(asked), offset])).toString("base64url");

/**
 * After how many items of a list a page begins: 0 for an empty token.
 *
 * @param asked what the token has to be about: every field of the request that is no page's own.
 * @throws Failure INVALID_ARGUMENT when the token is not ours, or another list's.
 */
export function readPageToken(token: string, asked: readonly string[]): number {
  if (token === "") {
    return 0;
  }
  const [made, offset] = parseArray(Buffer.from(token, "base64url").toString("utf8"));
  if (typeof made !== "string" || typeof offset !== "number" || !Number.isSafeInteger(offset) || offset < 0) {
    throw badToken("is not a token that this service made: begin again without it");
  }
  if (made !== digest(asked)) {
    throw badToken("belongs to a list with other fields: repeat the request with what it had");
  }
  return offset;
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

const digest = (asked: readonly string[]): string =>
  createHash("sha256").update(JSON.stringify(asked)).digest("base64url").slice(0, 16);

const badToken = (description: string): Failure =>
  new Failure("INVALID_ARGUMENT", `page_token ${description}`, {
    details: [badRequest([{ field: "page_token", description, reason: "INVALID_ARGUMENT" }])],
  });
