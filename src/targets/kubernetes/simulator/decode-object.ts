import { isObject, type Json, type JsonObject, type KubeObject, stringAt } from "./json.ts";
import { apiVersionOf, type Resource } from "./resources.ts";
import { DecodeError, decode, fieldSchema } from "./schema.ts";
import { kindSchema } from "./schemas.ts";
import { invalid } from "./status-errors.ts";

/** What `fieldValidation` asks for. */
export type FieldValidation = "Strict" | "Warn" | "Ignore";

/** An object as the server understands it, before defaults. */
export interface Decoded {
  readonly object: JsonObject;
  /** Paths of the fields that were dropped. */
  readonly unknown: readonly string[];
}

const metadataSchema = fieldSchema(kindSchema({}), "metadata") ?? "any";

/** Decodes a whole object: unknown fields dropped, types checked ({@link DecodeError}), empty values left out of built-in kinds. */
export function decodeObject(resource: Resource, source: JsonObject): Decoded {
  const unknown: string[] = [];
  const { metadata, ...rest } = source;
  const typed = !resource.custom;
  const meta = decode(metadataSchema, metadata ?? {}, { typed: true, kind: "ObjectMeta", unknown }, "metadata");
  const body: Json | undefined =
    resource.schema === undefined ? rest : decode(resource.schema, rest, { typed, kind: resource.kind, unknown });
  const decoded = isObject(body) ? body : {};
  return {
    object: {
      ...decoded,
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: isObject(meta) ? meta : {},
    },
    unknown,
  };
}

/**
 * The decoded object after `fieldValidation`: Strict throws what `fail` makes of the complaint, Warn adds to `warnings`.
 * A value of the wrong type always fails.
 */
export function decodeStrictly(
  resource: Resource,
  source: JsonObject,
  validation: FieldValidation,
  warnings: string[],
  fail: (problem: string) => Error,
): JsonObject {
  let decoded: Decoded;
  try {
    decoded = decodeObject(resource, source);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw resource.custom ? schemaError(resource, source, error) : fail(error.message);
  }
  const complaints = decoded.unknown.map((path) => `unknown field "${path}"`);
  if (complaints.length > 0 && validation === "Strict") throw fail(`strict decoding error: ${complaints.join(", ")}`);
  if (validation === "Warn") warnings.push(...complaints);
  return decoded.object;
}

/** Custom resources are checked against their CRD's schema, not by Go's decoder. */
function schemaError(resource: Resource, source: JsonObject, { path, found, expected }: DecodeError): Error {
  const { group, kind } = resource;
  const message = `Invalid value: "${found}": ${path} in body must be of type ${expected}: "${found}"`;
  return invalid({ group, kind, name: stringAt(source, "metadata", "name") }, [
    { reason: "FieldValueTypeInvalid", message, field: path },
  ]);
}

/** The object with its metadata complete and its members in the usual order. */
export function asStored(object: JsonObject, metadata: JsonObject): KubeObject {
  const { kind, apiVersion, metadata: _metadata, ...rest } = object;
  const text = (key: string): string => {
    const value = metadata[key];
    return typeof value === "string" ? value : "";
  };
  return {
    kind: typeof kind === "string" ? kind : "",
    apiVersion: typeof apiVersion === "string" ? apiVersion : "",
    metadata: {
      ...metadata,
      name: text("name"),
      uid: text("uid"),
      resourceVersion: text("resourceVersion"),
      creationTimestamp: text("creationTimestamp"),
    },
    ...rest,
  };
}
