import type { Authenticated } from "./authenticated.ts";
import type { PeerCertificate } from "./certificates.ts";
import { unauthenticated } from "./unauthenticated.ts";

/** What a call shows of who it comes from. */
export interface Credentials {
  /** The values of its Authorization headers, each as it came. */
  readonly authorization: readonly string[];
  /** The client certificate of its connection; undefined when that showed none. */
  readonly certificate?: PeerCertificate | undefined;
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
  /** Verifies a client certificate; undefined: none is asked for. */
  readonly certificate?: ((certificate: PeerCertificate) => Authenticated) | undefined;
}

/** Longer tokens are nobody's. */
const MAX_TOKEN = 12 * 1024;

const BEARER = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i;

/** Static tokens begin with this, so that they are told from JWTs, and found where they were left lying about. */
export const TOKEN_PREFIX = "rsd_";

/** Takes a caller's word for nothing. */
export const createAuthenticate =
  ({ token, jwt, certificate: verify }: Verifiers): Authenticate =>
  async ({ authorization, certificate }) => {
    // Whatever else is shown: a certificate that does not hold is refused. With a token, it is the channel's and not the caller's.
    const holder = certificate && verify?.(certificate);
    const [header, ...others] = authorization;
    if (header === undefined) {
      return holder;
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
