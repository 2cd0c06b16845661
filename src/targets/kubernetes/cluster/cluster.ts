import type { Caller } from "../../../core/identity.ts";
import type { Principal } from "../../../core/principal.ts";
import type { As, Client } from "../client.ts";
import type { Known } from "../workload/known.ts";
import type { WorkloadObject } from "../workload/object.ts";
import type { Discovery } from "./discovery.ts";
import type { Memory } from "./memory.ts";
import type { PodProblems } from "./pod-problems.ts";
import type { ServerClock } from "./server-clock.ts";
import type { Shared } from "./shared.ts";
import type { TemplateUser } from "./template-users.ts";
import type { WatchHub } from "./watch.ts";

/** One configured cluster, open. */
export interface OpenCluster {
  readonly name: string;
  readonly client: Client;
  /** What its API server's clock shows. */
  readonly clock: ServerClock;
  readonly discovery: Discovery;
  readonly watches: WatchHub;
  /** What is remembered of objects, by their path. */
  readonly known: Memory<Known>;
  /** Why rollouts hang. */
  readonly podProblems: PodProblems;
  /** Who takes a Deployment's pod template. */
  readonly templateUser: TemplateUser;
  /** Reads of objects that many want at once, by their path. */
  readonly reads: Shared<WorkloadObject>;
}

/**
 * A configured cluster. By itself it is as restartd's own account sees it, which is who looks what became of restarts; what is shown or
 * done to callers goes by {@link forCaller}.
 */
export interface ConfiguredCluster extends OpenCluster {
  /**
   * The cluster as a caller has it: where callers are somebody there, requests are made in the caller's name, and what they showed is
   * kept for the same name alone. What the cluster serves, its clock, and its watches are restartd's own, for everybody: a watch is
   * joined after a read in the caller's name.
   *
   * @throws Failure PERMISSION_DENIED or IDENTITY_NOT_ENCODABLE for whoever cannot be somebody there.
   */
  forCaller(caller: Caller): OpenCluster;
  /** Who a caller is there; undefined where callers are nobody, or this one is. */
  identityOf(principal: Principal): As | undefined;
}
