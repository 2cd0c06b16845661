import { WHAT } from "../../words.ts";
import type { Describe } from "../target.ts";
import { restartIntent, typeOf, type WorkloadRef } from "./actions.ts";
import { workloads } from "./client.ts";

/** Reads `clusters/{cluster}/{group}/{version}/namespaces/{namespace}/{resource}/{name}`. */
export function readRef(segments: readonly string[]): WorkloadRef | undefined {
  const [clusters, cluster, group, version, namespaces, namespace, resource, name, ...more] = segments;
  if (clusters !== "clusters" || namespaces !== "namespaces" || more.length > 0) return undefined;
  if (!cluster || !group || !version || !namespace || !resource || !name) return undefined;
  return { cluster, group: group === "core" ? "" : group, version, namespace, resource, name };
}

/** Resource name of a workload. */
export const nameOf = ({ cluster, group, version, namespace, resource, name }: WorkloadRef): string =>
  ["clusters", cluster, group || "core", version, "namespaces", namespace, resource, name]
    .map(encodeURIComponent)
    .join("/");

/** Workloads. */
export const describeWorkload: Describe = (segments) => {
  const ref = readRef(segments);
  return (
    ref && {
      short: `${typeOf(ref)} ${ref.namespace}/${ref.name}`,
      look: WHAT.lookKubernetes(ref.resource, ref.namespace, ref.name),
      rollout: {
        read: (signal) => workloads.getRollout(ref, { signal }),
        watch: (restartedAt, signal) => workloads.watchRollout({ ...ref, restartedAt }, { signal }),
      },
      again: () => ({ label: "Restart again…", intent: restartIntent(ref) }),
    }
  );
};
