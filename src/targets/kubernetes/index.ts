import { WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { vendorCounter } from "../../clouds/counted.ts";
import { Failure } from "../../core/errors.ts";
import type { Caller } from "../../core/identity.ts";
import { route } from "../../core/route.ts";
import type { RunningTarget, Runtime, Target } from "../../core/target.ts";
import { USER_AGENT } from "../../core/version.ts";
import { createRestartAction } from "./action.ts";
import { type Client, createClient, VENDOR_OPERATIONS } from "./client.ts";
import type { ConfiguredCluster, OpenCluster } from "./cluster/cluster.ts";
import { openCredentials } from "./cluster/credentials.ts";
import { createDiscovery } from "./cluster/discovery.ts";
import { createMemory } from "./cluster/memory.ts";
import { createPodProblems } from "./cluster/pod-problems.ts";
import { createServerClock } from "./cluster/server-clock.ts";
import { createShared } from "./cluster/shared.ts";
import { createSideList } from "./cluster/side-list.ts";
import { createTemplateUser } from "./cluster/template-users.ts";
import { createWatchHub } from "./cluster/watch.ts";
import { type ClusterSettings, type KubernetesSettings, readKubernetes } from "./config.ts";
import { actingAs, identify } from "./impersonate.ts";
import { createWorkloadService } from "./service.ts";
import type { WorkloadObject } from "./workload/object.ts";

/** Objects that are remembered per cluster, so that restarting one again needs no read: a few hundred bytes each. */
const KNOWN_OBJECTS = 10_000;

/** Callers for whom it is remembered what they were shown a moment ago. */
const CALLERS = 1_000;

/** Workloads of Kubernetes clusters: Deployments, StatefulSets, DaemonSets, Argo Rollouts. */
export const kubernetes: Target = {
  name: "kubernetes",
  services: [WorkloadService],
  read(sections, reader) {
    const settings = readKubernetes(sections, reader);
    return (runtime) => openKubernetes(settings, runtime);
  },
  async simulate(folder) {
    const { simulate } = await import("./simulator.ts");
    return simulate(folder);
  },
};

/** Serves the workloads of some clusters. */
export function openKubernetes({ fieldManager, clusters }: KubernetesSettings, runtime: Runtime): RunningTarget {
  const open = new Map(clusters.map((settings) => [settings.name, openCluster(settings, runtime)]));
  const restart = createRestartAction({ clusters: open, fieldManager, now: runtime.now, monotonic: runtime.monotonic });
  return {
    routes: [route(WorkloadService, createWorkloadService({ clusters: open, restart, runtime }))],
    actions: [restart],
    impersonates: (principal) =>
      [...open.values()].flatMap(({ name: cluster, identityOf }) => {
        const as = identityOf(principal);
        return as === undefined ? [] : [{ cluster, ...as }];
      }),
    vendor: { system: "kubernetes", names: [...open.keys()], operations: VENDOR_OPERATIONS },
    async warmUp() {
      await import("./cluster/transport.ts");
    },
    async [Symbol.asyncDispose]() {
      for (const { watches, client } of open.values()) {
        watches[Symbol.dispose]();
        await client[Symbol.asyncDispose]();
      }
    },
  };
}

function openCluster({ name, source, impersonation }: ClusterSettings, runtime: Runtime): ConfiguredCluster {
  const { monotonic, now, random, warn, meter } = runtime;
  const clock = createServerClock({ cluster: name, monotonic, now, warn });
  const credentials = openCredentials(source, {
    monotonic,
    now,
    tell: (sentence) => warn(`what is needed to reach the cluster cannot be used: ${sentence}`, { cluster: name }),
    expires: (at) => meter.credentialsExpire("kubernetes", name, at),
    actsAsCallers: impersonation !== undefined,
  });
  const client = createClient(credentials, USER_AGENT, clock, vendorCounter(runtime, "kubernetes", name));
  const seenBy = (reader: Client) => {
    const sideList = createSideList(name, reader, monotonic);
    return {
      client: reader,
      podProblems: createPodProblems(sideList, monotonic),
      templateUser: createTemplateUser(sideList, monotonic),
      reads: createShared<WorkloadObject>(),
    };
  };
  const own: OpenCluster = {
    name,
    clock,
    discovery: createDiscovery(name, client, monotonic),
    watches: createWatchHub(name, client, { random }),
    known: createMemory(KNOWN_OBJECTS),
    ...seenBy(client),
  };
  const callers = createMemory<OpenCluster>(CALLERS);
  const forCaller = ({ call, principal }: Caller): OpenCluster => {
    if (impersonation === undefined) return own;
    const as = identify(name, impersonation, principal, call.authorization);
    const key = JSON.stringify(as);
    const known = callers.get(key);
    if (known !== undefined) return known;
    const made = { ...own, ...seenBy(actingAs(client, as)) };
    callers.set(key, made);
    return made;
  };
  return {
    ...own,
    forCaller,
    identityOf(principal) {
      if (impersonation === undefined) return undefined;
      try {
        return identify(name, impersonation, principal);
      } catch (error) {
        if (error instanceof Failure) return undefined;
        throw error;
      }
    },
  };
}
