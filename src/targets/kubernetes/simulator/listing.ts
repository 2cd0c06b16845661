import type { Json, JsonObject, KubeObject } from "./json.ts";
import { apiVersionOf, type Resource } from "./resources.ts";
import { fieldSelector, labelSelector, type Selector } from "./selectors.ts";
import { badRequest, expired, invalid, versionTooLarge } from "./status-errors.ts";
import type { Store } from "./store.ts";

const tokenVersion = "meta.k8s.io/v1";
const continueExpired =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/** The selectors of a list or watch request. */
export function selectorOf(query: URLSearchParams): Selector {
  const byLabel = labelSelector(query.get("labelSelector") ?? "");
  const byField = fieldSelector(query.get("fieldSelector") ?? "");
  return (object) => byLabel(object) && byField(object);
}

/** A whole number out of the query; 400 in Go's words when it is none. */
export function numberParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (!/^-?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing "${text}": invalid syntax`);
  return Number(text);
}

/** A list with its paging, as `GET` of a collection answers it. */
export function listObjects(store: Store, resource: Resource, namespace: string, query: URLSearchParams): JsonObject {
  checkVersion(store, query);
  const selected = selectorOf(query);
  const limit = numberParameter(query, "limit") ?? 0;
  const token = query.get("continue") ?? "";
  const scope = [
    resource.group,
    resource.plural,
    namespace,
    query.get("labelSelector"),
    query.get("fieldSelector"),
  ].join();
  const page = token === "" ? undefined : resume(store, scope, token, query);
  const revision = page?.revision ?? store.revision;
  const objects = page?.objects ?? store.list(resource, namespace).filter(selected);
  const rest = page === undefined ? objects : objects.filter((object) => keyOf(object) >= page.start);
  const metadata: JsonObject = { resourceVersion: String(revision) };
  let items = rest;
  if (limit > 0 && rest.length > limit) {
    items = rest.slice(0, limit);
    if (page?.objects === undefined) store.snapshot(scope, objects);
    const last = items.at(-1);
    metadata.continue = encodeToken(revision, last === undefined ? "" : `${keyOf(last)}\0`);
    if (query.get("labelSelector") === null) metadata.remainingItemCount = rest.length - limit;
  }
  return listOf(resource, metadata, items);
}

/** A list document. Items of built-in kinds have neither kind nor apiVersion, as on a real server. */
export function listOf(resource: Resource, metadata: JsonObject, items: readonly KubeObject[]): JsonObject {
  return {
    kind: `${resource.kind}List`,
    apiVersion: apiVersionOf(resource),
    metadata,
    items: items.map((item): Json => {
      if (resource.custom) return item;
      const { kind: _kind, apiVersion: _apiVersion, ...rest } = item;
      return rest;
    }),
  };
}

interface Page {
  readonly revision: number;
  readonly start: string;
  /** Undefined: as they are now. */
  readonly objects: readonly KubeObject[] | undefined;
}

function resume(store: Store, scope: string, token: string, query: URLSearchParams): Page {
  if ((query.get("resourceVersion") ?? "0") !== "0") {
    throw badRequest("specifying resource version is not allowed when using continue");
  }
  const { revision, start } = decodeToken(token);
  // Revision -1 is the token of a 410: go on from there with what there is now.
  if (revision === -1) return { revision: store.revision, start, objects: undefined };
  const snapshot = store.snapshotAt(scope, revision);
  if (snapshot === undefined) throw expired(continueExpired, encodeToken(-1, start));
  return { ...snapshot, start };
}

function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return `${typeof namespace === "string" ? namespace : ""}/${name}`;
}

function encodeToken(revision: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: tokenVersion, rv: revision, start })).toString("base64url");
}

function decodeToken(token: string): { revision: number; start: string } {
  const invalidToken = (why: string) => badRequest(`invalid continue token: continue key is not valid: ${why}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
  } catch {
    throw invalidToken("invalid character looking for beginning of value");
  }
  const version = member(parsed, "v");
  if (version !== tokenVersion) throw invalidToken(`server does not recognize this encoded version ${String(version)}`);
  const revision = member(parsed, "rv");
  const start = member(parsed, "start");
  if (typeof revision !== "number" || typeof start !== "string") throw invalidToken("incorrect encoded start");
  return { revision, start };
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function checkVersion(store: Store, query: URLSearchParams): void {
  const text = query.get("resourceVersion") ?? "";
  const match = query.get("resourceVersionMatch") ?? "";
  if (match !== "" && text === "") {
    throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, [
      {
        reason: "FieldValueForbidden",
        message: "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        field: "resourceVersionMatch",
      },
    ]);
  }
  if (text === "") return;
  if (!/^\d+$/.test(text)) {
    throw badRequest(
      `invalid resource version: resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`,
    );
  }
  if (Number(text) > store.revision) throw versionTooLarge(Number(text), store.revision);
  if (match === "Exact" && Number(text) < store.oldest) {
    throw expired("The resourceVersion for the provided list is too old.");
  }
}
