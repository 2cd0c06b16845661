import type { ObjectSchema, Schema } from "./schema.ts";

const any = (...names: string[]): Record<string, Schema> => Object.fromEntries(names.map((name) => [name, "any"]));

const objectMeta: ObjectSchema = {
  fields: {
    name: "string",
    generateName: "string",
    namespace: "string",
    selfLink: "string",
    uid: "string",
    resourceVersion: "string",
    generation: "int",
    creationTimestamp: "string",
    deletionTimestamp: "string",
    deletionGracePeriodSeconds: "int*",
    labels: "strings",
    annotations: "strings",
    ownerReferences: { list: "any", keys: ["uid"] },
    finalizers: { list: "string" },
    managedFields: { list: "any" },
  },
};

const selector: Schema = {
  fields: { matchLabels: "strings", matchExpressions: { list: "any" } },
  pointer: true,
  atomic: true,
};

const container: ObjectSchema = {
  fields: {
    name: "string*",
    image: "string",
    command: { list: "string" },
    args: { list: "string" },
    workingDir: "string",
    ports: { list: "any", keys: ["containerPort"] },
    env: { list: "any", keys: ["name"] },
    terminationMessagePath: "string",
    terminationMessagePolicy: "string",
    imagePullPolicy: "string",
    restartPolicy: "string*",
    stdin: "bool",
    stdinOnce: "bool",
    tty: "bool",
    ...any("envFrom", "resources", "resizePolicy", "restartPolicyRules", "volumeMounts", "volumeDevices"),
    ...any("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "securityContext"),
  },
};

const podSpec: ObjectSchema = {
  pointer: true,
  fields: {
    volumes: { list: "any", keys: ["name"] },
    containers: { list: container, keys: ["name"] },
    initContainers: { list: container, keys: ["name"] },
    ephemeralContainers: { list: "any", keys: ["name"] },
    restartPolicy: "string",
    terminationGracePeriodSeconds: "int*",
    activeDeadlineSeconds: "int*",
    dnsPolicy: "string",
    nodeSelector: "strings",
    serviceAccountName: "string",
    serviceAccount: "string",
    automountServiceAccountToken: "bool*",
    nodeName: "string",
    hostNetwork: "bool",
    hostPID: "bool",
    hostIPC: "bool",
    hostUsers: "bool*",
    shareProcessNamespace: "bool*",
    hostname: "string",
    subdomain: "string",
    schedulerName: "string",
    priorityClassName: "string",
    priority: "int*",
    runtimeClassName: "string*",
    enableServiceLinks: "bool*",
    preemptionPolicy: "string*",
    setHostnameAsFQDN: "bool*",
    hostnameOverride: "string*",
    ...any("securityContext", "imagePullSecrets", "affinity", "tolerations", "hostAliases", "dnsConfig"),
    ...any("readinessGates", "overhead", "topologySpreadConstraints", "os", "schedulingGates", "resourceClaims"),
    ...any("resources", "schedulingGroup", "workloadRef"),
  },
};

const podTemplate: ObjectSchema = { pointer: true, fields: { metadata: objectMeta, spec: podSpec } };

const conditions: Schema = { list: "any", keys: ["type"] };

/** The whole schema of a kind: `spec`, `status` and further top-level fields beside `kind`, `apiVersion` and `metadata`. */
export function kindSchema(fields: Readonly<Record<string, Schema>>): ObjectSchema {
  return { fields: { kind: "string", apiVersion: "string", metadata: objectMeta, ...fields } };
}

function workload(spec: Record<string, Schema>, status: Record<string, Schema>): ObjectSchema {
  return kindSchema({
    spec: { pointer: true, fields: { selector, template: podTemplate, minReadySeconds: "int", ...spec } },
    status: { pointer: true, fields: { observedGeneration: "int", conditions, ...status } },
  });
}

const loose = (...names: string[]): ObjectSchema => kindSchema(any(...names));

const rolling: Schema = {
  pointer: true,
  fields: { maxUnavailable: "int-or-string", maxSurge: "int-or-string", partition: "int*" },
};

const jobFields: Record<string, Schema> = {
  parallelism: "int*",
  completions: "int*",
  activeDeadlineSeconds: "int*",
  backoffLimit: "int*",
  backoffLimitPerIndex: "int*",
  maxFailedIndexes: "int*",
  manualSelector: "bool*",
  ttlSecondsAfterFinished: "int*",
  completionMode: "string*",
  suspend: "bool*",
  podReplacementPolicy: "string*",
  managedBy: "string*",
  selector,
  template: podTemplate,
  ...any("podFailurePolicy", "successPolicy"),
};

/** Schemas of the built-in kinds, by kind. */
export const schemas: Readonly<Record<string, ObjectSchema>> = {
  Deployment: workload(
    {
      replicas: "int*",
      strategy: { pointer: true, fields: { type: "string", rollingUpdate: rolling } },
      revisionHistoryLimit: "int*",
      paused: "bool",
      progressDeadlineSeconds: "int*",
    },
    {
      replicas: "int",
      updatedReplicas: "int",
      readyReplicas: "int",
      availableReplicas: "int",
      unavailableReplicas: "int",
      terminatingReplicas: "int*",
      collisionCount: "int*",
    },
  ),
  StatefulSet: workload(
    {
      replicas: "int*",
      serviceName: "string",
      podManagementPolicy: "string",
      updateStrategy: { pointer: true, fields: { type: "string", rollingUpdate: rolling } },
      revisionHistoryLimit: "int*",
      ...any("volumeClaimTemplates", "persistentVolumeClaimRetentionPolicy", "ordinals"),
    },
    {
      replicas: "int!",
      readyReplicas: "int",
      currentReplicas: "int",
      updatedReplicas: "int",
      currentRevision: "string",
      updateRevision: "string",
      collisionCount: "int*",
      availableReplicas: "int!",
    },
  ),
  DaemonSet: workload(
    {
      updateStrategy: { pointer: true, fields: { type: "string", rollingUpdate: rolling } },
      revisionHistoryLimit: "int*",
    },
    {
      currentNumberScheduled: "int!",
      numberMisscheduled: "int!",
      desiredNumberScheduled: "int!",
      numberReady: "int!",
      updatedNumberScheduled: "int",
      numberAvailable: "int",
      numberUnavailable: "int",
      collisionCount: "int*",
    },
  ),
  ReplicaSet: workload(
    { replicas: "int*" },
    {
      replicas: "int!",
      fullyLabeledReplicas: "int",
      readyReplicas: "int",
      availableReplicas: "int",
      terminatingReplicas: "int*",
    },
  ),
  ReplicationController: kindSchema({
    spec: {
      pointer: true,
      fields: { replicas: "int*", minReadySeconds: "int", selector: "strings", template: podTemplate },
    },
    status: "any",
  }),
  ControllerRevision: kindSchema({ data: "any", revision: "int*" }),
  Job: kindSchema({ spec: { pointer: true, fields: jobFields }, status: "any" }),
  CronJob: kindSchema({
    spec: {
      pointer: true,
      fields: {
        schedule: "string*",
        timeZone: "string*",
        startingDeadlineSeconds: "int*",
        concurrencyPolicy: "string",
        suspend: "bool*",
        jobTemplate: { pointer: true, fields: { metadata: objectMeta, spec: { pointer: true, fields: jobFields } } },
        successfulJobsHistoryLimit: "int*",
        failedJobsHistoryLimit: "int*",
      },
    },
    status: "any",
  }),
  Pod: kindSchema({ spec: podSpec, status: "any" }),
  ConfigMap: kindSchema({ data: "strings", binaryData: "strings", immutable: "bool*" }),
  Secret: kindSchema({ data: "strings", stringData: "strings", type: "string", immutable: "bool*" }),
  Service: loose("spec", "status"),
  Namespace: loose("spec", "status"),
  Node: loose("spec", "status"),
  ServiceAccount: loose("secrets", "imagePullSecrets", "automountServiceAccountToken"),
  Event: loose(
    ...["involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type"],
    ...["eventTime", "series", "action", "related", "reportingComponent", "reportingInstance"],
  ),
  HorizontalPodAutoscaler: loose("spec", "status"),
  PodDisruptionBudget: loose("spec", "status"),
};

/** Argo Rollouts, as its CRD has it. */
export const rolloutSchema: ObjectSchema = kindSchema({
  spec: {
    fields: {
      replicas: "int",
      selector,
      template: podTemplate,
      minReadySeconds: "int",
      paused: "bool",
      progressDeadlineSeconds: "int",
      progressDeadlineAbort: "bool",
      restartAt: "string",
      revisionHistoryLimit: "int",
      ...any("strategy", "analysis", "rollbackWindow", "workloadRef"),
    },
  },
  status: "any",
});
