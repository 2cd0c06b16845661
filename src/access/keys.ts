import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { Failure, retryInfo } from "../core/errors.ts";
import { unauthenticated } from "./unauthenticated.ts";

/** Reads the key set of an issuer, as JSON. Rejects when there is none now. */
export type FetchKeys = () => Promise<unknown>;

/** The keys of one issuer. */
export interface Keys {
  /**
   * The key of an id, for an algorithm.
   *
   * @throws Failure UNAUTHENTICATED (UNKNOWN_KEY), ISSUER_UNAVAILABLE
   */
  find(kid: string, algorithm: string): Promise<KeyObject>;
}

/** What {@link createKeys} works with. */
export interface KeysOptions {
  readonly authenticator: string;
  readonly fetch: FetchKeys;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  /** Takes what deserves a line in the log. */
  readonly warn: (message: string) => void;
}

/** Keys are read again when they are so old (ms), while those that are known serve on. */
const REFRESH_MS = 5 * 60_000;

/** A key that is not known has them read again at once, but no more often than this (ms): anybody can make up ids. */
const ASK_AGAIN_MS = 10_000;

/** Keys that could not be read again serve so long (ms): no token is good for longer, unless the configuration says so. */
const KEEP_MS = 24 * 3_600_000;

/** Older keys (ms) are worth a warning. */
const OLD_MS = 3_600_000;

/** Pauses (ms) after failures double up to this. */
const MAX_PAUSE_MS = 60_000;

const MAX_KEYS = 100;

/**
 * Keeps the keys of an issuer: one reading at a time for everybody, pauses after failures, and none of an issuer's outages locks
 * callers out whose keys are known.
 */
export function createKeys({ authenticator, fetch, monotonic, warn }: KeysOptions): Keys {
  let keys: ReadonlyMap<string, UsableKey | undefined> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let askedAt = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let reading: Promise<void> | undefined;

  const pauseMs = (): number => (failures === 0 ? 0 : Math.min(1_000 * 2 ** (failures - 1), MAX_PAUSE_MS));

  const read = async (): Promise<void> => {
    askedAt = monotonic();
    try {
      keys = usable(await fetch());
      readAt = monotonic();
      failures = 0;
    } catch (error) {
      failures++;
      const age = monotonic() - readAt;
      const since =
        Number.isFinite(age) && age > OLD_MS ? `; its keys are ${Math.round(age / 60_000)} minutes old` : "";
      warn(`issuer ${authenticator} gives no keys: ${error instanceof Error ? error.message : String(error)}${since}`);
    }
  };

  /** Reads, unless it was read or tried a moment ago; together with whoever waits for that already. */
  const readAgain = (noSoonerMs: number): Promise<void> => {
    if (reading === undefined && monotonic() - askedAt < Math.max(noSoonerMs, pauseMs())) return Promise.resolve();
    reading ??= read().finally(() => {
      reading = undefined;
    });
    return reading;
  };

  const known = (): typeof keys => (monotonic() - readAt > KEEP_MS ? undefined : keys);

  return {
    async find(kid, algorithm) {
      if (known() === undefined) await readAgain(0);
      else if (monotonic() - readAt > REFRESH_MS) void readAgain(0);
      let found = known()?.get(kid);
      if (found === undefined && known() !== undefined) {
        await readAgain(ASK_AGAIN_MS);
        found = known()?.get(kid);
      }
      // What it publishes now nobody knows: who calls is not sent to log in again for a key that may be a new one.
      if (known() === undefined || (failures > 0 && found === undefined)) throw unavailable(authenticator, pauseMs());
      if (found === undefined || !fits(found, algorithm)) {
        throw unauthenticated("UNKNOWN_KEY", "the token is signed by no key that its issuer publishes", authenticator);
      }
      return found.key;
    },
  };
}

const unavailable = (authenticator: string, delayMs: number): Failure =>
  new Failure(
    "ISSUER_UNAVAILABLE",
    `issuer ${authenticator} cannot be asked for the keys that tokens are verified by`,
    {
      metadata: { authenticator },
      details: [retryInfo(Math.max(1_000, delayMs))],
    },
  );

interface UsableKey {
  readonly jwk: JsonWebKey;
  readonly key: KeyObject;
}

/** Members that a public key does not have. */
const PRIVATE = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** The keys of a set that tokens may be verified by, by their ids. An id that two keys have stands for none. */
function usable(set: unknown): ReadonlyMap<string, UsableKey | undefined> {
  const list = typeof set === "object" && set !== null && "keys" in set ? set.keys : undefined;
  if (!Array.isArray(list)) throw new Error("what it answers is no key set");
  const found = new Map<string, UsableKey | undefined>();
  for (const jwk of list.slice(0, MAX_KEYS)) {
    const key = keyOf(jwk);
    if (key === undefined || typeof key.jwk.kid !== "string") continue;
    found.set(key.jwk.kid, found.has(key.jwk.kid) ? undefined : key);
  }
  return found;
}

function keyOf(jwk: unknown): UsableKey | undefined {
  if (typeof jwk !== "object" || jwk === null || PRIVATE.some((member) => member in jwk)) return undefined;
  const { kty, use, key_ops: operations } = jwk as JsonWebKey;
  if (!["RSA", "EC", "OKP"].includes(String(kty)) || (use !== undefined && use !== "sig")) return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return undefined;
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: "jwk" });
    const weak = kty === "RSA" && (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048;
    return weak ? undefined : { jwk: jwk as JsonWebKey, key };
  } catch {
    return undefined; // a key that OpenSSL does not understand is none; the others of the set are
  }
}

const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521", EdDSA: "Ed25519" };

/** Whether a key is for an algorithm. */
function fits({ jwk }: UsableKey, algorithm: string): boolean {
  if (jwk.alg !== undefined && jwk.alg !== algorithm) return false;
  if (/^[RP]S/.test(algorithm)) return jwk.kty === "RSA";
  return jwk.kty === (algorithm === "EdDSA" ? "OKP" : "EC") && jwk.crv === CURVES[algorithm];
}
