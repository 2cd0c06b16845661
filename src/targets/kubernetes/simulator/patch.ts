import { decodeStrictly } from "./decode-object.ts";
import { isObject, type Json, type JsonObject, type KubeObject, objectAt, stringAt } from "./json.ts";
import { applyJsonPatch, parseJsonPatch, parsePatch, unmarshal } from "./json-patch.ts";
import { mergePatch, strategicMergePatch } from "./merge-patch.ts";
import type { Registry, Target, WriteContext } from "./registry.ts";
import { apiVersionOf, type Resource } from "./resources.ts";
import type { Schema } from "./schema.ts";
import { badRequest, invalid, patchedInvalid, StatusError, unsupportedMediaType } from "./status-errors.ts";

const jsonPatchType = "application/json-patch+json";
const mergePatchType = "application/merge-patch+json";
/** The media type of server-side apply. */
export const applyType = "application/apply-patch+yaml";
const strategicType = "application/strategic-merge-patch+json";

/** A patch that was read but not applied yet. */
export interface Patch {
  /** The document after the patch. */
  apply(document: JsonObject): JsonObject;
  /** How the answer to an undecodable document quotes it: the whole document, or for strategic merges the patch alone. */
  quote(document: JsonObject): string;
}

/** Reads a patch; 415 for a content type that the resource does not take, 400 for a malformed document. */
export function readPatch(resource: Resource, contentType: string, text: string, schema?: Schema): Patch {
  switch (mediaType(contentType)) {
    case jsonPatchType: {
      const operations = parseJsonPatch(text);
      return {
        apply: (document) => applyJsonPatch(document, operations),
        quote: (document) => JSON.stringify(document),
      };
    }
    case mergePatchType: {
      const patch = asMap(parsePatch(text), "error decoding patch: ");
      return { apply: (document) => mergePatch(document, patch), quote: (document) => JSON.stringify(document) };
    }
    case strategicType: {
      if (resource.custom) throw unsupported(resource);
      const patch = asMap(parsePatch(text, ""), "");
      return {
        apply: (document) => strategicMergePatch(document, patch, schema ?? resource.schema),
        quote: () => goMap(patch),
      };
    }
    default:
      throw unsupported(resource);
  }
}

/**
 * Server-side apply: the document is merged into the object, or creates it; its fields belong to the manager. Conflicts with
 * other managers are not looked for: every apply is forced.
 */
export function applyObject(registry: Registry, target: Target, text: string, context: WriteContext): KubeObject {
  const { resource } = target;
  const body = asMap(parsePatch(text), "error decoding patch: ");
  checkKind(resource, target.name, body);
  const document = { ...body, metadata: { ...objectAt(body, "metadata"), name: target.name } };
  const applying = { ...context, applied: document };
  const complain = (problem: string) => badRequest(problem);
  const decoded = decodeStrictly(resource, document, context.validation, context.warnings, complain);
  if (!registry.exists(target)) return registry.create(resource, target.namespace, decoded, applying);
  const merged = strategicMergePatch(registry.read(target), decoded, resource.schema);
  return registry.write(target, merged, applying, "patch");
}

/** Applies a patch to an object (or its status) and stores the outcome. */
export function patchObject(
  registry: Registry,
  target: Target,
  contentType: string,
  text: string,
  context: WriteContext,
): KubeObject {
  const { resource } = target;
  const patch = readPatch(resource, contentType, text);
  const document = patch.apply(registry.read(target));
  checkKind(resource, target.name, document);
  const wanted = decodeStrictly(resource, document, context.validation, context.warnings, (problem) =>
    patchedInvalid(patch.quote(document), problem),
  );
  return registry.write(target, wanted, context, "patch");
}

function checkKind(resource: Resource, name: string, document: JsonObject): void {
  const kind = stringAt(document, "kind");
  const apiVersion = stringAt(document, "apiVersion");
  if (kind === resource.kind && apiVersion === apiVersionOf(resource)) return;
  if (!resource.custom) {
    throw patchedInvalid(
      JSON.stringify(document),
      `no kind "${kind}" is registered for version "${apiVersion}" in scheme "pkg/api/legacyscheme/scheme.go:30"`,
    );
  }
  const [field, value, expected] =
    kind === resource.kind ? ["apiVersion", apiVersion, apiVersionOf(resource)] : ["kind", kind, resource.kind];
  throw invalid({ group: resource.group, kind, name }, [
    { reason: "FieldValueInvalid", message: `Invalid value: ${JSON.stringify(value)}: must be ${expected}`, field },
  ]);
}

function unsupported(resource: Resource): StatusError {
  if (resource.custom) return unsupportedMediaType([jsonPatchType, mergePatchType, "application/apply-patch+yaml"]);
  return new StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {});
}

/** The media type without its parameters. */
export function mediaType(contentType: string): string {
  return (contentType.split(";")[0] ?? "").trim().toLowerCase();
}

function asMap(patch: Json, prefix: string): JsonObject {
  if (isObject(patch)) return patch;
  if (patch === null) throw badRequest("Invalid JSON Patch");
  throw badRequest(`${prefix}${unmarshal(patch, "map[string]interface {}")}`);
}

/** A value as Go's `%v` prints it. */
function goMap(value: Json): string {
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(goMap).join(" ")}]`;
  if (!isObject(value)) return String(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${key}:${goMap(value[key] ?? null)}`);
  return `map[${members.join(" ")}]`;
}
