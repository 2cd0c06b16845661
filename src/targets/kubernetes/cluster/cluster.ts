import type { Client } from "../client.ts";
import type { Known } from "../workload/known.ts";
import type { WorkloadObject } from "../workload/object.ts";
import type { Discovery } from "./discovery.ts";
import type { Memory } from "./memory.ts";
import type { ServerClock } from "./server-clock.ts";
import type { Shared } from "./shared.ts";
import type { TemplateUser } from "./template-users.ts";
import type { Troubles } from "./troubles.ts";
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
  readonly troubles: Troubles;
  /** Who takes a Deployment's pod template. */
  readonly templateUser: TemplateUser;
  /** Reads of objects that many want at once, by their path. */
  readonly reads: Shared<WorkloadObject>;
}
