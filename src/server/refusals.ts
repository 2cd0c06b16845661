import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { excerpt, Failure } from "../core/errors.ts";
import { nearName } from "../core/near-name.ts";
import type { Endpoint } from "./endpoints.ts";

/** A failure together with what HTTP says of it. */
export interface Refusal {
  readonly failure: Failure;
  /** HTTP status for callers of unary Connect. Default: that of the failure's code. */
  readonly status?: number;
  readonly header?: Record<string, string>;
}

/** Longer paths are nobody's typing mistake. */
const MAX_PATH = 200;

/** No endpoint has this path. */
export function unknownProcedure(path: string, endpoints: ReadonlyMap<string, Endpoint>): Refusal {
  const near = path.length <= MAX_PATH ? nearProcedure(path, endpoints) : undefined;
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  return {
    failure: new Failure("UNKNOWN_PROCEDURE", `no procedure ${JSON.stringify(excerpt(path, MAX_PATH))} here${hint}`),
    status: 404,
  };
}

/** The procedure that was probably meant: a mistyped rpc, a mistyped service, or the one rpc of that name in another service. */
function nearProcedure(path: string, endpoints: ReadonlyMap<string, Endpoint>): string | undefined {
  const [, service = "", method = ""] = path.split("/");
  const methods = new Map<string, string[]>();
  for (const name of endpoints.keys()) {
    const [, itsService = "", itsMethod = ""] = name.split("/");
    methods.set(itsService, [...(methods.get(itsService) ?? []), itsMethod]);
  }
  const nearService = methods.has(service) ? service : nearName(service, methods.keys());
  const nearMethod = nearName(method, methods.get(nearService ?? "") ?? []);
  if (nearMethod !== undefined) {
    return `/${nearService}/${nearMethod}`;
  }
  const [namesake, ...others] = [...endpoints.keys()].filter((name) => name.endsWith(`/${method}`));
  return others.length === 0 ? namesake : undefined;
}

/** HTTP/1.1 has Node's own limit, which is answered the same (client-error.ts). */
export const headersTooLarge = (): Refusal => ({
  failure: new Failure("REQUEST_TOO_LARGE", "the headers of the request are too large"),
  status: 431,
});

/** CONNECT asks for a way through. */
export const noProxy = (): Refusal => ({
  failure: new Failure("UNSUPPORTED_PROTOCOL", "this server is no proxy: CONNECT leads nowhere"),
  status: 405,
  header: { allow: "GET, POST" },
});

/** The endpoint does not answer this method of HTTP. */
export function wrongMethod(method: string, endpoint: Endpoint): Refusal {
  const allow = endpoint.methods.join(", ");
  return {
    failure: new Failure(
      "UNSUPPORTED_PROTOCOL",
      `${endpoint.name} is not called with ${excerpt(method, 20)}: use ${allow}`,
    ),
    status: 405,
    header: { allow },
  };
}

/** The endpoint does not read this content type. */
export function wrongContentType(contentType: string, endpoint: Endpoint): Refusal {
  const types = endpoint.contentTypes.join(", ");
  const problem =
    contentType === ""
      ? "needs a content type"
      : `does not read content type ${JSON.stringify(excerpt(contentType, 100))}`;
  return {
    failure: new Failure("UNSUPPORTED_PROTOCOL", `${endpoint.name} ${problem}: use one of ${types}`),
    status: 415,
    header: { "accept-post": types },
  };
}

/** The endpoint needs a connection that can send while it receives. */
export const needsHttp2 = (endpoint: Endpoint): Refusal => ({
  failure: new Failure("UNSUPPORTED_PROTOCOL", `${endpoint.name} streams both ways: use HTTP/2`),
  status: 505,
  header: { connection: "close" }, // a client that waits to send would wait for ever
});

/** What a caller who is not known is told by a header, in every protocol (RFC 6750); nothing for any other failure. */
export function challenge(failure: Failure | undefined): Pick<Refusal, "header"> {
  if (failure?.reason !== "UNAUTHENTICATED") {
    return {};
  }
  const error =
    failure.metadata.why === "NO_CREDENTIALS"
      ? ""
      : `, error="invalid_token", error_description="${failure.message.replace(/[^ -~]|["\\]/g, "?")}"`;
  return { header: { "www-authenticate": `Bearer realm="restartd"${error}` } };
}

/** What connect said with a bare status, as a refusal; undefined when it gave a real answer. */
export function refusalOf(
  answer: UniversalServerResponse,
  endpoint: Endpoint,
  { method, contentType }: { method: string; contentType: string },
): Refusal | undefined {
  if (answer.status === 200 || answer.body !== undefined) {
    return undefined;
  }
  switch (answer.status) {
    case 405:
      return wrongMethod(method, endpoint);
    case 505:
      return needsHttp2(endpoint);
    default:
      return wrongContentType(contentType, endpoint);
  }
}
