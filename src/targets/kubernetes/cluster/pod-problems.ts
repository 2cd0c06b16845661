import { Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { Failure } from "../../../core/errors.ts";
import { desiredReplicas, type Kind } from "../workload/kinds.ts";
import { objectPath, type WorkloadObject, type WorkloadRef } from "../workload/object.ts";
import { belongsTo, missingOf, type Pod, podProblem } from "../workload/pods.ts";
import { formatSelector, type LabelSelector, selects } from "../workload/selector.ts";
import { NoRolloutError } from "../workload/status.ts";
import { inARow } from "../workload/words.ts";
import { createMemory } from "./memory.ts";
import type { Looked, SideList } from "./side-list.ts";

/** Finds out what the pods of a workload, and what guards them, say of why its rollout hangs. */
export interface PodProblems {
  /**
   * What is seen, in a sentence; empty where nothing is. Undefined where restartd may not look, or there is nothing to look at. Callers
   * at the same time share one look.
   *
   * @param maxAgeMs how old (ms) an earlier look may be. Default 0.
   */
  look(
    kind: Kind,
    ref: WorkloadRef,
    object: WorkloadObject,
    now: number,
    maxAgeMs?: number,
  ): Promise<string | undefined>;
}

/** The parts of a PodDisruptionBudget that tell whether a pod may be evicted. */
interface Budget {
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly selector?: LabelSelector | null };
  readonly status?: { readonly disruptionsAllowed?: number; readonly observedGeneration?: number };
}

/** Looks that are remembered. */
const REMEMBERED = 1_000;

/** States in which a rollout may hang. */
const UNDER_WAY: ReadonlySet<Rollout_State> = new Set<Rollout_State>([
  Rollout_State.PROGRESSING,
  Rollout_State.STALLED,
  Rollout_State.PAUSED,
]);

/** Makes a cluster's {@link PodProblems}. `monotonic` is a clock in milliseconds that never goes back. */
export function createPodProblems(list: SideList, monotonic: () => number): PodProblems {
  const looks = createMemory<{ at: number; done: boolean; result: Promise<string | undefined> }>(REMEMBERED);

  const find = async (kind: Kind, ref: WorkloadRef, object: WorkloadObject): Promise<string | undefined> => {
    const chosen = podsOf(object);
    const [pods, budgets] = await Promise.all([
      chosen === undefined
        ? ("denied" as const)
        : list<Pod>(`/api/v1/namespaces/${ref.namespace}/pods`, { labelSelector: chosen }),
      // Pods of the other kinds are deleted, not evicted: no budget holds that up.
      kind.mechanism === "spec.restartAt"
        ? list<Budget>(`/apis/policy/v1/namespaces/${ref.namespace}/poddisruptionbudgets`)
        : ("denied" as const),
    ]);
    if (pods === "denied" && budgets === "denied") {
      return undefined;
    }
    return inARow(
      tell(pods, "pods", (found) => podProblem(object, found) || lackOf(kind, object, found)),
      tell(budgets, "PodDisruptionBudgets", (found) => budgetOf(object, found, Array.isArray(pods) ? pods : [])),
    );
  };

  return {
    async look(kind, ref, object, now, maxAgeMs = 0) {
      if (!mayHang(kind, object, now)) {
        return undefined;
      }
      const key = objectPath(ref);
      const last = looks.get(key);
      if (last !== undefined && (!last.done || monotonic() - last.at < maxAgeMs)) {
        return last.result;
      }
      const look = { at: monotonic(), done: false, result: find(kind, ref, object) };
      looks.set(key, look);
      return look.result.finally(() => {
        look.done = true;
      });
    },
  };
}

/** Which of its pods are missing, of a kind that makes them itself. */
const lackOf = ({ resource }: Kind, object: WorkloadObject, pods: readonly Pod[]): string =>
  resource === "statefulsets" || resource === "daemonsets"
    ? missingOf(object, pods, object.status?.desiredNumberScheduled ?? desiredReplicas(object))
    : "";

/** Whether its rollout is under way, so that something may keep it from its end. */
function mayHang(kind: Kind, object: WorkloadObject, now: number): boolean {
  try {
    return UNDER_WAY.has(kind.status(object, now).state);
  } catch (error) {
    if (error instanceof NoRolloutError) {
      return false;
    }
    throw error;
  }
}

/** Which pods are a workload's own, as a list takes it. A Rollout that takes another's template says so in its status. */
function podsOf({ spec, status }: WorkloadObject): string | undefined {
  const selector = spec?.selector ? formatSelector(spec.selector) : status?.selector;
  return selector === "" ? undefined : selector;
}

function tell<Item>(looked: Looked<Item>, what: string, tellItems: (items: readonly Item[]) => string): string {
  if (looked === "denied") {
    return "";
  }
  return looked instanceof Failure ? `its ${what} could not be looked at (${looked.reason})` : tellItems(looked);
}

/** The budget that lets no pod of a workload be evicted. A Rollout that takes another's template has its labels on its pods alone. */
function budgetOf(object: WorkloadObject, budgets: readonly Budget[], pods: readonly Pod[]): string {
  const labels =
    object.spec?.template?.metadata?.labels ?? pods.find((pod) => belongsTo(object, pod))?.metadata.labels ?? {};
  const holding = budgets.find(
    ({ spec, status }) => spec?.selector && selects(spec.selector, labels) && status && !status.disruptionsAllowed,
  );
  return holding === undefined
    ? ""
    : `PodDisruptionBudget ${holding.metadata.name} lets no pod be evicted (disruptionsAllowed is 0)`;
}
