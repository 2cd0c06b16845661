import type { Lapsed, Principal } from "../core/principal.ts";
import { unauthenticated } from "./unauthenticated.ts";

/** What a call shows of who it comes from. */
export interface Credentials {
  /** The values of its Authorization headers, each as it came. */
  readonly authorization: readonly string[];
}

/** A caller that is known. */
export interface Authenticated {
  readonly principal: Principal;
  /** For streams, which may outlive the credential that opened them. */
  readonly lapsed: Lapsed;
}

/**
 * Finds out who calls.
 *
 * @returns undefined when the call shows no credentials.
 * @throws Failure UNAUTHENTICATED when what it shows does not hold: it is never ignored. ISSUER_UNAVAILABLE.
 */
export type Authenticate = (credentials: Credentials) => Promise<Authenticated | undefined>;

/** Who vouches for what bearers show. */
export interface Verifiers {
  /** Verifies a static token. */
  readonly token: (token: string) => Authenticated;
  /** Verifies a JWT. */
  readonly jwt: (token: string) => Promise<Authenticated>;
}

/** Longer tokens are nobody's. */
const MAX_TOKEN = 12 * 1024;

const BEARER = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i;

/** Static tokens begin with this, so that they are told from JWTs, and found where they were left lying about. */
export const TOKEN_PREFIX = "rsd_";

/** Takes a caller's word for nothing. */
export const createAuthenticate =
  ({ token, jwt }: Verifiers): Authenticate =>
  async ({ authorization }) => {
    const [header, ...others] = authorization;
    if (header === undefined) {
      return undefined;
    }
    if (others.length > 0) {
      throw unauthenticated("AMBIGUOUS", "the call has several Authorization headers: send one");
    }
    const bearer = header.length <= MAX_TOKEN + "bearer ".length ? BEARER.exec(header)?.[1] : undefined;
    if (bearer === undefined) {
      throw malformed();
    }
    if (bearer.startsWith(TOKEN_PREFIX)) {
      return token(bearer);
    }
    if (bearer.split(".").length !== 3) {
      throw malformed();
    }
    return jwt(bearer);
  };

const malformed = () =>
  unauthenticated(
    "MALFORMED",
    `the Authorization header is not understood: send Bearer and a token, a JWT or one that begins with ${TOKEN_PREFIX}`,
  );
