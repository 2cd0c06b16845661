import { cors } from "@connectrpc/connect";
import { OPERATION_HEADER, WARNING_HEADER } from "../core/call.ts";
import { excerpt, Failure } from "../core/errors.ts";
import { headerValues } from "./header-values.ts";
import { createHosts } from "./hosts.ts";

/** What the gate looks at: the request's method and headers as Node has them. */
export interface GateRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly rawHeaders: readonly string[];
}

/** Keeps web pages out: those whose host name was rebound to us, and those that nobody allowed. */
export interface Gate {
  /**
   * Why a request is refused, before a byte of its body is read; undefined when it is not.
   *
   * @param anyHost whether it may name this server as it likes: probes use a pod's address.
   */
  refuse(request: GateRequest, anyHost?: boolean): Failure | undefined;
  /** Headers that every answer to a request has, so that a browser shows it to the page it is for, and to no other. */
  headers(request: GateRequest): Record<string, string>;
  /** The headers of the answer to a browser's preflight, undefined when the request is none. */
  preflight(request: GateRequest): Record<string, string> | undefined;
}

/** For so many seconds a browser may remember what a preflight said. Chromium has no more patience than this. */
const PREFLIGHT_MAX_AGE = "7200";

const EXPOSED_HEADERS = [...cors.exposedHeaders, OPERATION_HEADER, WARNING_HEADER, "WWW-Authenticate"].join(", ");

const ALLOWED_HEADERS = [...cors.allowedHeaders, "Authorization"].join(", ");

/**
 * @param allowedOrigins the origins whose pages may call, such as `http://localhost:5173`.
 * @param hosts names that callers may use for this server; none: those of loopback.
 */
export function createGate(allowedOrigins: readonly string[], hosts: readonly string[] = []): Gate {
  const isOurs = createHosts(hosts);
  const use =
    hosts.length === 0
      ? "use 127.0.0.1, [::1] or localhost, this server answers on loopback only"
      : "use a name of this server, or add this one to hosts";
  const allowed: ReadonlySet<string> = new Set(allowedOrigins);
  return {
    refuse({ method, url, headers, rawHeaders }, anyHost = false) {
      const names = [authorityOf(url), headers[":authority"], ...headerValues(rawHeaders, "host")].filter(
        (host) => host !== undefined,
      );
      const host = names.find((name) => !isOurs(String(name)));
      if (!anyHost && (host !== undefined || names.length === 0)) {
        const given = host === undefined ? "no Host" : `Host ${JSON.stringify(excerpt(String(host), 100))}`;
        return new Failure("HOST_NOT_ALLOWED", `the request has ${given}: ${use}`);
      }
      const origin = headers.origin;
      if (origin === undefined) return refuseOthersPages(method, headers);
      if (allowed.has(String(origin)) || (!anyHost && isOwnOrigin(String(origin), String(names[0])))) return undefined;
      return new Failure(
        "HOST_NOT_ALLOWED",
        `origin ${JSON.stringify(excerpt(String(origin), 100))} is not allowed: add it to cors.allowed_origins`,
      );
    },
    headers({ headers }) {
      const origin = headers.origin;
      return origin !== undefined && allowed.has(String(origin))
        ? {
            vary: "Origin",
            "access-control-allow-origin": String(origin),
            "access-control-expose-headers": EXPOSED_HEADERS,
          }
        : { vary: "Origin" };
    },
    preflight({ method, headers }) {
      return method === "OPTIONS" && headers.origin !== undefined && "access-control-request-method" in headers
        ? {
            "access-control-allow-methods": cors.allowedMethods.join(", "),
            "access-control-allow-headers": ALLOWED_HEADERS,
            "access-control-max-age": PREFLIGHT_MAX_AGE,
            // A page of the public web asks whether it may call into a private network: whoever is allowed may.
            ...(headers["access-control-request-private-network"] === "true" && {
              "access-control-allow-private-network": "true",
            }),
          }
        : undefined;
    },
  };
}

/**
 * Whether a page is one of this server's own: its origin is the host that it calls. Only to be asked when that host has been judged,
 * because a name that was rebound to us is "its own" as well.
 */
const isOwnOrigin = (origin: string, host: string): boolean =>
  ["http", "https"].some((s) => origin === `${s}://${host}`);

/** What browsers say of a request that another site's page makes. Clients that are no browsers say nothing. */
const OTHERS = ["cross-site", "same-site"];

/**
 * Browsers give every POST an origin, and send a client certificate along by themselves: what another site's page asks for without one
 * is refused, but for links that people follow. Another page of the same site may ask for what changes nothing.
 */
function refuseOthersPages(method: string | undefined, headers: GateRequest["headers"]): Failure | undefined {
  const sites = String(headers["sec-fetch-site"]).split(/\s*,\s*/); // Node joins those of several headers
  const site = OTHERS.find((one) => sites.includes(one));
  const isLink = headers["sec-fetch-mode"] === "navigate" && (method === "GET" || method === "HEAD");
  return (site === "cross-site" && !isLink) || (site !== undefined && method === "POST")
    ? new Failure("HOST_NOT_ALLOWED", `the request comes from another page (Sec-Fetch-Site: ${site}) without an origin`)
    : undefined;
}

/** The host that an absolute target names; it stands above the header Host (RFC 9112, 3.2.2). */
const authorityOf = (url = ""): string | undefined => /^https?:\/\/([^/?#]*)/i.exec(url)?.[1];
