import type { KubeObject } from "../../../src/targets/kubernetes/simulator.ts";
import { emptyWorld, replies, workload } from "../../../src/targets/kubernetes/simulator.ts";
import { startSimulatorBackend } from "../../support/simulator-backend.ts";
import { Mischiefs, readsOf, writesOf } from "../mischief.ts";
import type { StartSystem } from "../system.ts";

const CLUSTER = "chaos";
const NAMESPACE = "shop";
const SHARED = ["shared-0", "shared-1", "shared-2"];
const RESTARTED_AT = "kubectl.kubernetes.io/restartedAt";
const PREFIX = `clusters/${CLUSTER}/apps/v1/namespaces/${NAMESPACE}/deployments/`;

const REPLIES = {
  serverError: replies.jsonReply(503, { kind: "Status", apiVersion: "v1", status: "Failure", code: 503 }),
  throttled: replies.tooManyRequests(),
};

/** A cluster of Deployments: the annotation's value names a restart, and reading it tells. */
export const startKubernetes: StartSystem = async ({ random, calls }) => {
  const once = Array.from({ length: calls }, (_, index) => `once-${index}`);
  const objects = [...once, ...SHARED].map((name) => workload("apps/v1", "Deployment", name, { replicas: 1 }));
  const world = { ...emptyWorld, namespaces: [...emptyWorld.namespaces, NAMESPACE], objects };
  const backend = await startSimulatorBackend({ world });
  const { simulator } = backend;
  const generation = (target: string): number =>
    Number(simulator.get("apps", "deployments", NAMESPACE, nameOf(target))?.metadata.generation);
  const targets = [...once, ...SHARED].map(targetOf);
  const generations = new Map(targets.map((target) => [target, generation(target)]));
  const values = new Map<string, string[]>(targets.map((target) => [target, []]));
  const admit = (object: KubeObject, before: KubeObject | undefined): KubeObject => {
    const value = restartOf(object);
    if (before !== undefined && value !== undefined && value !== restartOf(before)) {
      values.get(targetOf(object.metadata.name))?.push(value);
    }
    return object;
  };
  const mischiefs = new Mischiefs({
    random,
    writes: writesOf(REPLIES),
    reads: readsOf(REPLIES),
    changes: ({ method }: { method: string }) => method === "PATCH",
  });
  for (const fault of mischiefs.faults) simulator.inject({ ...fault, admit });
  return {
    name: "kubernetes",
    targets,
    once: once.map((name) => [targetOf(name)]),
    shared: SHARED.map(targetOf),
    env: {},
    // What is restarted through several servers may have changed more than once since one of them saw it: then nothing shows it.
    canTell: (target) => !SHARED.includes(nameOf(target)),
    namesAll: true,
    faults: mischiefs.counts,
    get writes() {
      return mischiefs.writes;
    },
    get chaotic() {
      return mischiefs.chaotic;
    },
    set chaotic(chaotic) {
      mischiefs.chaotic = chaotic;
    },
    configure: (sections) => ({
      ...sections,
      kubernetes: { clusters: [{ name: CLUSTER, kubeconfig: backend.kubeconfig, context: "patcher" }] },
    }),
    ask: ([target = ""]) => ({
      procedure: "restart.kubernetes.v1.WorkloadService/Restart",
      body: {
        cluster: CLUSTER,
        group: "apps",
        version: "v1",
        resource: "deployments",
        namespace: NAMESPACE,
        name: nameOf(target),
      },
    }),
    applied: (target) => values.get(target)?.length ?? 0,
    handles: (target) => values.get(target) ?? [],
    miscounted: () =>
      targets.filter((target) => values.get(target)?.length !== generation(target) - (generations.get(target) ?? 0)),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
  };
};

const targetOf = (name: string): string => `${PREFIX}${name}`;

const nameOf = (target: string): string => target.slice(PREFIX.length);

function restartOf(object: KubeObject): string | undefined {
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  const { template } = object.spec as any;
  return template?.metadata?.annotations?.[RESTARTED_AT];
}
