import { type Detail, Failure, preconditionFailure, type Reason, resourceInfo } from "../../core/errors.ts";
import type { DcsAction } from "./client.ts";
import { ACTIONS_HELP, INSTANCE_TYPE, targetName } from "./errors.ts";
import type { DcsInstance } from "./instance.ts";
import { isBusy, TAKEN_IN } from "./states.ts";

/** What a request of either rpc asks for. */
export interface Ask {
  readonly projectId: string;
  readonly instanceIds: readonly string[];
  readonly action: DcsAction;
  /** Whether the loss of data was acknowledged. */
  readonly acknowledged: boolean;
}

/** One instance of a call, as it was read before anything is sent. */
export interface Checked {
  readonly instance: DcsInstance;
  /** Why its data may be lost, in words; undefined where it is not, or where that was acknowledged. */
  readonly risk: string | undefined;
}

/** Modes that have a second node by what they are (contracts: huaweicloud §B.2). */
const WITH_STANDBY: ReadonlySet<string> = new Set(["ha", "ha_rw_split"]);

/**
 * Why a restart may lose the data of an instance whatever its append-only file: where there is no second node to keep it, it comes back
 * empty (contracts/vendors.md §0). What the vendor does not tell counts as the worst. Undefined: its append-only file decides.
 */
export function riskByNodes({ cacheMode, replicaCount }: DcsInstance): string | undefined {
  if (cacheMode === "single") return "it has a single node";
  if (replicaCount === 1) return "it has a single replica";
  const known = WITH_STANDBY.has(cacheMode) || (cacheMode !== "" && replicaCount !== undefined);
  return known ? undefined : "how many nodes it has is not known";
}

/** Why a restart may lose the data of an instance with more than one node. */
export function riskByAppendOnly(appendOnly: boolean | undefined): string | undefined {
  if (appendOnly) return undefined;
  return appendOnly === undefined
    ? "whether it writes an append-only file (appendonly) could not be read"
    : "it writes no append-only file (appendonly is no)";
}

/** Why a flush loses data. */
export const FLUSH_RISK = "all its data is deleted, for good";

/**
 * Why a whole call must not run: ids that do not exist, and data that may be lost without a word that it may. All of it at once.
 *
 * @param missing the failure of each id that does not exist.
 */
export function refusalOfCall(
  { projectId, action }: Ask,
  checked: readonly Checked[],
  missing: readonly Failure[],
): Failure | undefined {
  const risky = checked.filter(({ risk }) => risk !== undefined);
  const details: Detail[] = missing.flatMap((failure) => failure.details);
  if (risky.length > 0) {
    details.push(
      preconditionFailure(
        risky.map(({ instance, risk }) => ({
          type: "DATA_LOSS_NOT_ACKNOWLEDGED" satisfies Reason,
          subject: targetName(projectId, instance.instanceId),
          description: `${action}: ${risk}; acknowledge_data_loss is not set`,
        })),
      ),
    );
  }
  const [first] = missing;
  if (first !== undefined) {
    const sentence = `${missing.map(({ message }) => message).join("; ")}; nothing was sent, for no instance. ListInstances names those that exist`;
    return new Failure("TARGET_NOT_FOUND", sentence, { metadata: first.metadata, details, cause: first.cause });
  }
  if (risky.length > 0) {
    const which = risky.map(({ instance, risk }) => `${instance.instanceId} (${risk})`).join(", ");
    const sentence = `${action} may lose the data of ${which}: set acknowledge_data_loss to accept that; nothing was sent, for no instance`;
    const metadata = { vendor: "dcs", project: projectId };
    return new Failure("DATA_LOSS_NOT_ACKNOWLEDGED", sentence, { metadata, details });
  }
  return undefined;
}

/** Why an instance does not take an action now; the other instances of the call are not kept by it. */
export function refusalOfState({ projectId, action }: Ask, instance: DcsInstance): Failure | undefined {
  const { instanceId, status, task } = instance;
  const subject = targetName(projectId, instanceId);
  const metadata = { vendor: "dcs", project: projectId, state: task === "" ? status : task };
  if (task !== "" || isBusy(status)) {
    const what = task === "" ? status : `${status} with the task ${task}`;
    return new Failure("OPERATION_IN_PROGRESS", `${subject} is ${what}: wait until that has ended; nothing was sent`, {
      metadata,
      details: [resourceInfo(INSTANCE_TYPE, subject)],
    });
  }
  const refuse = (reason: Reason, description: string, more: readonly Detail[] = []): Failure =>
    new Failure(reason, `${subject} ${description}; nothing was sent`, {
      metadata,
      details: [
        preconditionFailure([{ type: reason, subject, description }]),
        resourceInfo(INSTANCE_TYPE, subject),
        ...more,
      ],
    });
  if (action === "flush" && !canFlush(instance)) {
    const version = `${instance.engine} ${instance.engineVersion}`.trim() || "of an unknown engine";
    const description = `is ${version}: only Redis 4.0 and later can be flushed`;
    return refuse("OPERATION_UNSUPPORTED_BY_TARGET", description, [ACTIONS_HELP]);
  }
  const allowed = TAKEN_IN[action];
  return allowed.includes(status)
    ? undefined
    : refuse("TARGET_STATE_FORBIDS", `is ${status}: ${action} needs it ${allowed.join(" or ")}`);
}

/** Redis from 4.0 on (contracts/huaweicloud.md B.1). */
const canFlush = ({ engine, engineVersion }: DcsInstance): boolean =>
  engine.toLowerCase() === "redis" && Number.parseInt(engineVersion, 10) >= 4;
