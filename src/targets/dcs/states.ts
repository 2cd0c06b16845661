import { isTransient } from "../../clouds/huawei/statuses.ts";
import type { DcsAction } from "./client.ts";
import type { DcsInstance } from "./instance.ts";

/** What an instance's status and task mean for it: whether it may be acted on, and whether what was done to it has ended. */
export type Phase = "idle" | "busy" | "ended badly";

/** The status of an instance while an action is done to it (contracts/huaweicloud.md B.2; soft_restart: inferred). */
export const WHILE: Readonly<Record<DcsAction, string>> = {
  restart: "RESTARTING",
  soft_restart: "RESTARTING",
  flush: "FLUSHING",
};

/** Statuses that an action is taken in: "restart needs Running or Faulty, flush needs Running" (contracts/huaweicloud.md B.1). */
export const TAKEN_IN: Readonly<Record<DcsAction, readonly string[]>> = {
  restart: ["RUNNING", "ERROR"],
  soft_restart: ["RUNNING", "ERROR"],
  flush: ["RUNNING"],
};

/** Statuses in which nothing is being done, of a set that may grow (contracts/huaweicloud.md B.2). */
const PHASES: ReadonlyMap<string, Phase> = new Map<string, Phase>([
  ["RUNNING", "idle"],
  ["ERROR", "ended badly"],
  ["CREATEFAILED", "ended badly"],
  ["FROZEN", "ended badly"],
]);

/** Whether a status is one in which something else is being done to the instance. */
export const isBusy = (status: string): boolean => !PHASES.has(status) && isTransient(status);

/** Whether an instance is told of that is there no more. */
export const isDeleted = ({ status }: Pick<DcsInstance, "status">): boolean => status === "DELETED";

/** Whether a status is one of which it is known what it means. */
export const isKnown = ({ status }: Pick<DcsInstance, "status">): boolean => PHASES.has(status) || isTransient(status);

/** How an instance does. A task keeps it busy whatever its status; a status that is not known has not ended. */
export const phaseOf = ({ status, task }: Pick<DcsInstance, "status" | "task">): Phase =>
  task === "" ? (PHASES.get(status) ?? "busy") : "busy";
