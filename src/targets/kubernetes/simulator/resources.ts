import type { JsonObject } from "./json.ts";
import type { ObjectSchema, Schema } from "./schema.ts";
import { kindSchema, rolloutSchema, schemas } from "./schemas.ts";

/** A resource that the server serves. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** `scale`, `status`. */
  readonly subresources: readonly string[];
  /** Custom resources refuse strategic merge patches, keep empty values and name their kind in lists. */
  readonly custom: boolean;
  /** Known fields; undefined keeps everything (`x-kubernetes-preserve-unknown-fields`). */
  readonly schema: ObjectSchema | undefined;
}

/** A custom resource to serve beside the built-in kinds and Argo's rollouts. */
export interface CustomResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  /** Default true. */
  readonly namespaced?: boolean;
  /** Default true: fields outside `specFields` are dropped. False keeps everything. */
  readonly pruning?: boolean;
  /** Known fields of `spec`. Default none. */
  readonly specFields?: Readonly<Record<string, Schema>>;
  /** Default `["status"]`. */
  readonly subresources?: readonly string[];
  /** Default all that a custom resource has. */
  readonly verbs?: readonly string[];
}

const everything = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const customVerbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

interface Row {
  readonly short?: string;
  readonly all?: true;
  readonly sub?: readonly string[];
  readonly cluster?: true;
  readonly verbs?: readonly string[];
  readonly singular?: string;
}

function builtIn(groupVersion: string, rows: Record<string, Row & { readonly kind: string }>): Resource[] {
  const [group, version] = groupVersion.includes("/") ? groupVersion.split("/") : ["", groupVersion];
  return Object.entries(rows).map(([plural, row]) => ({
    group: group ?? "",
    version: version ?? "",
    plural,
    singular: row.singular ?? row.kind.toLowerCase(),
    kind: row.kind,
    namespaced: row.cluster !== true,
    verbs: row.verbs ?? everything,
    shortNames: row.short === undefined ? [] : [row.short],
    categories: row.all === true ? ["all"] : [],
    subresources: row.sub ?? [],
    custom: false,
    schema: schemas[row.kind],
  }));
}

/** The built-in resources, in the order of discovery. */
export const builtInResources: readonly Resource[] = [
  ...builtIn("v1", {
    bindings: { kind: "Binding", verbs: ["create"] },
    componentstatuses: {
      kind: "ComponentStatus",
      cluster: true,
      verbs: ["get", "list"],
      short: "cs",
      singular: "componentstatus",
    },
    configmaps: { kind: "ConfigMap", short: "cm" },
    endpoints: { kind: "Endpoints", short: "ep" },
    events: { kind: "Event", short: "ev" },
    namespaces: {
      kind: "Namespace",
      short: "ns",
      cluster: true,
      sub: ["status"],
      verbs: everything.filter((verb) => verb !== "deletecollection"),
    },
    nodes: { kind: "Node", short: "no", cluster: true, sub: ["status"] },
    persistentvolumeclaims: { kind: "PersistentVolumeClaim", short: "pvc", sub: ["status"] },
    pods: { kind: "Pod", short: "po", all: true, sub: ["status"] },
    podtemplates: { kind: "PodTemplate" },
    replicationcontrollers: { kind: "ReplicationController", short: "rc", all: true, sub: ["scale", "status"] },
    secrets: { kind: "Secret" },
    serviceaccounts: { kind: "ServiceAccount", short: "sa" },
    services: { kind: "Service", short: "svc", all: true, sub: ["status"] },
  }),
  ...builtIn("apps/v1", {
    controllerrevisions: { kind: "ControllerRevision" },
    daemonsets: { kind: "DaemonSet", short: "ds", all: true, sub: ["status"] },
    deployments: { kind: "Deployment", short: "deploy", all: true, sub: ["scale", "status"] },
    replicasets: { kind: "ReplicaSet", short: "rs", all: true, sub: ["scale", "status"] },
    statefulsets: { kind: "StatefulSet", short: "sts", all: true, sub: ["scale", "status"] },
  }),
  ...builtIn("autoscaling/v2", {
    horizontalpodautoscalers: { kind: "HorizontalPodAutoscaler", short: "hpa", all: true, sub: ["status"] },
  }),
  ...builtIn("batch/v1", {
    cronjobs: { kind: "CronJob", short: "cj", all: true, sub: ["status"] },
    jobs: { kind: "Job", all: true, sub: ["status"] },
  }),
  ...builtIn("policy/v1", {
    poddisruptionbudgets: { kind: "PodDisruptionBudget", short: "pdb", sub: ["status"] },
  }),
];

/** `argoproj.io/v1alpha1` rollouts. */
export const rolloutResource: Resource = {
  group: "argoproj.io",
  version: "v1alpha1",
  plural: "rollouts",
  singular: "rollout",
  kind: "Rollout",
  namespaced: true,
  verbs: customVerbs,
  shortNames: ["ro"],
  categories: [],
  subresources: ["scale", "status"],
  custom: true,
  schema: rolloutSchema,
};

/** The resource that a {@link CustomResource} describes. */
export function customResource(option: CustomResource): Resource {
  return {
    group: option.group,
    version: option.version,
    plural: option.plural,
    singular: option.kind.toLowerCase(),
    kind: option.kind,
    namespaced: option.namespaced ?? true,
    verbs: option.verbs ?? customVerbs,
    shortNames: [],
    categories: [],
    subresources: option.subresources ?? ["status"],
    custom: true,
    schema:
      option.pruning === false
        ? undefined
        : kindSchema({ spec: { fields: option.specFields ?? {} }, status: { fields: {} } }),
  };
}

/** `apps/v1`, or `v1` in the core group. */
export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

function entries(resource: Resource): JsonObject[] {
  const main: JsonObject = {
    name: resource.plural,
    singularName: resource.singular,
    namespaced: resource.namespaced,
    kind: resource.kind,
    verbs: [...resource.verbs],
  };
  if (resource.shortNames.length > 0) main.shortNames = [...resource.shortNames];
  if (resource.categories.length > 0) main.categories = [...resource.categories];
  const subresources = resource.subresources.map((sub) => ({
    name: `${resource.plural}/${sub}`,
    singularName: "",
    namespaced: resource.namespaced,
    ...(sub === "scale" ? { group: "autoscaling", version: "v1", kind: "Scale" } : { kind: resource.kind }),
    verbs: ["get", "patch", "update"],
  }));
  return [main, ...subresources];
}

/** All resources of one server, and the discovery documents made from them. */
export class ResourceTable {
  readonly #resources: Resource[];
  /** Where discovery says that the server is. */
  address = "";

  constructor(resources: readonly Resource[]) {
    this.#resources = [...resources];
  }

  /** Every resource. */
  all(): readonly Resource[] {
    return this.#resources;
  }

  /** Adds a resource: discovery shows it from now on. */
  add(resource: Resource): void {
    this.#resources.push(resource);
  }

  /** Removes a resource, as deleting its CustomResourceDefinition does. */
  remove(group: string, plural: string): void {
    const index = this.#resources.findIndex((item) => item.group === group && item.plural === plural);
    if (index >= 0) this.#resources.splice(index, 1);
  }

  /** The resource with these names, if it is served. */
  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#resources.find((item) => item.group === group && item.version === version && item.plural === plural);
  }

  /** Whether the group is served in any version. */
  hasGroup(group: string): boolean {
    return this.#resources.some((item) => item.group === group);
  }

  /** Whether everything in the group is a custom resource: unknown paths there are plain-text 404s. */
  isCustomGroup(group: string): boolean {
    return this.#resources.every((item) => item.group !== group || item.custom);
  }

  /** `GET /api` */
  coreVersions(): JsonObject {
    return {
      kind: "APIVersions",
      versions: ["v1"],
      serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: this.address }],
    };
  }

  /** `GET /apis` */
  groups(): JsonObject {
    const names = [...new Set(this.#resources.map((item) => item.group))].filter((name) => name !== "");
    return { kind: "APIGroupList", apiVersion: "v1", groups: names.map((name) => this.#groupEntry(name)) };
  }

  /** `GET /apis/{group}` */
  group(name: string): JsonObject | undefined {
    if (name === "" || !this.hasGroup(name)) return undefined;
    return { kind: "APIGroup", apiVersion: "v1", ...this.#groupEntry(name) };
  }

  /** `GET /apis/{group}/{version}` or `GET /api/{version}` */
  list(group: string, version: string): JsonObject | undefined {
    const found = this.#resources.filter((item) => item.group === group && item.version === version);
    if (found.length === 0) return undefined;
    return {
      kind: "APIResourceList",
      ...(group === "" ? {} : { apiVersion: "v1" }),
      groupVersion: apiVersionOf({ group, version }),
      resources: found.flatMap(entries),
    };
  }

  #groupEntry(name: string): JsonObject {
    const versions = [...new Set(this.#resources.filter((item) => item.group === name).map((item) => item.version))];
    const served = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
    return { name, versions: served, preferredVersion: served[0] ?? null };
  }
}
