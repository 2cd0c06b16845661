import { timingSafeEqual } from "node:crypto";
import type { VendorReply, VendorRequest } from "../../simulator/exchange.ts";
import { signatureOf } from "../sign.ts";
import type { AccessKey, Account } from "./account.ts";
import { gatewayError, notAuthenticated } from "./replies.ts";

/** How far (ms) a signature's moment may be from the gateway's clock. */
const SKEW_MS = 15 * 60_000;

/** How many signatures may fail one after the other before their access key is locked, and for how long (ms). */
const MOST_FAILURES = 5;
const LOCK_MS = 5 * 60_000;

/** Lets a request in, or refuses it as the gateway does: by its signature, or by its token. */
export function verify(request: VendorRequest, account: Account): VendorReply | undefined {
  const { authorization, "x-auth-token": token } = request.headers;
  if (authorization !== undefined) return verifySignature(request, authorization, account);
  if (token !== undefined) return verifyToken(token, account);
  return notAuthenticated("x-auth-token not found");
}

function verifyToken(value: string, account: Account): VendorReply | undefined {
  const token = account.tokens.get(value);
  if (token === undefined) return notAuthenticated("decrypt token fail");
  const good = token.projectId === account.projectId && account.now() < token.expiresMs;
  return good ? undefined : gatewayError(401, "0307", "The token must be updated.");
}

/** What a header `Authorization` says. */
interface Claim {
  readonly accessKey: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

function verifySignature(request: VendorRequest, authorization: string, account: Account): VendorReply | undefined {
  const claim = readClaim(authorization);
  if (claim === undefined) return notAuthenticated("the Authorization header is malformed");
  const { accessKey } = claim;
  const key = account.keys.find((one) => one.accessKey === accessKey);
  if (key === undefined) {
    return notAuthenticated(`Get secretKey failed,ak:${accessKey},err:ak not exist`);
  }
  const now = account.now();
  const before = account.failures.get(accessKey) ?? { count: 0, lockedUntil: 0 };
  if (now < before.lockedUntil) return notAuthenticated("AK access failed to reach the limit,forbidden.");
  const wrong = wrongWith(request, claim, key, now);
  if (wrong === undefined) {
    account.failures.delete(accessKey);
    return undefined;
  }
  const count = before.count + 1;
  account.failures.set(
    accessKey,
    count > MOST_FAILURES ? { count: 0, lockedUntil: now + LOCK_MS } : { count, lockedUntil: 0 },
  );
  return notAuthenticated(wrong);
}

function readClaim(authorization: string): Claim | undefined {
  const match =
    /^SDK-HMAC-SHA256 Access=([^,\s]+), ?SignedHeaders=([a-z0-9-]+(?:;[a-z0-9-]+)*), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  const [, accessKey, signedHeaders, signature] = match ?? [];
  return accessKey === undefined || signedHeaders === undefined || signature === undefined
    ? undefined
    : { accessKey, signedHeaders: signedHeaders.split(";"), signature };
}

/** Why a signature is not good, in the gateway's words. */
function wrongWith(request: VendorRequest, claim: Claim, key: AccessKey, now: number): string | undefined {
  const { signedHeaders, signature } = claim;
  const date = request.headers["x-sdk-date"] ?? "";
  if (!signedHeaders.includes("x-sdk-date") || Number.isNaN(momentOf(date))) {
    return "calc ak sk signature fail:x-sdk-date is missing or malformed";
  }
  if (Math.abs(now - momentOf(date)) > SKEW_MS) return "calc ak sk signature fail:signature expired";
  const token = request.headers["x-security-token"];
  if (token !== key.securityToken || (token !== undefined && !signedHeaders.includes("x-security-token"))) {
    return "verify aksk signature fail, the security token is wrong or not signed";
  }
  const sorted = signedHeaders.every((name, index) => index === 0 || (signedHeaders[index - 1] ?? "") < name);
  const expected = sorted ? expectedSignature(request, signedHeaders, key.secretKey) : undefined;
  return expected !== undefined && timingSafeEqual(Buffer.from(expected), Buffer.from(signature))
    ? undefined
    : "verify aksk signature fail";
}

/** The signature of what was received; undefined when something that is said to be signed was not sent, or cannot be decoded. */
function expectedSignature(
  { method, url, headers, bytes }: VendorRequest,
  signedHeaders: readonly string[],
  secretKey: string,
): string | undefined {
  const signed = signedHeaders.flatMap((name) => {
    const value = headers[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const address = URL.parse(url, "http://gateway.invalid");
  if (signed.length !== signedHeaders.length || address === null) return undefined;
  try {
    return signatureOf({ method, url: address, headers: Object.fromEntries(signed), body: bytes }, secretKey);
  } catch {
    return undefined; // a percent sign that encodes nothing
  }
}

/** Milliseconds since 1970 of a moment such as 20191115T033655Z; NaN when it is none. */
const momentOf = (date: string): number => {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  const [, year, month, day, hour, minute, second] = match ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
};
