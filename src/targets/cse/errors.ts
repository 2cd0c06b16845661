import type { Answer } from "../../clouds/http.ts";
import { refusal } from "../../clouds/huawei/errors.ts";
import type { CodeTable, RequestSubject } from "../../clouds/huawei/rules.ts";
import { Failure, preconditionFailure, type Reason, resourceInfo } from "../../core/errors.ts";
import type { EngineJob, EngineRef } from "./engine.ts";

/**
 * What CSE's own codes mean. Source, unless a line says otherwise: contracts/huaweicloud.md D.3. Its codes for "nothing to retry" and
 * "already running" are documented nowhere, so that both are read before (D.2).
 */
export const CSE_CODES: CodeTable = [
  {
    // HTTP 400, and 401 from some versions; terraform takes all three for a 404, whatever the status
    codes: ["SVCSTG.00501116", "SVCSTG.00401116", "SVCSTG.00501125"],
    reason: "TARGET_NOT_FOUND",
    says: "does not exist, or belongs to another enterprise project than enterprise_project_id says",
  },
  {
    codes: ["SVCSTG.00501153"], // 400, no such job
    reason: "JOB_NOT_FOUND",
    says: "does not exist",
  },
  {
    codes: ["SVCSTG.00501149"], // 400, engine node status abnormal, retry later; vendors.md §F
    reason: "TARGET_STATE_FORBIDS",
    says: "is in a state that forbids it: its nodes are abnormal; try again once they are not",
  },
  {
    codes: ["SVCSTG.00501117"], // 400, an engine in this state cannot be deleted
    reason: "TARGET_STATE_FORBIDS",
    says: "is in a state in which it cannot be deleted",
  },
  {
    codes: [
      "SVCSTG.00501152", // 400, format of the job's id; vendors.md §F
      // 400, of creations: duplicate name, quota, site limit, billing, flavor, AZ, engine type, name format
      "SVCSTG.00501111",
      "SVCSTG.00501112",
      "SVCSTG.00501133",
      "SVCSTG.00501103",
      "SVCSTG.00501104",
      "SVCSTG.00501105",
      "SVCSTG.00501134",
      "SVCSTG.00501201",
    ],
    reason: "VENDOR_REFUSED_REQUEST",
    says: ({ what }) => `CSE refused the request about ${what} as wrong, where nothing wrong is known of it`,
  },
];

/** Resource name of an engine. */
export const targetName = ({ projectId, engineId }: Pick<EngineRef, "projectId" | "engineId">): string =>
  `projects/${projectId}/cse/engines/${engineId}`;

/** What a request about an engine was about. */
export const aboutEngine = (ref: EngineRef, changes: boolean): RequestSubject => ({
  service: "cse",
  projectId: ref.projectId,
  what: `engine ${ref.engineId}`,
  target: targetName(ref),
  changes,
});

/** What a request about a job was about. */
export const aboutJob = (ref: EngineRef, jobId: bigint | number): RequestSubject => ({
  ...aboutEngine(ref, false),
  what: `job ${jobId} of engine ${ref.engineId}`,
  missing: "JOB_NOT_FOUND",
});

/** What a request for a project's engines was about. */
export const aboutEngines = (projectId: string): RequestSubject => ({
  service: "cse",
  projectId,
  what: "the list of engines",
  target: `projects/${projectId}/cse/engines/-`,
  changes: false,
});

/** The failure that an answer of CSE's without a result stands for. */
export const refused = (answer: Answer, subject: RequestSubject): Failure => refusal(answer, subject, CSE_CODES);

/** A retry that is refused before anything is sent. */
export function refuse(
  reason: Extract<Reason, "NOTHING_TO_RETRY" | "DELETION_NOT_ACKNOWLEDGED">,
  ref: EngineRef,
  why: string,
): Failure {
  const sentence = `project ${ref.projectId}: engine ${ref.engineId} ${why}`;
  return new Failure(reason, sentence, {
    metadata: { project: ref.projectId, vendor: "cse" },
    details: [preconditionFailure([{ type: reason, subject: targetName(ref), description: sentence }])],
  });
}

/** A job of the engine is under way. */
export const inProgress = (ref: EngineRef, state: string, what: string): Failure =>
  new Failure("OPERATION_IN_PROGRESS", `project ${ref.projectId}: ${what} is ${state}; wait until it has ended`, {
    metadata: { project: ref.projectId, vendor: "cse", state },
    details: [resourceInfo("cse/engines", targetName(ref))],
  });

/** The end of a retried job that has failed again. */
export const jobFailed = (ref: EngineRef, { id, type, status }: Pick<EngineJob, "id" | "type" | "status">): Failure =>
  new Failure(
    "VENDOR_JOB_FAILED",
    `project ${ref.projectId}: job ${id} (${type}) of engine ${ref.engineId} has ended with ${status} again; CSE's console tells why`,
    {
      outcome: "applied",
      metadata: { project: ref.projectId, vendor: "cse", job: String(id), job_status: status },
      details: [resourceInfo("cse/engines", targetName(ref))],
    },
  );

/** The end of an operation whose engine was deleted while its job ran. */
export const deletedMeanwhile = (ref: EngineRef): Failure =>
  new Failure(
    "VENDOR_JOB_FAILED",
    `project ${ref.projectId}: engine ${ref.engineId} was deleted before its job had ended; nothing tells how the job ended`,
    {
      outcome: "applied",
      metadata: { project: ref.projectId, vendor: "cse" },
      details: [resourceInfo("cse/engines", targetName(ref))],
    },
  );
