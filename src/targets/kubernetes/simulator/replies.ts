import { encode, type JsonObject } from "./json.ts";
import { type Cause, StatusError } from "./status-errors.ts";

/** A complete answer. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: string;
}

/** JSON with `content-type: application/json`. */
export function jsonReply(status: number, body: unknown, headers: Reply["headers"] = {}, pretty = false): Reply {
  return { status, headers: { "content-type": "application/json", ...headers }, body: encode(body, pretty) };
}

/** Plain text, as Go's `http.Error` sends it. */
export function textReply(status: number, text: string, headers: Reply["headers"] = {}): Reply {
  const type = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
  return { status, headers: { ...type, ...headers }, body: text };
}

/** The answer that an error thrown while executing leads to. */
export function errorReply(error: StatusError, pretty = false): Reply {
  const denied = error.code === 403 ? { "x-content-type-options": "nosniff" } : {};
  return jsonReply(error.code, error.status, { ...denied, ...error.headers }, pretty);
}

/** `404 page not found`: nothing at all is registered at the path. */
export function pageNotFound(): Reply {
  return textReply(404, "404 page not found\n");
}

function status(
  code: number,
  reason: string,
  message: string,
  details?: JsonObject,
  headers: Record<string, string> = {},
) {
  return errorReply(new StatusError(code, reason, message, details, headers));
}

/*
 * Answers for faults, word for word those of real API servers and of what stands before them.
 */

/** API Priority and Fairness turns the request away: it was not executed. */
export function tooManyRequests(retryAfter = 1): Reply {
  return textReply(429, "Too many requests, please try again later.\n", { "retry-after": String(retryAfter) });
}

/** The API server is shutting down: it was not executed, and the connection ends. */
export function shuttingDown(): Reply {
  return textReply(429, "The apiserver is shutting down, please try again later.\n", {
    "retry-after": "5",
    connection: "close",
  });
}

/** The API server is starting: not all paths are there yet. */
export function startingUp(): Reply {
  return status(
    503,
    "ServiceUnavailable",
    "the request has been made before all known HTTP paths have been installed, please try again",
    { retryAfterSeconds: 5 },
    { "retry-after": "5" },
  );
}

/** An aggregated API is down. */
export function aggregatedDown(): Reply {
  return textReply(503, "service unavailable\n");
}

/** etcd did not answer in time: the outcome is unknown. */
export function etcdTimeout(): Reply {
  return status(500, "", "etcdserver: request timed out");
}

/** The object is larger than etcd takes: nothing was stored. */
export function etcdTooLarge(): Reply {
  return status(500, "", "etcdserver: request is too large");
}

/** Storage gave up (reason ServerTimeout): the outcome is unknown. */
export function serverTimeout(resource = "deployments.apps"): Reply {
  const [kind = "", ...group] = resource.split(".");
  return status(
    500,
    "ServerTimeout",
    `The update operation against ${resource} could not be completed at this time, please try again.`,
    { name: "update", group: group.join("."), kind, retryAfterSeconds: 2 },
  );
}

/** 504 of the handlers: the outcome is unknown. */
export function requestTimeout(): Reply {
  const message = "Timeout: request did not complete within requested timeout - context deadline exceeded";
  return status(504, "Timeout", message, {});
}

/** 504 of the timeout filter: a Status without kind, sent as text. The handler goes on. */
export function allottedTimeout(): Reply {
  const message = "Timeout: request did not complete within the allotted timeout";
  const body = { metadata: {}, status: "Failure", message, reason: "Timeout", details: {}, code: 504 };
  return { status: 504, headers: { "content-type": "text/plain; charset=utf-8" }, body: encode(body) };
}

/** A proxy's own error page. */
export function proxyPage(code = 502, title = "Bad Gateway"): Reply {
  const body = `<html>\r\n<head><title>${code} ${title}</title></head>\r\n<body>\r\n<center><h1>${code} ${title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;
  return { status: code, headers: { "content-type": "text/html" }, body };
}

/** A redirect, which must never be followed with credentials and a body. */
export function redirect(location: string, code = 301): Reply {
  return { status: code, headers: { location, "content-type": "text/html; charset=utf-8" }, body: "" };
}

/** A `kind: Status` where an object belongs, with HTTP 200. */
export function statusInstead(): Reply {
  return jsonReply(200, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" });
}

/** A validating webhook says no. Without a `code` the webhook named none: 400 and no reason at all. */
export function webhookDenial(reason: string, options: { name?: string; code?: 403 | 422 | 401 } = {}): Reply {
  const message = `admission webhook "${options.name ?? "v.example.com"}" denied the request: ${reason}`;
  const reasons = { 401: "Unauthorized", 403: "Forbidden", 422: "Invalid" };
  if (options.code === undefined) return status(400, "", message);
  return status(options.code, reasons[options.code], message);
}

/** A webhook could not be called (failurePolicy Fail): not applied. */
export function webhookUnreachable(name = "v.example.com"): Reply {
  const text = `failed calling webhook "${name}": failed to call webhook: Post "https://svc.ns.svc:443/validate?timeout=10s": context deadline exceeded`;
  return status(500, "InternalError", `Internal error occurred: ${text}`, { causes: [{ message: text }] });
}

/** A webhook with side effects cannot take part in a dry run. */
export function dryRunUnsupported(name = "v.example.com"): Reply {
  return status(400, "BadRequest", `admission webhook "${name}" does not support dry run`);
}

/** A ValidatingAdmissionPolicy says no about deployments.apps `name`. */
export function policyDenial(name: string, text: string, policy = "p", binding = "b"): Reply {
  const cause = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}' denied request: ${text}`;
  return status(422, "Invalid", `deployments.apps "${name}" is forbidden: ${cause}`, {
    name,
    group: "apps",
    kind: "deployments",
    causes: [{ message: cause }],
  });
}

/** A quota says no: 403, and no word of RBAC. */
export function quotaDenial(name: string, quota = "compute"): Reply {
  const text = `exceeded quota: ${quota}, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1`;
  return status(403, "Forbidden", `deployments.apps "${name}" is forbidden: ${text}`, {
    name,
    group: "apps",
    kind: "deployments",
  });
}

/** 422 with causes, as a tightened schema or rule answers. */
export function invalidObject(name: string, causes: readonly Cause[], kind = "Deployment", group = "apps"): Reply {
  const texts = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const text = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return status(422, "Invalid", `${kind}.${group} "${name}" is invalid: ${text}`, {
    name,
    group,
    kind,
    causes: causes.map((cause) => ({ ...cause })),
  });
}
