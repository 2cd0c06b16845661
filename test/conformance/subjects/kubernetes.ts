import { WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { kubernetes } from "../../../src/targets/kubernetes/index.ts";
import { mergePatch } from "../../../src/targets/kubernetes/simulator/merge-patch.ts";
import { emptyWorld, type Fault, type RecordedRequest, workload } from "../../../src/targets/kubernetes/simulator.ts";
import { startSimulatorBackend } from "../../support/simulator-backend.ts";
import type { Subject, Thing, WireFault, WireReply, World } from "../subject.ts";

const NAMESPACE = "shop";

/** Who we are there: what its work needs, and nothing more. */
const USER = "patcher";

/** A cluster whose rollouts take milliseconds. */
interface Cluster extends World {
  /** Makes a workload that is rolled out; answers the request that restarts it. */
  make(kind: string, spec?: object, annotations?: Record<string, string>): Thing["request"];
  /** Deletes a thing, and makes it anew. */
  replace(thing: Thing): void;
  /** Restarts a thing as somebody else would. */
  supersede(thing: Thing): void;
}

const PLURALS: Readonly<Record<string, string>> = {
  Deployment: "deployments",
  StatefulSet: "statefulsets",
  DaemonSet: "daemonsets",
};

async function start(): Promise<Cluster> {
  const world = { ...emptyWorld, namespaces: [...emptyWorld.namespaces, NAMESPACE] };
  const backend = await startSimulatorBackend({ world });
  const { simulator } = backend;
  let made = 0;
  const make: Cluster["make"] = (kind, spec = {}, annotations = {}) => {
    const name = `thing-${++made}`;
    simulator.create(workload("apps/v1", kind, name, { replicas: 1, ...spec }, annotations));
    simulator.settle();
    return { cluster: "here", group: "apps", version: "v1", resource: PLURALS[kind] ?? "", namespace: NAMESPACE, name };
  };
  const generation = ({ request }: Thing): number =>
    Number(simulator.get("apps", "deployments", NAMESPACE, String(request.name))?.metadata.generation);
  return {
    sections: {
      kubernetes: {
        clusters: [{ name: "here", source: { case: "kubeconfig", value: backend.kubeconfig }, context: USER }],
      },
    },
    secrets: [simulator.token(USER)],
    fresh() {
      const request = make("Deployment");
      return {
        target: `clusters/here/apps/v1/namespaces/${NAMESPACE}/deployments/${request.name}`,
        request,
        answer: {},
      };
    },
    renew: () => {},
    applied: (thing) => generation(thing) - 1,
    requests: () => simulator.requests.length,
    mutations: () => simulator.requests.filter(isWrite).length,
    inject: (which, fault) =>
      void simulator.inject({ ...faultOf(fault), when: which === "mutation" ? isWrite : isRead }),
    hold: () => simulator.controllers.pause(),
    release: () => simulator.controllers.resume(),
    vanish: () => simulator.stop(),
    make,
    replace: ({ request }) => void simulator.recreate("apps", "deployments", NAMESPACE, String(request.name)),
    supersede: ({ request }) =>
      void simulator.edit("apps", "deployments", NAMESPACE, String(request.name), (object) => {
        const annotations = { "kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z" };
        Object.assign(object, mergePatch(object, { spec: { template: { metadata: { annotations } } } }));
      }),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
}

/** A dry run persists nothing. */
const isWrite = ({ method, path }: RecordedRequest): boolean => method === "PATCH" && !path.includes("dryRun=");

const isRead = ({ method }: RecordedRequest): boolean => method === "GET";

const faultOf = ({ answer, ...fault }: WireFault): Fault => ({
  ...fault,
  ...(typeof answer === "function"
    ? { answer: (real) => answer({ ...real, headers: { "content-type": String(real.headers["content-type"]) } }) }
    : answer && { answer }),
});

const UNAUTHORIZED: WireReply = {
  status: 401,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", reason: "Unauthorized", code: 401 }),
};

/** Workloads of a cluster: what is written can be read again, so that every outcome comes to light. */
export const kubernetesSubject: Subject<Cluster> = {
  target: kubernetes,
  method: WorkloadService.method.restart,
  start,
  blocksUntil: "applied",
  permitsAtOnce: true,
  shows: { applied: true, notApplied: true },
  lostAnswer: "ok",
  credentialsRefused: { reply: UNAUTHORIZED, reason: "CLUSTER_CREDENTIALS_REJECTED" },
  unreachable: "CLUSTER_UNREACHABLE",
  guards: [
    { what: "a paused Deployment", reason: "PAUSED", request: ({ make }) => make("Deployment", { paused: true }) },
    {
      what: "a StatefulSet that waits for its pods to be deleted",
      reason: "UPDATE_STRATEGY_ON_DELETE",
      request: ({ make }) => make("StatefulSet", { updateStrategy: { type: "OnDelete" } }),
    },
    {
      what: "a Deployment that is not there",
      reason: "TARGET_NOT_FOUND",
      request: ({ fresh }) => ({ ...fresh().request, name: "nobody" }),
    },
    {
      what: "something that cannot be restarted",
      reason: "RESTART_NOT_SUPPORTED",
      request: ({ fresh }) => ({ ...fresh().request, group: "", resource: "configmaps" }),
    },
  ],
  endings: [
    { what: "made anew meanwhile", reason: "OBJECT_REPLACED", after: ({ replace }, thing) => replace(thing) },
    {
      what: "restarted by somebody else",
      reason: "ROLLOUT_SUPERSEDED",
      after: ({ supersede }, thing) => supersede(thing),
    },
  ],
  ids: {
    namespace: (namespace) => ({ namespace }),
    name: (name) => ({ name }),
    group: (group) => ({ group }),
    version: (version) => ({ version }),
    resource: (resource) => ({ resource }),
  },
  unconfigured: [
    { request: { cluster: "elsewhere" }, reason: "CLUSTER_NOT_FOUND" },
    { request: { cluster: "https://127.0.0.1:1/" }, reason: "CLUSTER_NOT_FOUND" },
  ],
  otherwise: { version: "v1beta1" },
};
