import type { Intent } from "../../api/intention.ts";
import { count, W, WHAT } from "../../words.ts";
import { workloads } from "./client.ts";

/** Names one workload of one cluster. */
export interface WorkloadRef {
  readonly cluster: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** kubectl's word for one of a kind: `deployment.apps`. */
export const typeOf = ({ resource, group }: Pick<WorkloadRef, "resource" | "group">): string =>
  `${resource.replace(/s$/, "")}${group && `.${group}`}`;

/**
 * A restart of a workload.
 *
 * @param desired how many pods it has; undefined while that is not known.
 */
export function restartIntent(ref: WorkloadRef, desired?: number): Intent {
  return {
    verb: "Restart",
    doing: "Restarting…",
    subject: ref.name,
    title: `Restart ${typeOf(ref)} ${ref.namespace}/${ref.name}`,
    what: ref.group === "argoproj.io" ? WHAT.argo : WHAT.rolling,
    scope: desired === undefined ? [] : [count(desired, "pod")],
    checked: W.check.kubernetes,
    async send({ acknowledged: _, ...ask }, options) {
      const { cluster, group, version, resource, namespace, name } = ref;
      await workloads.restart({ cluster, group, version, resource, namespace, name, ...ask }, options);
      return {};
    },
  };
}
