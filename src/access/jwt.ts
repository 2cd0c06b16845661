import type { KeyObject } from "node:crypto";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { Failure, retryInfo } from "../core/errors.ts";
import { type Principal, wrongGroups, wrongUsername } from "../core/principal.ts";
import type { Authenticated } from "./authenticated.ts";
import type { Evaluate } from "./expression.ts";
import type { Keys } from "./keys.ts";
import { unauthenticated, type Why } from "./unauthenticated.ts";
import { createVerifiedTokens } from "./verified-tokens.ts";

/** What is asked of the tokens of one issuer. */
export interface IssuerRules {
  readonly name: string;
  readonly issuer: string;
  readonly audiences: ReadonlySet<string>;
  readonly algorithms: ReadonlySet<string>;
  /** Names that lead to the claim. */
  readonly username: readonly string[];
  /** The same for groups; undefined: none. */
  readonly groups: readonly string[] | undefined;
  /** Claims that rules see. */
  readonly claims: readonly string[];
  readonly require: readonly { readonly when: Evaluate; readonly message: string }[];
  readonly maxLifetimeMs: number;
  readonly clockSkewMs: number;
}

/** An issuer at work. */
export interface Issuer extends IssuerRules {
  readonly keys: Keys;
}

/** Claims may have so many levels: what is deeper is no claim that a rule looks at. */
const MAX_DEPTH = 8;

/** So many signatures are verified at a time: they take the threads that everything else waits for. */
const MAX_AT_A_TIME = 64;

/** What is remembered of a token that was verified. */
interface Verified {
  readonly issuer: Issuer;
  readonly kid: string;
  readonly alg: string;
  /** What its signature was verified by. */
  readonly key: KeyObject;
  readonly times: Times;
  readonly principal: Principal;
}

/** When a token is good, in epoch ms. */
interface Times {
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
}

/** Clocks that {@link createJwtVerifier} reads. */
export interface JwtClocks {
  /** The wall clock. */
  readonly now: () => Date;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
}

/**
 * Verifies JWTs. The signature is judged before any claim but `iss`, which chooses the issuer: what is wrong with a claim is said to
 * holders of a genuine token alone, and never with its value.
 *
 * A token that was verified a moment ago is not verified again, which would take most of the time that a call is judged for: but its key
 * has to be still the one that its issuer publishes, and its time is judged at each call.
 */
export function createJwtVerifier(
  issuers: ReadonlyMap<string, Issuer>,
  { now, monotonic }: JwtClocks,
): (token: string) => Promise<Authenticated> {
  const verified = createVerifiedTokens<Verified>(monotonic);
  const holds = createSignatureCheck();
  return async (token) => {
    const known = verified.find(token);
    if (known !== undefined && (await known.issuer.keys.find(known.kid, known.alg)) === known.key) {
      return authenticated(known, now);
    }
    const { header, payload } = decode(token);
    const issuer = typeof payload.iss === "string" ? issuers.get(payload.iss) : undefined;
    if (issuer === undefined) {
      throw unauthenticated("UNKNOWN_ISSUER", "the issuer of the token is none of this server's");
    }
    const refuse = (why: Why, message: string): Failure => unauthenticated(why, message, issuer.name);
    const { alg, kid } = header;
    // No extension is understood here, and an empty list of them is none that anybody writes.
    if ("crit" in header) throw refuse("MALFORMED", "the token has extensions (crit), which are not understood");
    if (typeof alg !== "string" || !issuer.algorithms.has(alg)) {
      throw refuse(
        "ALGORITHM",
        `the token is not signed by an algorithm that is allowed: ${[...issuer.algorithms].join(", ")}`,
      );
    }
    if (typeof kid !== "string" || kid === "") throw refuse("UNKNOWN_KEY", "the token does not name its key (kid)");
    const key = await issuer.keys.find(kid, alg);
    if (!(await holds(token, key, alg))) throw refuse("BAD_SIGNATURE", "the signature of the token does not hold");
    const found: Verified = { issuer, kid, alg, key, ...checkClaims(payload, issuer, now) };
    verified.keep(token, found);
    return authenticated(found, now);
  };
}

/** Judges signatures, a bounded number at a time. */
function createSignatureCheck(): (token: string, key: KeyObject, alg: string) => Promise<boolean> {
  let atWork = 0;
  return async (token, key, alg) => {
    if (atWork >= MAX_AT_A_TIME) throw busy();
    atWork++;
    try {
      const { compactVerify } = await import("jose");
      await compactVerify(token, key, { algorithms: [alg] });
      return true;
    } catch {
      return false; // the library's errors carry the token's content: no log may have them
    } finally {
      atWork--;
    }
  };
}

const busy = (): Failure =>
  new Failure("QUEUE_FULL", "too many tokens are being verified: call again in a moment", {
    details: [retryInfo(1_000)],
  });

/** Header and payload, before anything of them is believed. */
function decode(token: string): { header: JsonObject; payload: JsonObject } {
  const [header, payload] = token
    .split(".")
    .map((part) => parseObject(Buffer.from(part, "base64url").toString("utf8")));
  if (header === undefined || payload === undefined) throw unauthenticated("MALFORMED", "the token is no JWT");
  return { header, payload };
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined; // the caller says that it is no JWT
  }
}

function checkClaims(payload: JsonObject, issuer: Issuer, now: () => Date): Pick<Verified, "times" | "principal"> {
  const refuse = (why: Why, message: string): Failure => unauthenticated(why, message, issuer.name);
  const { aud } = payload;
  const audiences = typeof aud === "string" ? [aud] : Array.isArray(aud) ? aud : [];
  if (!audiences.some((audience) => typeof audience === "string" && issuer.audiences.has(audience))) {
    throw refuse("WRONG_AUDIENCE", "the token is for somebody else");
  }
  const exp = timeOf(payload.exp);
  const iat = timeOf(payload.iat);
  if (exp === undefined || iat === undefined)
    throw refuse("CLAIMS_REFUSED", "the token must have exp and iat, as numbers");
  const nbf = payload.nbf === undefined ? iat : timeOf(payload.nbf);
  if (nbf === undefined) throw refuse("CLAIMS_REFUSED", "the token's nbf must be a number");
  const times = { iat, nbf, exp };
  checkTimes(times, issuer, now);
  if (exp - iat > issuer.maxLifetimeMs) {
    throw refuse("LIFETIME_TOO_LONG", `the token is good for longer than ${issuer.maxLifetimeMs / 1000} s`);
  }
  const principal = principalOf(payload, exp, issuer);
  for (const { when, message } of issuer.require) {
    if (when({ claims: payload }) !== true)
      throw refuse("CLAIMS_REFUSED", message || "the token lacks what is required of it");
  }
  return { times, principal };
}

function checkTimes({ iat, nbf, exp }: Times, { name, clockSkewMs }: Issuer, now: () => Date): void {
  const time = now().getTime();
  if (exp + clockSkewMs <= time) throw unauthenticated("EXPIRED", "the token has expired", name);
  if (nbf - clockSkewMs > time || iat - clockSkewMs > time) {
    throw unauthenticated("NOT_YET_VALID", "the token is not valid yet", name);
  }
}

/** The caller whose token was verified, now or a moment ago. */
function authenticated({ issuer, times, principal }: Verified, now: () => Date): Authenticated {
  checkTimes(times, issuer, now);
  const ends = times.exp + issuer.clockSkewMs;
  const lapsed = (): Failure | undefined =>
    ends <= now().getTime()
      ? unauthenticated("EXPIRED", "the token that began this has expired", issuer.name)
      : undefined;
  return { principal, lapsed };
}

/** Seconds since 1970 as epoch ms; undefined when that is no finite number. */
const timeOf = (claim: JsonValue | undefined): number | undefined =>
  typeof claim === "number" && Number.isFinite(claim) ? claim * 1000 : undefined;

function principalOf(payload: JsonObject, exp: number, { name, username, groups, claims }: Issuer): Principal {
  const refuse = (message: string): Failure => unauthenticated("CLAIMS_REFUSED", message, name);
  const caller = at(payload, username);
  if (typeof caller !== "string") throw refuse(`the token's ${username.join(".")} must be a text`);
  const wrongCaller = wrongUsername(name, caller);
  if (wrongCaller !== undefined) throw refuse(`the token's ${username.join(".")} is no name: ${wrongCaller}`);
  if (username.join(".") === "email" && payload.email_verified !== true)
    throw refuse("the token's email is not verified");
  const found = groups === undefined ? [] : groupsOf(at(payload, groups));
  const wrongGroup = found === undefined ? "they must be texts" : wrongGroups(name, found);
  if (found === undefined || wrongGroup !== undefined) throw refuse(`the token's groups cannot be used: ${wrongGroup}`);
  const shown = claims.flatMap((claim): [string, JsonValue][] => {
    const value = Object.hasOwn(payload, claim) ? payload[claim] : undefined;
    return value === undefined ? [] : [[claim, value]];
  });
  const deep = shown.find(([, value]) => isDeeper(value, MAX_DEPTH));
  if (deep !== undefined) throw refuse(`the token's ${deep[0]} has more than ${MAX_DEPTH} levels`);
  const { jti } = payload;
  return {
    id: `${name}:${caller}`,
    authenticator: name,
    username: caller,
    groups: found.map((group) => `${name}:${group}`),
    claims: Object.fromEntries(shown),
    credential: typeof jti === "string" ? `jti ${jti.slice(0, 100)}` : "jwt",
    expireTime: exp,
  };
}

/** What a path leads to. */
function at(payload: JsonObject, path: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = payload;
  for (const part of path) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, part))
      return undefined;
    value = value[part];
  }
  return value;
}

/** Groups as a claim has them; undefined when it has something else. */
function groupsOf(claim: JsonValue | undefined): readonly string[] | undefined {
  if (claim === undefined) return [];
  const list: readonly JsonValue[] = Array.isArray(claim) ? claim : [claim];
  const texts = list.filter((group) => typeof group === "string");
  return texts.length === list.length ? texts : undefined;
}

function isDeeper(value: JsonValue, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  return Object.values(value).some((inner) => isDeeper(inner as JsonValue, levels - 1));
}
