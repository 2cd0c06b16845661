import type { WorkloadObject } from "./object.ts";
import { inARow, told } from "./words.ts";

/** Why Argo's controller does nothing for a Rollout, in its words, or undefined where its spec is valid. */
export function invalidSpec({ status }: WorkloadObject): string | undefined {
  const found = status?.conditions?.find(({ type }) => type === "InvalidSpec");
  return found?.status === "True" ? told(`InvalidSpec: ${found.message ?? ""}`) : undefined;
}

/**
 * Whether a Rollout does not get on by itself. One whose update was aborted is Degraded too, and its controller restarts its pods all
 * the same (argo-rollouts rollout/canary.go).
 */
export const isDegraded = (object: WorkloadObject): boolean =>
  invalidSpec(object) !== undefined || (object.status?.phase === "Degraded" && object.status.abort !== true);

/**
 * What a Rollout and its controller say of how it goes.
 *
 * @param restarting whether its restart is under way.
 */
export function rolloutWords(object: WorkloadObject, restarting: boolean): string {
  const { phase = "", message = "" } = object.status ?? {};
  const isWell = phase === "" || phase === "Healthy";
  const problem = isWell ? invalidSpec(object) : told(message === "" ? phase : `${phase}: ${message}`);
  return inARow(problem, restarting && !isDegraded(object) ? evictsNone(object) : undefined);
}

/** Argo evicts a pod only where enough others are available (argo-rollouts rollout/restart.go); another one's crash stops it for good. */
function evictsNone({ spec, status }: WorkloadObject): string | undefined {
  const desired = spec?.replicas ?? 1;
  const available = status?.availableReplicas ?? 0;
  const spare = available - (desired - Math.max(1, mayBeMissing(spec?.strategy?.canary?.maxUnavailable, desired)));
  return spare > 0
    ? undefined
    : `Argo Rollouts evicts no pod while ${available} of ${desired} ${desired === 1 ? "is" : "are"} available`;
}

/** How many pods may be missing: of a canary, a number or a share (25% where it is left out), rounded down. */
function mayBeMissing(maxUnavailable: number | string | undefined, desired: number): number {
  const [, share] = /^(\d{1,3})%$/.exec(String(maxUnavailable ?? "25%")) ?? [];
  return share === undefined ? Number(maxUnavailable) || 0 : Math.floor((Number(share) * desired) / 100);
}
