import { createClient } from "@connectrpc/connect";
import {
  type Cluster,
  ClusterSchema,
  type Rollout,
  Rollout_State,
  RolloutSchema,
  type Workload,
  WorkloadSchema,
} from "../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import {
  CommandMistake,
  everyPage,
  type Listing,
  type Narrowing,
  onlyOne,
  type RolloutStep,
  resourceName,
  type Session,
  type Subject,
  type TargetCommand,
  type Wanted,
} from "../../core/command.ts";

/** A kind, as the API server names it. */
interface Kind {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly resource: string;
}

interface WorkloadRef extends Kind {
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
}

/** The words of kubectl for what it restarts, and of Argo Rollouts. */
const KNOWN: readonly { readonly words: readonly string[]; readonly kind: Kind }[] = [
  {
    words: ["deployment", "deployments", "deploy"],
    kind: { group: "apps", version: "v1", resource: "deployments" },
  },
  {
    words: ["statefulset", "statefulsets", "sts"],
    kind: { group: "apps", version: "v1", resource: "statefulsets" },
  },
  { words: ["daemonset", "daemonsets", "ds"], kind: { group: "apps", version: "v1", resource: "daemonsets" } },
  {
    words: ["rollout", "rollouts", "ro"],
    kind: { group: "argoproj.io", version: "v1alpha1", resource: "rollouts" },
  },
];

/** Workloads a page. */
const PAGE = 500;

/** `v1`, `v2beta1`: what a version looks like. */
const VERSION = /^v\d+((alpha|beta)\d+)?$/;

/** The kind that a TYPE means; undefined for a word that stands for none. */
function kindOf(type: string): Kind | undefined {
  const word = type.toLowerCase();
  const [resource = "", version = "", ...group] = word.split(".");
  for (const { words, kind } of KNOWN) {
    if (!words.includes(resource)) continue;
    if ([resource, `${resource}.${kind.group}`, `${resource}.${kind.version}.${kind.group}`].includes(word))
      return kind;
  }
  if (resource === "" || !VERSION.test(version)) return undefined;
  return { group: group.join("."), version, resource };
}

/** kubectl's word for one of a kind: `deployment.apps`. */
const typeOf = ({ resource, group }: Kind): string => `${resource.replace(/s$/, "")}${group && `.${group}`}`;

const clientOf = ({ transport }: Session) => createClient(WorkloadService, transport);

const readClusters = (session: Session): Promise<Cluster[]> =>
  everyPage(
    (pageToken) => clientOf(session).listClusters({ pageToken }, session.reading),
    ({ clusters }) => clusters,
  );

const clusterOf = (session: Session): Promise<string> =>
  onlyOne("cluster", session.scope.cluster, async () => (await readClusters(session)).map(({ name }) => name));

function subjectOf(ref: WorkloadRef, session: Session): Subject {
  const { cluster, group, version, resource, namespace, name } = ref;
  const request = { cluster, group, version, resource, namespace, name };
  const client = clientOf(session);
  return {
    target: resourceName("clusters", cluster, group || "core", version, "namespaces", namespace, resource, name),
    label: `${typeOf(ref)}/${name}`,
    name,
    action: "restart",
    done: "restarted",
    async send({ acknowledged: _, ...wish }, options) {
      await client.restart({ ...request, ...wish }, options);
      return {};
    },
    async *rollout(restartedAt, options) {
      for await (const rollout of client.watchRollout({ ...request, restartedAt }, options)) yield stepOf(rollout);
    },
  };
}

const stepOf = (rollout: Rollout): RolloutStep => ({
  message: rollout.message,
  detail: rollout.detail,
  done: Math.min(rollout.updated, rollout.desired),
  of: rollout.desired,
  complete: rollout.state === Rollout_State.COMPLETE,
  schema: RolloutSchema,
  answer: rollout,
});

/** The kind of a TYPE that has been taken. */
function kind(type: string): Kind {
  const found = kindOf(type);
  if (found === undefined) throw new CommandMistake(`there is no type ${JSON.stringify(type)}`);
  return found;
}

function manner({ manner: given }: Pick<Wanted, "manner">): void {
  if (given !== undefined) throw new CommandMistake(`--${given} is for ${given === "soft" ? "dcs and " : ""}ddm alone`);
}

async function readWorkloads(
  kinds: readonly (Kind | undefined)[],
  selector: string,
  session: Session,
): Promise<{ readonly workloads: Workload[]; readonly unavailable: NonNullable<Listing["unavailable"]> }> {
  const cluster = await clusterOf(session);
  const { allNamespaces, namespace = "default" } = session.scope;
  const unavailable: NonNullable<Listing["unavailable"]>[number][] = [];
  const workloads: Workload[] = [];
  for (const each of kinds) {
    const request = {
      cluster,
      ...each,
      namespace: allNamespaces ? "" : namespace,
      labelSelector: selector,
      pageSize: PAGE,
    };
    const read = everyPage(
      async (pageToken) => {
        const page = await clientOf(session).listWorkloads({ ...request, pageToken }, session.reading);
        if (pageToken === "") unavailable.push(...page.unavailable);
        return page;
      },
      (page) => page.workloads,
    );
    workloads.push(...(await read));
  }
  return { workloads, unavailable };
}

/** When it was restarted; what is no time, as it stands. */
const timeOf = (restartedAt: string): string | Date =>
  /^\d{4}-\d\d-\d\dT/.test(restartedAt) && !Number.isNaN(Date.parse(restartedAt)) ? new Date(restartedAt) : restartedAt;

async function listWorkloads(kinds: readonly (Kind | undefined)[], narrowing: Narrowing, session: Session) {
  const { workloads, unavailable } = await readWorkloads(kinds, narrowing.selector, session);
  const { names } = narrowing;
  const chosen = names.length === 0 ? workloads : workloads.filter(({ name }) => names.includes(name));
  return {
    columns: ["NAMESPACE", "NAME", "READY", "STATE", "RESTARTED"],
    wideColumns: ["VERSION", "UID"],
    unavailable,
    rows: chosen.map((workload) => ({
      name: `${typeOf(workload)}/${workload.name}`,
      cells: [
        workload.namespace,
        `${typeOf(workload)}/${workload.name}`,
        `${workload.ready}/${workload.desired}`,
        workload.paused ? "paused" : "",
        timeOf(workload.restartedAt),
      ],
      wide: [workload.version, workload.uid],
      schema: WorkloadSchema,
      message: workload,
    })),
  };
}

/** Workloads: `deployment/web`, `clusters/{cluster}/{group}/{version}/namespaces/{namespace}/{resource}/{name}`. */
export const kubernetesCommand: TargetCommand = {
  service: WorkloadService,
  types: KNOWN.flatMap(({ words }) => words),
  selects: true,
  verbs: ["restart"],
  takes: (type) => kindOf(type) !== undefined,
  async find(wanted, session) {
    manner(wanted);
    const { type, names, selector } = wanted;
    const found = kind(type);
    if (names.length > 0) {
      if (session.scope.allNamespaces) {
        throw new CommandMistake("--all-namespaces needs -l or --all: a name is looked for in one namespace");
      }
      const cluster = await clusterOf(session);
      const namespace = session.scope.namespace ?? "default";
      return names.map((name) => subjectOf({ ...found, cluster, namespace, name }, session));
    }
    const cluster = await clusterOf(session);
    const { workloads } = await readWorkloads([found], selector, session);
    return workloads.map((workload) => subjectOf({ ...workload, cluster }, session));
  },
  named([clusters, cluster, group, version, namespaces, namespace, resource, name, ...more], wanted, session) {
    if (clusters !== "clusters" || namespaces !== "namespaces" || more.length > 0) return undefined;
    if (!cluster || !group || !version || !namespace || !resource || !name) return undefined;
    manner(wanted);
    return subjectOf({ cluster, group: group === "core" ? "" : group, version, namespace, resource, name }, session);
  },
  lists: [
    {
      words: ["clusters", "cluster"],
      async list({ names }, session) {
        const clusters = await readClusters(session);
        const chosen = clusters.filter(({ name }) => names.length === 0 || names.includes(name));
        return {
          columns: ["NAME", "REACHABLE", "VERSION"],
          wideColumns: [],
          rows: chosen.map((cluster) => ({
            name: `clusters/${cluster.name}`,
            cells: [cluster.name, cluster.reachable ? "yes" : "no", cluster.serverVersion],
            wide: [],
            schema: ClusterSchema,
            message: cluster,
          })),
        };
      },
    },
    {
      words: ["workloads", "workload"],
      list: (narrowing, session) => listWorkloads([undefined], narrowing, session),
    },
    {
      words: ["deployments", "statefulsets", "daemonsets", "rollouts"],
      takes: (word) => kindOf(word) !== undefined,
      list: (narrowing, session) => listWorkloads(narrowing.types.map(kind), narrowing, session),
    },
  ],
};
