import { createHash, createHmac } from "node:crypto";

/** What a signature is about. */
export interface SignedParts {
  readonly method: string;
  /** Its path and its query count. */
  readonly url: URL;
  /** The headers that are signed, `host` and `x-sdk-date` among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body's very bytes; empty where there is none. */
  readonly body: string | Uint8Array;
}

/** An access key id and its secret. */
export interface Key {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** Name of the one algorithm that is spoken here, as it begins a header `Authorization`. */
export const ALGORITHM = "SDK-HMAC-SHA256";

/**
 * The header `Authorization` of a request, by SDK-HMAC-SHA256 (contracts: huaweicloud E.3).
 *
 * @param parts its header `x-sdk-date` says when: {@link sdkDate}.
 */
export function authorizationOf(parts: SignedParts, { accessKey, secretKey }: Key): string {
  const names = signedHeaders(parts.headers);
  return `${ALGORITHM} Access=${accessKey}, SignedHeaders=${names}, Signature=${signatureOf(parts, secretKey)}`;
}

/** The signature alone, in hexadecimal digits. */
export function signatureOf(parts: SignedParts, secretKey: string): string {
  const date = entries(parts.headers).find(([name]) => name === "x-sdk-date")?.[1] ?? "";
  const text = [ALGORITHM, date, sha256(canonicalRequest(parts))].join("\n");
  return createHmac("sha256", secretKey).update(text).digest("hex");
}

/** A request in the one form that both sides can make of it. */
export function canonicalRequest({ method, url, headers, body }: SignedParts): string {
  return [
    method,
    canonicalPath(url.pathname),
    canonicalQuery(url.search),
    ...entries(headers).map(([name, value]) => `${name}:${value}`),
    "",
    signedHeaders(headers),
    sha256(body),
  ].join("\n");
}

/** A moment as `x-sdk-date` says it, such as 20191115T033655Z. */
export const sdkDate = (moment: Date): string => moment.toISOString().replace(/[-:]|\.\d{3}/g, "");

/** A text where only letters, digits and `-_.~` stand as they are. `encodeURIComponent` leaves five more. */
export const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

/** The path ends with a slash here, whether or not the request's does. */
function canonicalPath(path: string): string {
  const encoded = path
    .split("/")
    .map((segment) => encode(decodeURIComponent(segment)))
    .join("/");
  return encoded.endsWith("/") ? encoded : `${encoded}/`;
}

/**
 * A query sorted by name, then by value.
 *
 * @param search as in a URL, with or without its question mark. A `+` is a plus there, not a space.
 */
export function canonicalQuery(search: string): string {
  return search
    .replace(/^\?/, "")
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair): [string, string] => {
      const mark = pair.indexOf("=");
      const [name, value] = mark === -1 ? [pair, ""] : [pair.slice(0, mark), pair.slice(mark + 1)];
      return [encode(decodeURIComponent(name)), encode(decodeURIComponent(value))];
    })
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

const signedHeaders = (headers: SignedParts["headers"]): string =>
  entries(headers)
    .map(([name]) => name)
    .join(";");

/** Lower-case names and trimmed values, sorted by name. */
const entries = (headers: SignedParts["headers"]): [name: string, value: string][] =>
  Object.entries(headers)
    .map(([name, value]): [string, string] => [name.toLowerCase(), value.trim()])
    .sort(([a], [b]) => compare(a, b));

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
