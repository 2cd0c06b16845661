import type { WorkloadObject, WorkloadRef } from "../workload/object.ts";
import { createMemory } from "./memory.ts";
import type { Looked, SideList } from "./side-list.ts";

/**
 * Which Argo Rollout takes a Deployment's pod template (spec.workloadRef): a change of the template begins an update of that, by its
 * steps. Undefined for none, and where restartd may not list Rollouts.
 */
export type TemplateUser = (ref: WorkloadRef) => Promise<string | undefined>;

/** How long (ms) the Rollouts of a namespace are remembered. */
const REMEMBERED_MS = 10_000;

/** Namespaces that are remembered. */
const REMEMBERED = 1_000;

/** Makes a cluster's {@link TemplateUser}. `monotonic` is a clock in milliseconds that never goes back. */
export function createTemplateUser(list: SideList, monotonic: () => number): TemplateUser {
  const rollouts = createMemory<{ at: number; looked: Promise<Looked<WorkloadObject>> }>(REMEMBERED);
  const rolloutsOf = (namespace: string): Promise<Looked<WorkloadObject>> => {
    const last = rollouts.get(namespace);
    if (last !== undefined && monotonic() - last.at < REMEMBERED_MS) {
      return last.looked;
    }
    const looked = list<WorkloadObject>(`/apis/argoproj.io/v1alpha1/namespaces/${namespace}/rollouts`);
    rollouts.set(namespace, { at: monotonic(), looked });
    return looked;
  };
  return async ({ resource, namespace, name }) => {
    if (resource !== "deployments") {
      return undefined;
    }
    const looked = await rolloutsOf(namespace);
    if (!Array.isArray(looked)) {
      return undefined; // the restart goes on by what is known, as without that right
    }
    const user = looked.find(({ spec }) => spec?.workloadRef?.kind === "Deployment" && spec.workloadRef.name === name);
    return user?.metadata.name;
  };
}
