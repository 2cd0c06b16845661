import { isObject, type Json, type JsonObject, objectAt, stringAt } from "./json.ts";

/** Fills in what a real API server fills in. Changes `object`, which is the caller's own copy. */
export function setDefaults(kind: string, object: JsonObject): void {
  defaulters[kind]?.(object);
}

const defaulters: Readonly<Record<string, (object: JsonObject) => void>> = {
  Deployment: (object) => {
    const spec = ensure(object, "spec");
    defaults(spec, { replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 });
    podTemplate(spec);
    const strategy = ensure(spec, "strategy");
    defaults(strategy, { type: "RollingUpdate" });
    if (strategy.type === "RollingUpdate") {
      defaults(ensure(strategy, "rollingUpdate"), { maxUnavailable: "25%", maxSurge: "25%" });
    }
    defaults(object, { status: {} });
  },
  StatefulSet: (object) => {
    const spec = ensure(object, "spec");
    defaults(spec, {
      replicas: 1,
      podManagementPolicy: "OrderedReady",
      revisionHistoryLimit: 10,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
    });
    podTemplate(spec);
    // Only an omitted type brings the block with its partition: a type given without it stays without it.
    if (stringAt(spec, "updateStrategy", "type") === "") {
      const strategy = ensure(spec, "updateStrategy");
      strategy.type = "RollingUpdate";
      defaults(ensure(strategy, "rollingUpdate"), { partition: 0 });
    } else if (isObject(spec.updateStrategy) && isObject(spec.updateStrategy.rollingUpdate)) {
      defaults(spec.updateStrategy.rollingUpdate, { partition: 0 });
    }
    defaults(ensure(object, "status"), { replicas: 0, availableReplicas: 0 });
  },
  DaemonSet: (object) => {
    const spec = ensure(object, "spec");
    defaults(spec, { revisionHistoryLimit: 10 });
    podTemplate(spec);
    const strategy = ensure(spec, "updateStrategy");
    defaults(strategy, { type: "RollingUpdate" });
    if (strategy.type === "RollingUpdate") {
      defaults(ensure(strategy, "rollingUpdate"), { maxUnavailable: 1, maxSurge: 0 });
    }
    defaults(ensure(object, "status"), {
      currentNumberScheduled: 0,
      numberMisscheduled: 0,
      desiredNumberScheduled: 0,
      numberReady: 0,
    });
  },
  ReplicaSet: (object) => {
    const spec = ensure(object, "spec");
    defaults(spec, { replicas: 1 });
    podTemplate(spec);
    defaults(ensure(object, "status"), { replicas: 0 });
  },
  ReplicationController: (object) => {
    const spec = ensure(object, "spec");
    defaults(spec, { replicas: 1, selector: { ...objectAt(spec, "template", "metadata", "labels") } });
    podTemplate(spec);
    defaults(object, { status: { replicas: 0 } });
  },
  Job: (object) => {
    const spec = ensure(object, "spec");
    job(spec);
    const labels = { ...objectAt(object, "metadata", "labels") };
    const own = {
      "batch.kubernetes.io/controller-uid": stringAt(object, "metadata", "uid"),
      "batch.kubernetes.io/job-name": stringAt(object, "metadata", "name"),
    };
    if (spec.selector === undefined) {
      spec.selector = {
        matchLabels: { "batch.kubernetes.io/controller-uid": own["batch.kubernetes.io/controller-uid"] },
      };
      const meta = ensure(ensure(spec, "template"), "metadata");
      meta.labels = { ...objectAt(meta, "labels"), ...own };
      ensure(object, "metadata").labels = { ...labels, ...own };
    }
    defaults(object, { status: {} });
  },
  CronJob: (object) => {
    const spec = ensure(object, "spec");
    defaults(spec, {
      concurrencyPolicy: "Allow",
      suspend: false,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 1,
    });
    defaults(ensure(spec, "jobTemplate"), { metadata: {} });
    podTemplate(ensure(ensure(spec, "jobTemplate"), "spec"));
    defaults(object, { status: {} });
  },
  Pod: (object) => {
    podSpec(ensure(object, "spec"));
    defaults(ensure(object, "spec"), { enableServiceLinks: true });
    defaults(object, { status: { phase: "Pending", qosClass: "BestEffort" } });
  },
  Secret: (object) => defaults(object, { type: "Opaque" }),
  Service: (object) => {
    defaults(ensure(object, "spec"), { type: "ClusterIP", sessionAffinity: "None", internalTrafficPolicy: "Cluster" });
    defaults(object, { status: { loadBalancer: {} } });
  },
  Namespace: (object) => {
    defaults(ensure(object, "spec"), { finalizers: ["kubernetes"] });
    defaults(object, { status: { phase: "Active" } });
    const meta = ensure(object, "metadata");
    meta.labels = { ...objectAt(meta, "labels"), "kubernetes.io/metadata.name": stringAt(meta, "name") };
  },
};

function job(spec: JsonObject): void {
  defaults(spec, {
    backoffLimit: 6,
    completionMode: "NonIndexed",
    suspend: false,
    manualSelector: false,
    podReplacementPolicy: "TerminatingOrFailed",
    parallelism: 1,
  });
  if (spec.completions === undefined && spec.parallelism === 1) spec.completions = 1;
  podTemplate(spec);
}

function podTemplate(spec: JsonObject): void {
  const template = ensure(spec, "template");
  defaults(template, { metadata: {} });
  podSpec(ensure(template, "spec"));
}

function podSpec(spec: JsonObject): void {
  defaults(spec, {
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    securityContext: {},
    schedulerName: "default-scheduler",
  });
  for (const list of [spec.containers, spec.initContainers]) {
    if (!Array.isArray(list)) continue;
    for (const container of list) if (isObject(container)) containerDefaults(container);
  }
}

function containerDefaults(container: JsonObject): void {
  const image = stringAt(container, "image");
  const tag = /:([^/]+)$/.exec(image)?.[1];
  defaults(container, {
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    imagePullPolicy: tag === undefined || tag === "latest" ? "Always" : "IfNotPresent",
  });
}

function ensure(object: JsonObject, key: string): JsonObject {
  const found = object[key];
  if (isObject(found)) return found;
  const made: JsonObject = {};
  object[key] = made;
  return made;
}

function defaults(object: JsonObject, values: Record<string, Json>): void {
  for (const [key, value] of Object.entries(values)) {
    if (object[key] === undefined) object[key] = value;
  }
}
