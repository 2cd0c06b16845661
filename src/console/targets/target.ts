import type { ComponentType } from "preact";
import type { Rollout } from "../../../gen/restart/kubernetes/v1/workload_pb.ts";
import type { Intent } from "../api/intention.ts";

/** What a resource name stands for. */
export interface Described {
  /** In short, for a cell or a title: `deployment.apps shop/web`. */
  readonly short: string;
  /** How somebody finds out what happened to it. */
  readonly look: string;
  /** Shows how far a restart has come, where more is to be seen than words. */
  readonly rollout?: RolloutSource;
  /** Does the same again; undefined where nobody can know from the operation alone what that is. */
  again?(action: string): Again | undefined;
}

/** A rollout that can be followed. */
export interface RolloutSource {
  read(signal: AbortSignal): Promise<Rollout>;
  /** @param restartedAt the value that marks the restart. */
  watch(restartedAt: string, signal: AbortSignal): AsyncIterable<Rollout>;
}

/** Something that can be done again. */
export interface Again {
  /** What its button says: `Restart again…`. */
  readonly label: string;
  readonly intent: Intent;
}

/** Reads a resource name, by its decoded segments; undefined for one of another kind. */
export type Describe = (segments: readonly string[]) => Described | undefined;

/** A page of a target: for which addresses, by their decoded segments, and what it shows. */
export interface TargetPage {
  matches(segments: readonly string[]): boolean;
  readonly Show: ComponentType<{ readonly segments: readonly string[] }>;
}

/** What a target has in the console: a line of the list in index.ts. */
export interface ConsoleTarget {
  readonly pages: readonly TargetPage[];
  /** Its part of the page of targets. */
  readonly Overview?: { readonly system: string; readonly Show: ComponentType };
  /** Its part of the page of a project. */
  readonly OfProject?: ComponentType<{ readonly projectId: string }>;
}
