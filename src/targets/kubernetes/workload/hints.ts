import { type Detail, Failure, help, preconditionFailure } from "../../../core/errors.ts";
import { KINDS } from "./kinds.ts";
import { subjectOf, type WorkloadRef } from "./object.ts";

/** The right way to restart something that this service does not restart (contracts: kubernetes §3). */
interface Hint {
  /** `resource.group`, or a bare resource of the core group. */
  readonly resource: string;
  readonly way: string;
  readonly url: string;
}

const DOCS = "https://kubernetes.io/docs";

const HINTS: readonly Hint[] = [
  {
    resource: "pods",
    way: "delete or evict the pod, and its controller makes a new one",
    url: `${DOCS}/concepts/scheduling-eviction/api-eviction/`,
  },
  {
    resource: "jobs.batch",
    way: "delete the Job and create it again: its template cannot change",
    url: `${DOCS}/concepts/workloads/controllers/job/`,
  },
  {
    resource: "cronjobs.batch",
    way: "create a Job from it now: kubectl create job --from=cronjob/NAME",
    url: `${DOCS}/concepts/workloads/controllers/cron-jobs/`,
  },
  {
    resource: "replicasets.apps",
    way: "restart the Deployment that owns it (see its ownerReferences)",
    url: `${DOCS}/concepts/workloads/controllers/replicaset/`,
  },
  {
    resource: "replicationcontrollers",
    way: "delete its pods, and it makes new ones",
    url: `${DOCS}/concepts/workloads/controllers/replicationcontroller/`,
  },
  {
    resource: "configmaps",
    way: "restart the workloads that read it",
    url: `${DOCS}/concepts/configuration/configmap/`,
  },
  { resource: "secrets", way: "restart the workloads that read it", url: `${DOCS}/concepts/configuration/secret/` },
  {
    resource: "clonesets.apps.kruise.io",
    way: "kubectl-kruise rollout restart",
    url: "https://openkruise.io/docs/user-manuals/cloneset",
  },
  {
    resource: "deploymentconfigs.apps.openshift.io",
    way: "oc rollout latest, which instantiates it",
    url: "https://docs.openshift.com/container-platform/latest/applications/deployments/managing-deployment-processes.html",
  },
  {
    resource: "strimzipodsets.core.strimzi.io",
    way: "annotate it with strimzi.io/manual-rolling-update=true",
    url: "https://strimzi.io/docs/operators/latest/deploying",
  },
  {
    resource: "clusters.postgresql.cnpg.io",
    way: "kubectl cnpg restart",
    url: "https://cloudnative-pg.io/documentation/current/kubectl-plugin/",
  },
  {
    resource: "elasticsearches.elasticsearch.k8s.elastic.co",
    way: "annotate it with eck.k8s.elastic.co/restart-trigger",
    url: "https://www.elastic.co/docs/deploy-manage/deploy/cloud-on-k8s",
  },
  {
    resource: "virtualmachines.kubevirt.io",
    way: "virtctl restart, which uses its restart subresource",
    url: "https://kubevirt.io/user-guide/user_workloads/lifecycle/",
  },
  {
    resource: "cassandradatacenters.cassandra.datastax.com",
    way: "create a CassandraTask with the command restart",
    url: "https://docs.k8ssandra.io/tasks/",
  },
  {
    resource: "scyllaclusters.scylla.scylladb.com",
    way: "set spec.forceRedeploymentReason to a new text",
    url: "https://operator.docs.scylladb.com/stable/",
  },
  {
    resource: "postgresclusters.postgres-operator.crunchydata.com",
    way: "change spec.metadata.annotations.restarted",
    url: "https://access.crunchydata.com/documentation/postgres-operator/latest/",
  },
  {
    resource: "services.serving.knative.dev",
    way: "make a new revision by changing its template",
    url: "https://knative.dev/docs/serving/revisions/",
  },
  {
    resource: "machinedeployments.cluster.x-k8s.io",
    way: "clusterctl alpha rollout restart",
    url: "https://cluster-api.sigs.k8s.io/clusterctl/commands/alpha-rollout",
  },
];

const RESTARTABLE = KINDS.filter(({ listedVersion }) => listedVersion !== undefined).map(
  ({ resource, group }) => `${resource}.${group}`,
);

/** Refuses a kind that is not restarted here, with the right way for the well-known ones. Nothing is sent. */
export function notSupported(ref: WorkloadRef): Failure {
  const name = `${ref.resource}${ref.group && `.${ref.group}`}`;
  const hint = HINTS.find(({ resource }) => resource === name);
  // The first half is kubectl's.
  const description = `${name} "${ref.name}" restarting is not supported${hint ? `; ${hint.way}` : `; what can be restarted: ${RESTARTABLE.join(", ")}`}`;
  const details: Detail[] = [
    preconditionFailure([{ type: "RESTART_NOT_SUPPORTED", subject: subjectOf(ref), description }]),
  ];
  return new Failure("RESTART_NOT_SUPPORTED", description, {
    metadata: { cluster: ref.cluster, group: ref.group, resource: ref.resource, supported: RESTARTABLE.join(",") },
    details: hint === undefined ? details : [...details, help(hint.way, hint.url)],
  });
}
