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
}

/** The tokens of one site: one at a time, shared by all calls. */
export interface Tokens {
  /**
   * A token that is valid for some time yet. Callers at the same time wait for the same request.
   *
   * @throws Failure VENDOR_CREDENTIALS_REJECTED when the password cannot be read, and what `generate` throws; or the signal's reason.
   */
  get(signal: AbortSignal): Promise<string>;
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
export function createTokens({ site, password: give, now, generate }: TokenOptions): Tokens {
  let kept: Kept | undefined;
  let pending: { readonly password: string; readonly token: Promise<string> } | undefined;

  const begin = (password: string): Promise<string> => {
    const asked = now();
    const fetched = generate(password).then(({ token, lifeMs }) => {
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
      if (kept !== undefined && kept.password === password && now() < kept.usableUntil) {
        return kept.token;
      }
      return unlessAborted(pending?.password === password ? pending.token : begin(password), signal);
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

/** What work gives, unless the signal comes first. */
async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
