import type { Answer } from "../../clouds/http.ts";
import { refusal, vendorWords } from "../../clouds/huawei/errors.ts";
import type { CodeRule, CodeTable, RequestSubject } from "../../clouds/huawei/rules.ts";
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
 * contracts/huaweicloud.md C.4; "OTC" is Open Telekom Cloud's DDM table, where all are HTTP 400, "tf" terraform's provider for DDM,
 * "RDS", "DDS" and "GaussDB" the tables of the sibling services that share the DBS framework, "tf RDS" and so on the codes on which
 * terraform's provider for them sends again, "issue" what was met with DDM itself.
 */
export const DDM_CODES: CodeTable = [
  {
    codes: [
      "DBS.200019", // 409 (403 in DDS): another operation in progress, or instance faulty; tf retries on it
      "DBS.212033", // 409 (403 in RDS): instance is being operated; tf
      "DBS.200011", // 409 (403 and 400 in siblings), RDS, DDS
      "DBS.200047", // as 200011
      "DBS.201014", // 403; issue, DDS, tf GaussDB
      "DBS.201015", // 400 (403 in DDS): another operation is being performed; issue, tf RDS, tf GaussDB
      "DBS.05000084", // issue, tf GaussDB
      "05000084", // the same without its framework's name
      "DBS.280228", // 500: another operation is being performed; issue, tf RDS
      "DBS.200080", // tf RDS
      "DBS.200463", // tf RDS: a replica is being created
      "DBS.200611", // tf RDS
      "DBS.201202", // tf RDS, tf GaussDB
      "DBS.201206", // tf RDS
      "DBS.216011", // tf GaussDB
      "DBS.239037", // tf DDS
      "DBS.280011", // tf RDS
      "DBS.280343", // tf RDS
      "DBS.280816", // tf RDS
      "DBS.01010337", // tf RDS
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
      "DBS.00010009", // tf DDS: the instance's status is not available for this operation
      "DBS.01280030", // tf RDS: the instance's status is illegal
      "DBS.300323", // 400, associated RDS not in a usable state; OTC
    ],
    reason: "TARGET_STATE_FORBIDS",
    says: "is in a state that forbids it, or the RDS instance behind it is; try again once both are normal",
  },
  {
    codes: [
      "DBS.200002", // 404, instance not found; RDS
      "DBS.200013", // as 200002
      "DBS.200045", // as 200002
      "DBS.280238", // 400; issue, tf GaussDB takes it for 404
    ],
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
export const refused = (answer: Answer, subject: RequestSubject): Failure =>
  refusal(answer, subject, [...DDM_CODES, unknownForbidden(vendorWords(answer).code ?? "")]);

/** The DBS framework says 403 of an instance that is busy, or in the wrong state, as it does of a permission: the code tells them apart. */
const unknownForbidden = (code: string): CodeRule => ({
  codes: /^(?:DBS|DDM)\.\d+$/.test(code) ? [code] : [],
  statuses: [403],
  reason: "VENDOR_REFUSED_REQUEST",
  says: ({ what }) =>
    `DDM refused the request about ${what} by a code that is not known; it may be its state, something else that is done to it, or a permission`,
});

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

/** Only the API without types is served where the instance is. */
export function noHardRestart(ref: InstanceRef): Failure {
  const sentence = `project ${ref.projectId}: instance ${ref.instanceId} is where only the v3 API restarts, which knows no hard restart; TYPE_SOFT restarts its processes`;
  return new Failure("OPERATION_UNSUPPORTED_BY_TARGET", sentence, {
    metadata: { project: ref.projectId, vendor: "ddm" },
    details: [
      preconditionFailure([
        { type: "OPERATION_UNSUPPORTED_BY_TARGET", subject: targetName(ref), description: sentence },
      ]),
    ],
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
