import type { WorkloadObject } from "./object.ts";
import { told } from "./words.ts";

/** The parts of a pod that tell what keeps it from running. */
export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
    readonly ownerReferences?: readonly {
      readonly controller?: boolean;
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
    }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
}

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: object;
  readonly terminated?: { readonly reason?: string; readonly exitCode?: number };
}

/** What keeps a pod from running: the gravest has the lowest rank. */
interface PodProblem {
  readonly rank: number;
  readonly sentence: string;
}

/** What every container waits for on its way. */
const ON_ITS_WAY: ReadonlySet<string> = new Set(["ContainerCreating", "PodInitializing"]);

/** The first thing that keeps one of a workload's pods from running, with its name; of the gravest kind, of the newest pod. Empty for none. */
export function podProblem(workload: WorkloadObject, pods: readonly Pod[]): string {
  const found = pods
    .filter((pod) => belongsTo(workload, pod))
    .flatMap((pod) => {
      const problem = problemOf(pod);
      return problem === undefined ? [] : [{ pod, ...problem }];
    })
    .sort((left, right) => left.rank - right.rank || compareAge(left.pod, right.pod));
  const [first, ...others] = found;
  if (first === undefined) {
    return "";
  }
  const more = others.length === 0 ? "" : ` (and ${others.length} more of its pods do not run)`;
  return `pod ${first.pod.metadata.name}: ${first.sentence}${more}`;
}

/** Whether a pod is a workload's own. Selectors overlap now and then. The pods of a Deployment and of a Rollout belong to ReplicaSets that are named after it. */
export function belongsTo({ metadata: { name, uid } }: WorkloadObject, { metadata }: Pod): boolean {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  return owner?.uid === uid || (owner?.kind === "ReplicaSet" && owner.name.startsWith(`${name}-`));
}

/**
 * What a workload lacks that makes its pods itself: some of them, while all others are ready, so that nothing is waited for. Why its
 * controller does not make them it tells by events alone, where a Deployment has a condition. Empty where nothing is lacking.
 */
export function missingOf(workload: WorkloadObject, pods: readonly Pod[], desired: number): string {
  const own = pods.filter(({ metadata: { ownerReferences = [] } }) =>
    ownerReferences.some(({ controller, uid }) => controller && uid === workload.metadata.uid),
  );
  const isReady = ({ metadata, status }: Pod): boolean =>
    metadata.deletionTimestamp === undefined &&
    status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
  const missing = desired - own.length;
  return missing <= 0 || !own.every(isReady)
    ? ""
    : `${missing} of ${desired} pods ${missing === 1 ? "does" : "do"} not exist: where that stays so, something refuses them (a quota, an admission webhook), and the events of ${workload.metadata.name} say what`;
}

function compareAge({ metadata: left }: Pod, { metadata: right }: Pod): number {
  const [before, after] = [left.creationTimestamp ?? "", right.creationTimestamp ?? ""];
  return before === after ? (left.name < right.name ? -1 : 1) : before > after ? -1 : 1;
}

function problemOf({ metadata, status = {} }: Pod): PodProblem | undefined {
  if (metadata.deletionTimestamp !== undefined) {
    const held = metadata.finalizers ?? [];
    return held.length === 0 ? undefined : { rank: 3, sentence: `it does not end: finalizers ${held.join(", ")}` };
  }
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const [inContainer] = containers.flatMap((container) => containerProblem(container) ?? []);
  if (inContainer !== undefined && inContainer.rank === 1) {
    return inContainer;
  }
  const condition = (type: string) => status.conditions?.find((candidate) => candidate.type === type);
  const scheduled = condition("PodScheduled");
  if (scheduled?.status === "False") {
    return { rank: 1, sentence: words(scheduled.reason ?? "Unschedulable", scheduled.message) };
  }
  if (status.phase === "Failed" || status.reason !== undefined) {
    return { rank: 1, sentence: words(status.reason ?? "Failed", status.message) };
  }
  if (inContainer !== undefined) {
    return inContainer;
  }
  const ready = condition("Ready");
  return ready?.status === "False" && ready.reason === "ReadinessGatesNotReady"
    ? { rank: 2, sentence: words(ready.reason, ready.message) }
    : undefined;
}

/** What a container says about the end of another one, its own text, stays where it is: it can hold anything. */
function containerProblem({
  name,
  ready,
  restartCount = 0,
  state,
  lastState,
}: ContainerStatus): PodProblem | undefined {
  const { waiting, running, terminated } = state ?? {};
  const restarts = restartCount === 0 ? "" : `, restarted ${restartCount} times`;
  if (waiting?.reason !== undefined && !ON_ITS_WAY.has(waiting.reason)) {
    const ended = ending(lastState?.terminated);
    // The message of a back-off says how long it is, of an image which one it is.
    const message = waiting.reason === "CrashLoopBackOff" ? undefined : waiting.message;
    return { rank: 1, sentence: `container ${name}: ${words(waiting.reason, message)}${ended}${restarts}` };
  }
  if (terminated !== undefined && terminated.exitCode !== 0) {
    return { rank: 1, sentence: `container ${name} ended${ending(terminated)}${restarts}` };
  }
  if (running === undefined || ready !== false) {
    return undefined;
  }
  return restartCount > 0
    ? { rank: 1, sentence: `container ${name} is not ready${ending(lastState?.terminated)}${restarts}` }
    : { rank: 2, sentence: `container ${name} runs and is not ready` };
}

const ending = (terminated: { readonly reason?: string; readonly exitCode?: number } | undefined): string =>
  terminated === undefined ? "" : `, ${terminated.reason ?? "ended"} with exit code ${terminated.exitCode ?? 0}`;

const words = (reason: string, message: string | undefined): string =>
  message ? `${told(reason)}: ${told(message)}` : told(reason);
