import { type CredentialGate, type GatePass, unlessAborted } from "../../clouds/credential-gate.ts";
import { unreadableSecret } from "../../clouds/obstacles.ts";
import { Failure } from "../../core/errors.ts";
import type { GiveSecret } from "../../core/secret.ts";

/** A token as the site gave it. */
export interface Token {
  readonly token: string;
  /** How long (ms) it is valid, from when it was given. */
  readonly lifeMs: number;
}

/** What tokens are got with. */
export interface TokenOptions {
  /** Names the site in sentences. */
  readonly site: string;
  readonly password: GiveSecret;
  /** A clock in ms, by which a token's life is measured. */
  readonly now: () => number;
  /** Asks the site for a token; it bounds its own time. */
  readonly generate: (password: string) => Promise<Token>;
  /** What is known of the password where tokens are given, and of its tokens at the site. */
  readonly gates: { readonly password: CredentialGate; readonly token: CredentialGate };
}

/** A token for one request. */
export interface HeldToken {
  readonly token: string;
  /** Told what the site makes of it. */
  readonly pass: GatePass;
}

/** The tokens of one site: one at a time, shared by all calls. */
export interface Tokens {
  /**
   * A token that is valid for some time yet. Callers at the same time wait for the same request.
   *
   * @throws Failure VENDOR_CREDENTIALS_REJECTED when the password cannot be read or has been refused, and what `generate` throws; or the
   *   signal's reason.
   */
  get(signal: AbortSignal): Promise<HeldToken>;
  /** Forgets a token that the site refused, unless a newer one has taken its place. */
  drop(token: string): void;
}

/** How long (ms) before its end a token is no longer used: a request fits in. */
const MARGIN_MS = 60_000;

/** A token that lives for a short time is used for at least this part of it. */
const SHORTEST_USE = 0.5;

interface Kept {
  readonly token: string;
  readonly password: string;
  readonly usableUntil: number;
}

/** Keeps a site's token. A failure is not kept: the next call asks again. */
export function createTokens({ site, password: give, now, generate, gates }: TokenOptions): Tokens {
  const caller = { place: `site ${site}`, metadata: { site, vendor: "arcgis" } };
  let kept: Kept | undefined;
  let pending: { readonly password: string; readonly token: Promise<string> } | undefined;

  const guarded = async (password: string): Promise<Token> => {
    // What is asked has a limit of its own: so has the wait for another who asks.
    const pass = await gates.password.enter(password, caller, new AbortController().signal);
    try {
      const token = await generate(password);
      pass.accepted();
      return token;
    } catch (error) {
      if (error instanceof Failure && error.reason === "VENDOR_CREDENTIALS_REJECTED") pass.refused(error);
      throw error;
    } finally {
      pass.leave();
    }
  };
  const begin = (password: string): Promise<string> => {
    const asked = now();
    const fetched = guarded(password).then(({ token, lifeMs }) => {
      const usable = asked + Math.max(lifeMs - MARGIN_MS, lifeMs * SHORTEST_USE);
      if (pending?.token === shared) kept = { token, password, usableUntil: usable };
      return token;
    });
    const shared = fetched.finally(() => {
      if (pending?.token === shared) pending = undefined;
    });
    pending = { password, token: shared };
    shared.catch(() => {}); // whoever waits for it is told; nobody may be left who does
    return shared;
  };

  return {
    async get(signal) {
      signal.throwIfAborted();
      const password = readPassword(give, site);
      const pass = await gates.token.enter(password, caller, signal);
      try {
        if (kept !== undefined && kept.password === password && now() < kept.usableUntil) {
          return { token: kept.token, pass };
        }
        const token = await unlessAborted(pending?.password === password ? pending.token : begin(password), signal);
        return { token, pass };
      } catch (error) {
        pass.leave();
        throw error;
      }
    },
    drop(token) {
      if (kept?.token === token) kept = undefined;
    },
  };
}

function readPassword(give: GiveSecret, site: string): string {
  try {
    return give();
  } catch (cause) {
    const metadata = { site, vendor: "arcgis" };
    throw (
      unreadableSecret(cause, { place: `site ${site}`, who: "restartd's own password", metadata }) ??
      new Failure(
        "VENDOR_CREDENTIALS_REJECTED",
        `site ${site}: restartd's own password cannot be read; its operator has to put it where the configuration says`,
        { metadata, cause },
      )
    );
  }
}
