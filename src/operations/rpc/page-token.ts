import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
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
export function pageSizeOf(requested: number): number {
  if (requested < 0) {
    throw badField("page_size", `must not be negative: got ${requested}; 0 stands for ${DEFAULT_PAGE_SIZE}`);
  }
  return Math.min(requested || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
}

/** Makes and reads the tokens of ListOperations. */
export interface PageTokens {
  /** A token for the page that follows an operation in the list of a filter. */
  write(after: After, filter: readonly Comparison[]): string;
  /**
   * Where the list of a filter goes on; undefined for an empty token: at its beginning.
   *
   * @throws Failure INVALID_ARGUMENT when the token is not ours, or another filter's.
   */
  read(token: string, filter: readonly Comparison[]): After | undefined;
}

const CIPHER = "aes-256-gcm";

const NONCE_BYTES = 12;

const TAG_BYTES = 16;

/**
 * Tokens whose place is sealed: a page may end at an operation that the caller may not see, and a place is its time and its name.
 *
 * @param secret what callers do not know, and every replica on the same store has: each takes the tokens of the others.
 */
export function createPageTokens(secret: string): PageTokens {
  const keyOf = (use: string): Buffer => createHmac("sha256", secret).update(`restartd page token ${use}`).digest();
  const [sealing, choosing] = [keyOf("seal"), keyOf("nonce")];
  const seal = ({ createTime, name }: After): string => {
    const place = JSON.stringify([createTime, name]);
    // Made out of what is sealed, so that no two places share one and nothing has to be drawn by chance.
    const nonce = createHmac("sha256", choosing).update(place).digest().subarray(0, NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, sealing, nonce);
    return Buffer.concat([nonce, cipher.update(place, "utf8"), cipher.final(), cipher.getAuthTag()]).toString(
      "base64url",
    );
  };
  const open = (sealed: unknown): After | undefined => {
    const bytes = Buffer.from(typeof sealed === "string" ? sealed : "", "base64url");
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv(CIPHER, sealing, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const place = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
    try {
      const text = Buffer.concat([place, decipher.final()]).toString("utf8");
      return afterOf(JSON.parse(text));
    } catch {
      return undefined; // sealed by somebody else
    }
  };
  return {
    write: (after, filter) => writePageToken(seal(after), filter),
    read: (token, filter) => readPageToken(token, filter, open),
  };
}

function afterOf(place: unknown): After | undefined {
  const [createTime, name]: unknown[] = Array.isArray(place) ? place : [];
  return typeof createTime === "number" && Number.isSafeInteger(createTime) && typeof name === "string"
    ? { createTime, name }
    : undefined;
}
