import type { Ambient } from "./ambient.ts";
import { deleteObject } from "./deletion.ts";
import { isObject, type Json, type JsonObject, type KubeObject, objectAt, stringAt } from "./json.ts";
import { syntaxProblem } from "./json-patch.ts";
import { listObjects, listOf, selectorOf } from "./listing.ts";
import { applyObject, applyType, mediaType, patchObject } from "./patch.ts";
import type { Registry, Target, WriteContext } from "./registry.ts";
import { jsonReply, pageNotFound, type Reply, textReply } from "./replies.ts";
import type { RequestInfo } from "./request-info.ts";
import type { Resource, ResourceTable } from "./resources.ts";
import { patchScale, putScale, scaleOf } from "./scale.ts";
import {
  badRequest,
  invalid,
  methodNotAllowed,
  noSuchResource,
  StatusError,
  unsupportedMediaType,
  versionTooLarge,
} from "./status-errors.ts";
import type { Store } from "./store.ts";
import { negotiate } from "./table.ts";
import { type PreparedWatch, prepareWatch, type WatchOptions } from "./watching.ts";
import { writeOptions } from "./write-options.ts";

/** An authorised request. */
export interface ApiRequest {
  readonly method: string;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  readonly admit?: WriteContext["admit"];
}

/** What the routes work on. */
export interface Routes {
  readonly store: Store;
  readonly registry: Registry;
  readonly table: ResourceTable;
  readonly ambient: Ambient;
  readonly watches: WatchOptions;
  /** `GET /version` */
  readonly version: JsonObject;
}

type ResourceInfo = Extract<RequestInfo, { kind: "resource" }>;

/** Executes a request: an answer, or a watch to be opened. Throws StatusErrors. */
export function route(routes: Routes, request: ApiRequest): Reply | PreparedWatch {
  if (request.info.kind === "path") return routePath(routes, request.info.path, request.method);
  return routeResource(routes, request, request.info);
}

function routePath(routes: Routes, path: string, method: string): Reply {
  const { table } = routes;
  const trimmed = path.length > 1 ? path.replace(/\/+$/, "") : path;
  if (/^\/(readyz|livez|healthz)$/.test(trimmed)) return textReply(200, "ok");
  if (method !== "GET" && method !== "HEAD") return pageNotFound();
  if (trimmed === "/version") return jsonReply(200, routes.version);
  if (trimmed === "/api") return jsonReply(200, table.coreVersions());
  if (trimmed === "/apis") return jsonReply(200, table.groups());
  const [, root, first, second] = trimmed.split("/");
  const document =
    root === "api"
      ? table.list("", first ?? "")
      : second === undefined
        ? table.group(first ?? "")
        : table.list(first ?? "", second);
  if ((root !== "api" && root !== "apis") || first === undefined) return pageNotFound();
  if (document !== undefined) return jsonReply(200, document);
  return unknownPath(table, root === "api" ? "" : first);
}

/** Only an unknown group, and anything unknown in a group of custom resources, is plain text. */
function unknownPath(table: ResourceTable, group: string): Reply {
  if (!table.hasGroup(group) || table.isCustomGroup(group)) return pageNotFound();
  throw noSuchResource();
}

function routeResource(routes: Routes, request: ApiRequest, info: ResourceInfo): Reply | PreparedWatch {
  const resource = routes.table.find(info.group, info.version, info.plural);
  const inNamespace = info.namespace !== "" && info.plural !== "namespaces";
  const collectionVerbs = ["list", "watch", "create", "deletecollection"];
  const acrossNamespaces = info.name === "" && (info.verb === "list" || info.verb === "watch");
  if (
    resource === undefined ||
    info.rest.length > 0 ||
    (inNamespace && !resource.namespaced) ||
    (!inNamespace && resource.namespaced && !acrossNamespaces)
  ) {
    return unknownPath(routes.table, info.group);
  }
  const namespace = resource.namespaced ? info.namespace : "";
  if (info.subresource !== "") return routeSubresource(routes, request, info, resource, namespace);
  const item = resource.verbs.some((verb) => !collectionVerbs.includes(verb));
  if (info.name !== "" && !item) throw noSuchResource();
  if (!resource.verbs.includes(info.verb)) throw methodNotAllowed();
  if (info.name === "" && !collectionVerbs.includes(info.verb)) throw methodNotAllowed();
  if (info.name !== "" && info.verb === "create") throw methodNotAllowed();
  return execute(routes, request, info.verb, { resource, namespace, name: info.name });
}

function execute(routes: Routes, request: ApiRequest, verb: string, target: Target): Reply | PreparedWatch {
  const { resource, namespace } = target;
  const { registry, store } = routes;
  const render = negotiate(request.headers.accept, resource);
  switch (verb) {
    case "get":
      checkVersion(store, request.query);
      return jsonReply(200, render(registry.read(target)));
    case "list":
      return jsonReply(200, render(listObjects(store, resource, namespace, request.query)));
    case "watch":
      return prepareWatch(store, resource, namespace, request.query, routes.watches);
    case "create": {
      const context = contextOf(request, verb);
      const made = registry.create(resource, namespace, bodyObject(request, resource), context);
      return written(201, render(made), context);
    }
    case "update": {
      const context = contextOf(request, verb);
      const body = bodyObject(request, resource);
      return written(200, render(replace(registry, target, body, context)), context);
    }
    case "patch": {
      const context = contextOf(request, verb);
      const type = contentType(request);
      const change = () => patchObject(registry, target, type, request.body, context);
      if (mediaType(type) !== applyType) return written(200, render(change()), context);
      checkApply(request.query);
      const status = registry.exists(target) ? 200 : 201;
      return written(status, render(applyObject(registry, target, request.body, context)), context);
    }
    case "delete":
      return jsonReply(200, remove(routes, request, target));
    default:
      return jsonReply(200, removeAll(routes, request, resource, namespace));
  }
}

function routeSubresource(
  routes: Routes,
  request: ApiRequest,
  info: ResourceInfo,
  resource: Resource,
  namespace: string,
): Reply {
  if (!resource.subresources.includes(info.subresource)) throw noSuchResource();
  if (!["get", "update", "patch"].includes(info.verb)) throw methodNotAllowed();
  const { registry } = routes;
  const target: Target = { resource, namespace, name: info.name, subresource: info.subresource };
  const scale = info.subresource === "scale";
  if (info.verb === "get") {
    const object = registry.read(target);
    return jsonReply(200, scale ? scaleOf(object) : object);
  }
  const context = contextOf(request, info.verb);
  if (info.verb === "patch") {
    const type = contentType(request);
    const answer = scale
      ? patchScale(registry, target, type, request.body, context)
      : patchObject(registry, target, type, request.body, context);
    return written(200, answer, context);
  }
  const body = bodyObject(request, resource);
  return written(
    200,
    scale ? putScale(registry, target, body, context) : replace(registry, target, body, context),
    context,
  );
}

/** An apply has to say who applies. */
function checkApply(query: URLSearchParams): void {
  if ((query.get("fieldManager") ?? "") !== "") return;
  throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, [
    { reason: "FieldValueRequired", message: "Required value: is required for apply patch", field: "fieldManager" },
  ]);
}

/** A PUT decodes its body as a POST does; unknown fields are warned of by the same rules. */
function replace(registry: Registry, target: Target, body: JsonObject, context: WriteContext): KubeObject {
  const decoded = registry.decode(target.resource, body, context);
  return registry.write(target, decoded, context, "update");
}

function contextOf(request: ApiRequest, verb: string): WriteContext {
  const agent = request.headers["user-agent"];
  return {
    ...writeOptions(verb, request.query, typeof agent === "string" ? agent : ""),
    warnings: [],
    admit: request.admit,
  };
}

function written(status: number, body: Json, context: WriteContext): Reply {
  const warnings = context.warnings.map((text) => `299 - ${JSON.stringify(text)}`);
  return jsonReply(status, body, warnings.length === 0 ? {} : { warning: warnings });
}

function contentType(request: ApiRequest): string {
  const type = request.headers["content-type"];
  return typeof type === "string" ? type : "";
}

/** The body of a POST or PUT as an object; 415 and 400 as the codecs answer. */
function bodyObject(request: ApiRequest, resource: Resource): JsonObject {
  const type = mediaType(contentType(request));
  if (type !== "" && type !== "application/json") {
    throw unsupportedMediaType(["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]);
  }
  const must = `the object provided is unrecognized (must be of type ${resource.kind})`;
  let parsed: Json;
  try {
    parsed = JSON.parse(request.body);
  } catch (error) {
    const shown = request.body === "" ? "<empty>" : request.body.slice(0, 100);
    throw badRequest(
      `${must}: couldn't get version/kind; json parse error: ${syntaxProblem(request.body, error)} (${shown})`,
    );
  }
  if (!isObject(parsed)) {
    throw badRequest(`${must}: couldn't get version/kind; json parse error: json: cannot unmarshal into Go value`);
  }
  if (resource.custom && stringAt(parsed, "kind") === "") {
    throw badRequest(`${must}: Object 'Kind' is missing in '${request.body}' (${request.body})`);
  }
  return parsed;
}

function checkVersion(store: Store, query: URLSearchParams): void {
  const text = query.get("resourceVersion") ?? "";
  if (text === "") return;
  if (!/^\d+$/.test(text)) {
    throw new StatusError(
      500,
      "",
      `resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`,
    );
  }
  if (Number(text) > store.revision) throw versionTooLarge(Number(text), store.revision);
}

function remove(routes: Routes, request: ApiRequest, target: Target): JsonObject {
  let body: JsonObject = {};
  if (request.body !== "") {
    const parsed: unknown = JSON.parse(request.body);
    if (isObject(parsed)) body = parsed;
    const kind = stringAt(body, "kind");
    if (kind !== "" && kind !== "DeleteOptions") {
      throw badRequest(
        `no kind "${kind}" is registered for version "meta.k8s.io/v1" in scheme "pkg/runtime/scheme.go:111"`,
      );
    }
  }
  const { query } = request;
  const grace = query.get("gracePeriodSeconds") ?? body.gracePeriodSeconds;
  return deleteObject(routes.registry, routes.store, routes.ambient, target, {
    dryRun: writeOptions("delete", query, "").dryRun || (Array.isArray(body.dryRun) && body.dryRun.includes("All")),
    propagationPolicy: query.get("propagationPolicy") ?? stringAt(body, "propagationPolicy"),
    gracePeriodSeconds: grace === undefined || grace === null ? undefined : Number(grace),
    preconditions: objectAt(body, "preconditions"),
  });
}

function removeAll(routes: Routes, request: ApiRequest, resource: Resource, namespace: string): JsonObject {
  const selected = selectorOf(request.query);
  const found = routes.store.list(resource, namespace).filter(selected);
  for (const object of found) {
    const { name, namespace: its } = object.metadata;
    const target = { resource, namespace: typeof its === "string" ? its : "", name };
    remove(routes, { ...request, body: "" }, target);
  }
  return listOf(resource, { resourceVersion: String(routes.store.revision) }, found);
}
