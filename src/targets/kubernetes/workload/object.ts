import type { LabelSelector } from "./selector.ts";

/**
 * The parts of a workload that this target reads. Everything else in an object is left alone: objects are never written back, only
 * patched. Numbers and booleans that are zero are absent from what an API server sends.
 */
export interface WorkloadObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly {
      readonly controller?: boolean;
      readonly kind: string;
      readonly name: string;
    }[];
    readonly managedFields?: readonly {
      readonly manager?: string;
      readonly operation?: string;
      readonly subresource?: string;
    }[];
  };
  readonly spec?: {
    readonly replicas?: number;
    readonly paused?: boolean;
    /** Deployments. */
    readonly strategy?: {
      readonly type?: string;
      /** Argo Rollouts. */
      readonly canary?: { readonly maxUnavailable?: number | string } | null;
    };
    /** StatefulSets and DaemonSets. */
    readonly updateStrategy?: {
      readonly type?: string;
      readonly rollingUpdate?: { readonly partition?: number };
    };
    readonly minReadySeconds?: number;
    readonly selector?: LabelSelector | null;
    readonly template?: {
      readonly metadata?: {
        readonly labels?: Readonly<Record<string, string>>;
        readonly annotations?: Readonly<Record<string, string>>;
      };
    };
    /** Argo Rollouts. */
    readonly restartAt?: string | null;
    /** Argo Rollouts: the workload whose pod template it takes. */
    readonly workloadRef?: { readonly apiVersion?: string; readonly kind?: string; readonly name?: string } | null;
  };
  readonly status?: WorkloadStatus;
}

/** What controllers report. Each kind fills its own part. */
export interface WorkloadStatus {
  /** A number; Argo Rollouts write it as a string. */
  readonly observedGeneration?: number | string;
  readonly replicas?: number;
  readonly updatedReplicas?: number;
  readonly readyReplicas?: number;
  readonly availableReplicas?: number;
  readonly currentReplicas?: number;
  readonly currentRevision?: string;
  readonly updateRevision?: string;
  readonly desiredNumberScheduled?: number;
  readonly updatedNumberScheduled?: number;
  readonly numberReady?: number;
  readonly numberAvailable?: number;
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason?: string;
    readonly message?: string;
  }[];
  /** Deployments: old pods that have not ended. */
  readonly terminatingReplicas?: number;
  /** Argo Rollouts: the spec.restartAt that its controller is done with. */
  readonly restartedAt?: string;
  /** Argo Rollouts: Healthy, Progressing, Paused, Degraded. */
  readonly phase?: string;
  /** Argo Rollouts: why. */
  readonly message?: string;
  /** Argo Rollouts: whether its update was aborted. */
  readonly abort?: boolean;
  /** Argo Rollouts: which pods are its own, as a list takes it. */
  readonly selector?: string;
}

/** Takes a parsed body as a workload, or answers undefined when it is something else: a Status, a list, not an object at all. */
export function asWorkload(body: unknown): WorkloadObject | undefined {
  const candidate = body as Partial<WorkloadObject> | null | undefined;
  const metadata = candidate?.metadata as Partial<WorkloadObject["metadata"]> | undefined;
  const isWorkload =
    typeof metadata?.name === "string" &&
    typeof metadata.uid === "string" &&
    typeof metadata.resourceVersion === "string";
  return isWorkload ? (candidate as WorkloadObject) : undefined;
}

/** Names one workload of one cluster, as requests do. */
export interface WorkloadRef {
  readonly cluster: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** Plural. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Fields 1 to 6, which every request about one workload has. */
export const toRef = ({ cluster, group, version, resource, namespace, name }: WorkloadRef): WorkloadRef => ({
  cluster,
  group,
  version,
  resource,
  namespace,
  name,
});

/** Resource name of a workload, for people and programs: in errors, in the log and in operations. */
export function targetName({ cluster, group, version, resource, namespace, name }: WorkloadRef): string {
  const segments = ["clusters", cluster, group || "core", version, "namespaces", namespace, resource, name];
  return segments.map(encodeURIComponent).join("/");
}

/** `deployments.apps/shop/web`: how a PreconditionFailure names a workload. */
export const subjectOf = ({ group, resource, namespace, name }: WorkloadRef): string =>
  `${resource}${group && `.${group}`}/${namespace}/${name}`;

/** Path of an API group's version on an API server. */
export const apiPath = (group: string, version: string): string =>
  group === "" ? `/api/${version}` : `/apis/${group}/${version}`;

/** Path of a workload on its API server. Every segment has passed the request's rules, which admit nothing that could change it. */
export const objectPath = ({ group, version, resource, namespace, name }: WorkloadRef): string =>
  `${apiPath(group, version)}/namespaces/${namespace}/${resource}/${name}`;
