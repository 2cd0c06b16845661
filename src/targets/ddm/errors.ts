import type { Answer } from "../../clouds/http.ts";
import { refusal } from "../../clouds/huawei/errors.ts";
import type { CodeTable, RequestSubject } from "../../clouds/huawei/rules.ts";
import { Failure, preconditionFailure, resourceInfo } from "../../core/errors.ts";

/** What names an instance. */
export interface InstanceRef {
  readonly projectId: string;
  readonly instanceId: string;
}

/** How long (ms) to wait before asking again for an instance that something else is done to. */
const BUSY_MS = 10_000;

/**
 * What DDM's own codes mean, whatever the HTTP status: sibling services send the same code with another one. Source:
 * contracts/huaweicloud.md C.4; "OTC" is Open Telekom Cloud's DDM table, where all are HTTP 400, "tf" terraform's provider, "RDS" and
 * "DDS" the tables of the sibling services that share the DBS framework.
 */
export const DDM_CODES: CodeTable = [
  {
    codes: [
      "DBS.200019", // 409 (403 in DDS): another operation in progress, or instance faulty; tf retries on it
      "DBS.212033", // 409 (403 in RDS): instance is being operated; tf
      "DBS.200011", // 409 (403 and 400 in siblings), RDS, DDS
      "DBS.200047", // as 200011
      "DDM.0602", // oldest documents: the database is busy
    ],
    reason: "OPERATION_IN_PROGRESS",
    says: "is busy with another operation; try again when it has ended",
    retryMs: BUSY_MS,
  },
  {
    codes: [
      "DBS.200018", // 403 or 400, status forbids the operation; DDS, RDS
      "DBS.200076", // as 200018
      "DBS.200086", // as 200018
      "DBS.300323", // 400, associated RDS not in a usable state; OTC
    ],
    reason: "TARGET_STATE_FORBIDS",
    says: "is in a state that forbids it, or the RDS instance behind it is; try again once both are normal",
  },
  {
    codes: ["DBS.200002", "DBS.200013", "DBS.200045"], // 404, instance not found; RDS
    reason: "TARGET_NOT_FOUND",
    says: "does not exist in this project",
  },
  {
    codes: ["DBS.300400", "DBS.300120"], // 400, task not found; failed to get task info; OTC
    reason: "JOB_NOT_FOUND",
    says: "is not known",
  },
  {
    codes: ["DBS.200010", "DBS.200044"], // 403 (400 in DDS), not authorised, or no such resource for this user; RDS, DDS
    reason: "VENDOR_PERMISSION_DENIED",
    says: ({ what }) => `restartd's own user may not do that to ${what} (ddm:instance:reboot, ddm:instance:get)`,
  },
  {
    codes: ["DBS.300379"], // 400, operation not allowed for this task type; OTC
    reason: "OPERATION_UNSUPPORTED_BY_TARGET",
    says: "does not support that",
  },
  {
    codes: [
      "DBS.280001", // 400, parameter error; OTC and the published page
      "DBS.300375", // 400, invalid parameter; OTC
      "DBS.200001", // 400, parameter; RDS
      "DBS.200004", // 400, empty request; RDS
      "DBS.200006", // as 200004
    ],
    reason: "VENDOR_REFUSED_REQUEST",
    says: ({ what }) => `DDM refused the request about ${what} as wrong, where nothing wrong is known of it`,
  },
  {
    codes: [
      "DBS.200412", // 500, server failure; the published page
      "DBS.200005", // 500; RDS
      "DBS.108000", // 500; RDS
      "DBS.300002", // 400, server failure; OTC
      "DBS.300005", // 400, failed to process; OTC
    ],
    reason: "VENDOR_INTERNAL_ERROR",
    says: ({ what }) => `DDM failed with an error of its own when asked about ${what}`,
  },
];

/** Resource name of an instance. */
export const targetName = ({ projectId, instanceId }: InstanceRef): string =>
  `projects/${projectId}/ddm/instances/${instanceId}`;

/** What a request about an instance was about. */
export const aboutInstance = (ref: InstanceRef, changes: boolean): RequestSubject => ({
  service: "ddm",
  projectId: ref.projectId,
  what: `instance ${ref.instanceId}`,
  target: targetName(ref),
  changes,
});

/** What a request about the job of a restart was about. */
export const aboutJob = (ref: InstanceRef): RequestSubject => ({
  ...aboutInstance(ref, false),
  what: `the job of instance ${ref.instanceId}`,
  missing: "JOB_NOT_FOUND",
});

/** What a request for a project's instances was about. */
export const aboutInstances = (projectId: string): RequestSubject => ({
  service: "ddm",
  projectId,
  what: "the list of instances",
  target: `projects/${projectId}/ddm/instances/-`,
  changes: false,
});

/** The failure that an answer of DDM's without a result stands for. */
export const refused = (answer: Answer, asked: RequestSubject): Failure => refusal(answer, asked, DDM_CODES);

export type { RequestSubject as Asked };

/** Something else is done to the instance. */
export const inProgress = (ref: InstanceRef, state: string): Failure =>
  new Failure(
    "OPERATION_IN_PROGRESS",
    `project ${ref.projectId}: instance ${ref.instanceId} is ${state}; wait until that has ended`,
    {
      metadata: { project: ref.projectId, vendor: "ddm", state },
      details: [resourceInfo("ddm/instances", targetName(ref))],
    },
  );

/** The instance's state forbids a restart. */
export function stateForbids(ref: InstanceRef, state: string): Failure {
  const sentence = `project ${ref.projectId}: instance ${ref.instanceId} is ${state}; only one that is RUNNING can be restarted`;
  return new Failure("TARGET_STATE_FORBIDS", sentence, {
    metadata: { project: ref.projectId, vendor: "ddm", state },
    details: [preconditionFailure([{ type: "TARGET_STATE_FORBIDS", subject: targetName(ref), description: sentence }])],
  });
}

/**
 * The end of a restart that went wrong.
 *
 * @param how how that shows, such as `its status is ERROR`.
 */
export const restartFailed = (ref: InstanceRef, how: string): Failure =>
  new Failure(
    "VENDOR_JOB_FAILED",
    `project ${ref.projectId}: the restart of instance ${ref.instanceId} went wrong: ${how}; DDM's console tells why`,
    {
      outcome: "applied",
      metadata: { project: ref.projectId, vendor: "ddm" },
      details: [resourceInfo("ddm/instances", targetName(ref))],
    },
  );
