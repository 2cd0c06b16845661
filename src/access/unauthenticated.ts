import { Failure } from "../core/errors.ts";

/** The closed list of words that say why a caller is not known: metadata `why` of UNAUTHENTICATED. */
export type Why =
  | "NO_CREDENTIALS"
  | "MALFORMED"
  | "AMBIGUOUS"
  | "UNKNOWN_ISSUER"
  | "ALGORITHM"
  | "UNKNOWN_KEY"
  | "BAD_SIGNATURE"
  | "EXPIRED"
  | "NOT_YET_VALID"
  | "LIFETIME_TOO_LONG"
  | "WRONG_AUDIENCE"
  | "CLAIMS_REFUSED"
  | "UNKNOWN_TOKEN"
  | "CERTIFICATE_UNTRUSTED"
  | "CERTIFICATE_EXPIRED"
  | "CERTIFICATE_REVOKED"
  | "CERTIFICATE_IDENTITY";

/**
 * A caller whose credentials do not hold, or who has none.
 *
 * @param message what is wrong, without any part of the credential.
 * @param authenticator who was to vouch for it, where that is known.
 */
export const unauthenticated = (why: Why, message: string, authenticator?: string): Failure =>
  new Failure("UNAUTHENTICATED", message, { metadata: { why, ...(authenticator && { authenticator }) } });
