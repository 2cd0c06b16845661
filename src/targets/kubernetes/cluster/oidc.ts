import { allowInsecureRequests, type ClientAuth, clockTolerance, customFetch } from "openid-client";
import { fetch } from "undici";
import { isLoopbackHost } from "../../../core/loopback.ts";
import { CredentialsError } from "./credentials-error.ts";
import { environmentProxy } from "./environment-proxy.ts";
import { isHeaderValue } from "./header-value.ts";
import { openTransport } from "./transport.ts";

/** A user's `auth-provider` of the name oidc in a kubeconfig. What may be left out is empty. */
export interface OidcConfig {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly idToken: string;
  readonly refreshToken: string;
}

/** What a provider is asked with. */
export interface IdTokenRequest {
  readonly signal: AbortSignal;
  /** PEM of the authorities that the issuer's certificate is judged by. Default: the system's. */
  readonly ca: readonly string[] | undefined;
  /** The API server refused the last token: it is not used again. */
  readonly refused: boolean;
}

/** Gives an ID token, renewed by the refresh token once it has expired. */
export type IdTokens = (request: IdTokenRequest) => Promise<string>;

/** How long (ms) before its end a token is renewed: as client-go. */
const MARGIN_MS = 10_000;

/** For how long (ms) a renewed token is used that does not say how long it lives. */
const DEFAULT_USE_MS = 60_000;

/**
 * Makes the tokens of a user. A refresh token that the issuer replaces is kept in memory; the kubeconfig is not written.
 *
 * @param monotonic a clock in milliseconds that never goes back.
 * @param now the wall clock.
 */
export function createIdTokens(config: OidcConfig, monotonic: () => number, now: () => Date): IdTokens {
  let { refreshToken } = config;
  // Of the kubeconfig's own token nobody knows when it was given: its end is compared with our clock.
  let held = { token: config.idToken, usableUntil: monotonic() + endOf(config.idToken) - now().getTime() - MARGIN_MS };
  return async ({ signal, ca, refused }) => {
    if (held.token !== "" && monotonic() < held.usableUntil && !refused) {
      return held.token;
    }
    if (refreshToken === "") {
      throw new CredentialsError("oidc: the id-token has expired, and there is no refresh-token to renew it by");
    }
    const renewed = await renew({ ...config, refreshToken }, ca, signal);
    refreshToken = renewed.refreshToken ?? refreshToken;
    // Both times are the issuer's, so that its clock is not compared with ours.
    const life = endOf(renewed.idToken) - claimOf(renewed.idToken, "iat");
    held = {
      token: renewed.idToken,
      usableUntil: monotonic() + (life > MARGIN_MS ? life - MARGIN_MS : DEFAULT_USE_MS),
    };
    return held.token;
  };
}

/** When a token expires (epoch ms) by what it says itself; long ago where it says nothing. */
const endOf = (token: string): number => claimOf(token, "exp");

/** A time (epoch ms) that a token says; long ago where it does not. */
function claimOf(token: string, name: "exp" | "iat"): number {
  try {
    const claim = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())[name];
    return typeof claim === "number" ? claim * 1_000 : 0;
  } catch {
    return 0; // no JWT
  }
}

async function renew(
  { issuer, clientId, clientSecret, refreshToken }: OidcConfig,
  ca: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<{ idToken: string; refreshToken: string | undefined }> {
  const { ClientSecretBasic, ClientSecretPost, discovery, None, refreshTokenGrant } = await import("openid-client");
  const url = new URL(issuer);
  const proxy = environmentProxy(url, process.env);
  const way = { ca, certificate: undefined, serverName: undefined, skipVerify: false, proxy };
  const dispatcher = openTransport(way);
  const authenticate: ClientAuth = (server, ...rest) => {
    const ways = server.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
    const how = ways.includes("client_secret_basic") ? ClientSecretBasic : ClientSecretPost;
    return (clientSecret === "" ? None() : how(clientSecret))(server, ...rest);
  };
  try {
    const client = await discovery(
      url,
      clientId,
      { [clockTolerance]: Number.MAX_SAFE_INTEGER }, // whether it holds is the API server's to say, by its own clock
      authenticate,
      {
        [customFetch]: (to, options) =>
          fetch(to, { ...options, dispatcher, signal } as Parameters<typeof fetch>[1]) as unknown as Promise<Response>,
        ...(isLoopbackHost(url.hostname) && { execute: [allowInsecureRequests] }),
      },
    );
    const { id_token: idToken, refresh_token: next } = await refreshTokenGrant(client, refreshToken);
    if (idToken === undefined || !isHeaderValue(idToken)) {
      throw new CredentialsError(`oidc: ${issuer} gave no id-token; the scope openid may be missing`);
    }
    return { idToken, refreshToken: next };
  } catch (error) {
    throw error instanceof CredentialsError ? error : new CredentialsError(`oidc: ${failureOf(issuer, error)}`);
  } finally {
    await dispatcher.destroy();
  }
}

/** What is told of a failure: its code, not its words, which can quote answers. */
function failureOf(issuer: string, error: unknown): string {
  const { error: refusal, code, cause } = error as { error?: unknown; code?: unknown; cause?: { code?: unknown } };
  const why = [refusal, cause?.code, code].find((each) => typeof each === "string" && /^\w{1,60}$/.test(each));
  return `${issuer} did not renew the id-token${why === undefined ? "" : ` (${why})`}`;
}
