/** What a path and a method ask for, before anything is looked up: the base of authorisation and routing. */
export type RequestInfo =
  | {
      readonly kind: "resource";
      /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`. */
      readonly verb: string;
      readonly group: string;
      readonly version: string;
      /** Empty at the cluster scope. */
      readonly namespace: string;
      readonly plural: string;
      /** Empty for a collection. */
      readonly name: string;
      /** Empty for the object itself. */
      readonly subresource: string;
      /** Segments that belong to nothing. */
      readonly rest: readonly string[];
    }
  | { readonly kind: "path"; readonly verb: string; readonly path: string };

const verbs: Readonly<Record<string, string>> = {
  GET: "get",
  HEAD: "get",
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/**
 * Reads a request as the API server does: `%2F` is decoded before the path is split, so an encoded slash in a name makes a
 * subresource; a namespace itself is asked for inside itself.
 */
export function requestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const verb = verbs[method] ?? method.toLowerCase();
  const decoded = decodePath(path);
  const segments = decoded.split("/").filter((segment) => segment !== "");
  const [root, ...others] = segments;
  const core = root === "api";
  const prefix = core ? 1 : 2;
  if ((!core && root !== "apis") || others.length <= prefix) return { kind: "path", verb, path: decoded };
  const group = core ? "" : (others[0] ?? "");
  const version = others[prefix - 1] ?? "";
  let parts = others.slice(prefix);
  const deprecatedWatch = parts[0] === "watch";
  if (deprecatedWatch) parts = parts.slice(1);
  let namespace = "";
  if (parts[0] === "namespaces" && parts.length > 1) {
    namespace = parts[1] ?? "";
    // `namespaces/x` and its own subresources are the namespace itself; anything longer is inside it.
    if (parts.length > 2 && parts[2] !== "status" && parts[2] !== "finalize") parts = parts.slice(2);
  }
  const [plural = "", name = "", subresource = "", ...rest] = parts;
  return {
    kind: "resource",
    verb: refine(verb, name, query, deprecatedWatch),
    group,
    version,
    namespace,
    plural,
    name,
    subresource,
    rest,
  };
}

function refine(verb: string, name: string, query: URLSearchParams, deprecatedWatch: boolean): string {
  if (deprecatedWatch) return "watch";
  if (name !== "") return verb;
  if (verb === "delete") return "deletecollection";
  if (verb !== "get") return verb;
  const watch = query.get("watch");
  return watch === null || watch === "0" || watch === "false" ? "list" : "watch";
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // a malformed escape stays as it is and matches nothing
  }
}
