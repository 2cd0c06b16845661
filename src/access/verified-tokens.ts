import { hashOf } from "./tokens.ts";

/** What was found out about tokens a moment ago, by their hashes: nothing of a token itself is kept. */
export interface VerifiedTokens<Found> {
  /** What was found out about a token, unless it is {@link MAX_AGE_MS} ago. */
  find(token: string): Found | undefined;
  /** Keeps what was found out about one that holds. */
  keep(token: string, found: Found): void;
}

/** What is so old (ms) is found out anew. */
const MAX_AGE_MS = 60_000;

/** So many are kept; then the oldest go. With 200 groups each they take some 20 MB. */
const MAX_TOKENS = 1_000;

/** @param monotonic a clock in ms that never goes back. */
export function createVerifiedTokens<Found>(monotonic: () => number): VerifiedTokens<Found> {
  const kept = new Map<string, { readonly found: Found; readonly at: number }>();
  const isOld = (at: number): boolean => monotonic() - at >= MAX_AGE_MS;
  return {
    find(token) {
      const one = kept.get(hashOf(token));
      return one === undefined || isOld(one.at) ? undefined : one.found;
    },
    keep(token, found) {
      const hash = hashOf(token);
      kept.delete(hash); // so that it is the youngest
      kept.set(hash, { found, at: monotonic() });
      for (const [oldest, { at }] of kept) {
        if (kept.size <= MAX_TOKENS && !isOld(at)) break;
        kept.delete(oldest);
      }
    },
  };
}
