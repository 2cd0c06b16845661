import { readFileSync } from "node:fs";
import { openConnections, readAnswer, sendOnce } from "../clouds/http.ts";
import type { FetchKeys } from "./keys.ts";

/** Where the keys of an issuer are. */
export type KeySource =
  | { readonly kind: "discovery"; readonly issuer: string }
  | { readonly kind: "uri"; readonly uri: string }
  | { readonly kind: "file"; readonly path: string };

/** The whole of one question, in ms. */
const TIMEOUT_MS = 5_000;

/** Larger answers are nobody's keys. */
const MAX_BYTES = 256 * 1024;

/** Reads keys from where they are: over https, but for loopback, and following no redirect. */
export function createFetchKeys(source: KeySource, ca: string | undefined): { fetch: FetchKeys } & AsyncDisposable {
  const connections = openConnections(ca, TIMEOUT_MS);
  const ask = (address: string): Promise<unknown> => askOnce(address, connections);
  let found: string | undefined;
  return {
    async fetch() {
      switch (source.kind) {
        case "file":
          return JSON.parse(readFileSync(source.path, "utf8"));
        case "uri":
          return ask(source.uri);
        case "discovery": {
          const before = found;
          found = undefined; // what fails may have moved
          const uri = before ?? (await discover(source.issuer, ask));
          const keys = await ask(uri);
          found = uri;
          return keys;
        }
      }
    },
    [Symbol.asyncDispose]: () => connections[Symbol.asyncDispose](),
  };
}

async function discover(issuer: string, ask: (address: string) => Promise<unknown>): Promise<string> {
  const document = await ask(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const { issuer: said, jwks_uri: uri } = (document ?? {}) as { issuer?: unknown; jwks_uri?: unknown };
  if (said !== issuer) throw new Error("its discovery document is another issuer's");
  if (typeof uri !== "string" || !isSafe(uri))
    throw new Error("its discovery document names no address of keys that is https");
  return uri;
}

/** As the configuration's own addresses have to be. */
const isSafe = (address: string): boolean =>
  /^https:\/\/[^/?#@]+(\/[^#]*)?$/.test(address) ||
  /^http:\/\/(localhost|127[.][0-9.]+|\[::1\])(:[0-9]+)?(\/[^#]*)?$/.test(address);

async function askOnce(address: string, { dispatcher }: ReturnType<typeof openConnections>): Promise<unknown> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { status, json } = await sendOnce(
    { changes: false, signal, timeoutMs: TIMEOUT_MS },
    async () => ({
      url: new URL(address),
      method: "GET",
      headers: { accept: "application/json" },
      dispatcher: dispatcher(false),
    }),
    (response) => readAnswer(response, MAX_BYTES),
  );
  if (status !== 200) throw new Error(`${new URL(address).host} answers ${status}`);
  if (json === undefined) throw new Error(`${new URL(address).host} answers what is no JSON`);
  return json;
}
