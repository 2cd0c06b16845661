import type { JsonObject } from "./json.ts";

/** One cause of an Invalid answer: `metav1.StatusCause`. */
export interface Cause {
  /** `FieldValueInvalid`, `FieldValueRequired`, `FieldValueForbidden`, `FieldValueNotSupported`, ... */
  readonly reason?: string;
  readonly message: string;
  readonly field?: string;
}

/** What an error is about; `group` is empty for the core group. */
export interface Subject {
  readonly group: string;
  /** The plural resource in most errors, the kind in Invalid ones. */
  readonly kind: string;
  readonly name?: string;
}

/** An error that the API server answers with a `metav1.Status` body. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  /** HTTP status code; also in the body. */
  readonly code: number;
  /** The body. */
  readonly status: JsonObject;
  /** Further response headers. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: number,
    reason: string,
    message: string,
    details?: JsonObject,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.code = code;
    this.headers = headers;
    this.status = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      ...(reason === "" ? {} : { reason }),
      ...(details === undefined ? {} : { details }),
      code,
    };
  }
}

function detailsOf(subject: Subject): JsonObject {
  return {
    ...(subject.name === undefined || subject.name === "" ? {} : { name: subject.name }),
    ...(subject.group === "" ? {} : { group: subject.group }),
    kind: subject.kind,
  };
}

/** `deployments.apps`, or `configmaps` in the core group. */
export function qualified(group: string, resource: string): string {
  return group === "" ? resource : `${resource}.${group}`;
}

/** 401: no token, or one that nobody knows. */
export function unauthorized(): StatusError {
  return new StatusError(401, "Unauthorized", "Unauthorized");
}

/** 400 with a message of its own. */
export function badRequest(message: string): StatusError {
  return new StatusError(400, "BadRequest", message);
}

/** 403 about one object or, without a name, about the resource as a whole. */
export function forbidden(subject: Subject, why: string, causes?: readonly Cause[]): StatusError {
  const name = subject.name === undefined || subject.name === "" ? "" : ` "${subject.name}"`;
  const details = detailsOf(subject);
  if (causes !== undefined) details.causes = causes.map((cause) => ({ ...cause }));
  return new StatusError(
    403,
    "Forbidden",
    `${qualified(subject.group, subject.kind)}${name} is forbidden: ${why}`,
    details,
  );
}

/** 404 for an absent object, with the object named in `details`. */
export function notFound(subject: Subject): StatusError {
  return new StatusError(
    404,
    "NotFound",
    `${qualified(subject.group, subject.kind)} "${subject.name ?? ""}" not found`,
    detailsOf(subject),
  );
}

/** 404 for a path that no API serves in a group that exists: empty `details`, easily taken for an absent object. */
export function noSuchResource(): StatusError {
  return new StatusError(404, "NotFound", "the server could not find the requested resource", {});
}

/** 405: the resource exists and does not know the verb. */
export function methodNotAllowed(): StatusError {
  return new StatusError(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    {},
  );
}

/** 409: the object exists already. */
export function alreadyExists(subject: Subject): StatusError {
  return new StatusError(
    409,
    "AlreadyExists",
    `${qualified(subject.group, subject.kind)} "${subject.name ?? ""}" already exists`,
    detailsOf(subject),
  );
}

const modified = "the object has been modified; please apply your changes to the latest version and try again";

/** 409: optimistic concurrency (default), or another precondition that did not hold. */
export function conflict(subject: Subject, why: string = modified): StatusError {
  return new StatusError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(subject.group, subject.kind)} "${subject.name ?? ""}": ${why}`,
    detailsOf(subject),
  );
}

/** 410: a resourceVersion or continue token that is too old. */
export function expired(message: string, token?: string): StatusError {
  const error = new StatusError(410, "Expired", message);
  if (token !== undefined) error.status.metadata = { continue: token };
  return error;
}

/** 413: the body is larger than `limit` bytes. */
export function tooLarge(limit: number): StatusError {
  return new StatusError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limit}`);
}

/** 415 as the patch handler of custom resources and the body decoders word it. */
export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  return new StatusError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  );
}

/** 422 with one cause for each broken rule. `subject.kind` is the Kind. */
export function invalid(subject: Subject, causes: readonly Cause[]): StatusError {
  const texts = [...new Set(causes.map((cause) => `${cause.field}: ${cause.message}`))];
  const text = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return new StatusError(
    422,
    "Invalid",
    `${qualified(subject.group, subject.kind)} "${subject.name ?? ""}" is invalid: ${text}`,
    { ...detailsOf(subject), causes: causes.map((cause) => ({ ...cause })) },
  );
}

/** 422 of a JSON Patch that could not be applied (a failed test, a missing parent): no path, no causes. */
export function patchNotApplicable(): StatusError {
  return new StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {});
}

/** 422 of a patched document that cannot be decoded. The message carries the whole `document`, as a real server's does. */
export function patchedInvalid(document: string, problem: string): StatusError {
  const message = `Invalid value: ${JSON.stringify(document)}: ${problem}`;
  return new StatusError(422, "Invalid", ` "" is invalid: patch: ${message}`, {
    causes: [{ reason: "FieldValueInvalid", message, field: "patch" }],
  });
}

/** 500 without a reason: what storage answers. */
export function internal(message: string): StatusError {
  return new StatusError(500, "", message);
}

/** 504: a resourceVersion that does not exist yet. */
export function versionTooLarge(asked: number, current: number): StatusError {
  return new StatusError(
    504,
    "Timeout",
    `Timeout: Too large resource version: ${asked}, current: ${current}`,
    {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    },
    { "retry-after": "1" },
  );
}
