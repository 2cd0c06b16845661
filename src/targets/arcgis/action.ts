import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  DeploymentService,
  type RefreshDeploymentRequest,
  type RefreshDeploymentRequestSchema,
  type RefreshDeploymentResponse,
  RefreshDeploymentResponseSchema,
} from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { ENDS_WITHIN_MS } from "../../clouds/tracking.ts";
import { notConfigured } from "../../clouds/vendor.ts";
import { Failure, preconditionFailure, resourceInfo } from "../../core/errors.ts";
import type { Action, Observation, OperationView, SendResult } from "../../core/operation.ts";
import type { VendorDeployment, VendorJob } from "./answers.ts";
import { deploymentName, type Site } from "./client.ts";
import { outageOf } from "./outage.ts";
import { POST_LIMIT_MS } from "./session.ts";
import { isObject, textOf } from "./values.ts";

/** The configured sites by name. */
export type Sites = ReadonlyMap<string, Site>;

/** What is refreshed once a call was accepted. */
export interface RefreshPlan {
  readonly site: Site;
  /** As it was when it was checked. */
  readonly deployment: VendorDeployment;
}

/** What RefreshDeployment does. */
export type RefreshAction = Action<
  typeof RefreshDeploymentRequestSchema,
  typeof RefreshDeploymentResponseSchema,
  RefreshPlan
>;

/** What the action works with. */
export interface RefreshActionOptions {
  readonly sites: Sites;
  /** How often (ms) a job is looked at. */
  readonly pollIntervalMs: number;
}

/** How long (ms) after its permit a request may still leave, and how long a process or a network may pause meanwhile. */
const WINDOW_AND_PAUSES_MS = 65_000;

/**
 * How long (ms) after its outcome became unknown somebody may still come to know of a refresh: a synchronous one is answered within
 * the limit, to a process that may have been taken for dead. Nothing that the vendor documents would show it afterwards.
 */
const SETTLE_MS = WINDOW_AND_PAUSES_MS + POST_LIMIT_MS;

/**
 * So many looks in a row have to show that a site does not know the job of a refresh that it took, before its end counts as missed: at
 * the default pace ten minutes, while what answers may be restarting itself.
 */
const MISSING_LOOKS = 60;

/** States of a job that runs (contracts: arcgis §A.2). UNAVAILABLE says nothing, nor does a word that is not known. */
const RUNNING: ReadonlySet<string> = new Set(["SUBMITTED", "EXECUTING", "CANCELLING"]);

/** States of a job from which it goes nowhere (contracts: arcgis §A.2). */
const ENDED: ReadonlyMap<string, "succeeded" | "failed"> = new Map([
  ["COMPLETED", "succeeded"],
  ["FAILED", "failed"],
  ["CANCELLED", "failed"],
] as const);

/** A configured site. */
export function findSite(sites: Sites, name: string): Site {
  const site = sites.get(name);
  if (site === undefined) {
    throw notConfigured("SITE_NOT_FOUND", "site", name, "ListSites names those that are");
  }
  return site;
}

/** The refresh of a deployment, as operations know it. */
export function createRefreshAction({ sites, pollIntervalMs }: RefreshActionOptions): RefreshAction {
  return {
    method: DeploymentService.method.refreshDeployment,
    blocksUntil: "ended",
    settleMs: SETTLE_MS,
    endsWithinMs: ENDS_WITHIN_MS,
    lookMs: pollIntervalMs,
    targetOf: ({ site, deploymentId }) => deploymentName(site, deploymentId),
    verbs: ["refresh"],
    actionOf: () => "refresh",

    async prepare(request, { signal }) {
      const site = findSite(sites, request.site);
      const deployment = await site.getDeployment(request.deploymentId, signal);
      requireAcknowledgement(request, deployment);
      if (await site.isReadOnly(signal)) throw readOnly(request);
      return { site, deployment };
    },

    async send(request, { site, deployment }, { signal, permit, call }) {
      const evidence: JsonObject = { async: request.async, ...deployment };
      const refreshed = await site.refresh(request.deploymentId, request.async, {
        signal,
        permit: () => permit(evidence),
        refused: () => {
          call.outcome = "not_applied";
        },
      });
      call.outcome = "applied";
      if (refreshed.kind === "done") {
        return { response: answer({ status: refreshed.status }), done: true };
      }
      const { jobId, jobsUrl, jobStatus } = refreshed;
      const sent: SendResult<typeof RefreshDeploymentResponseSchema> = { vendorJob: jobId };
      // Who did not ask for a job waits for the end of this one, in whichever process sees it.
      return request.async ? { ...sent, response: answer({ jobId, jobsUrl, jobStatus }) } : sent;
    },

    async observe(operation, request, signal) {
      const site = findSite(sites, request.site);
      return { ...(await look(site, operation, request, signal)), againMs: pollIntervalMs };
    },
  };
}

type RefreshObservation = Observation<typeof RefreshDeploymentResponseSchema>;

/**
 * Reads the job of a refresh. Of one that has none, nothing that the vendor documents would show what became of it. One that the site
 * has forgotten does not keep others from its deployment for ever.
 */
async function look(
  site: Site,
  operation: OperationView,
  request: RefreshDeploymentRequest,
  signal: AbortSignal,
): Promise<RefreshObservation> {
  const { vendorJob, evidence } = operation;
  const { missing: counted, ...recorded } = evidence;
  if (vendorJob === "") {
    return { kind: "unclear", progress: "nothing at the site shows whether it was refreshed" };
  }
  await site.turn(signal);
  const job = await site.getJob(vendorJob, signal).catch((error: unknown) => {
    if (error instanceof Failure && error.reason === "JOB_NOT_FOUND") return undefined;
    throw error;
  });
  if (job !== undefined) {
    return { ...evaluateJob(job, request, operation), ...(counted !== undefined && { evidence: recorded }) };
  }
  const progress = `the site has no job ${vendorJob}`;
  const missing = (typeof counted === "number" ? counted : 0) + 1;
  return operation.state === "SENT" && missing >= MISSING_LOOKS
    ? { kind: "failed", progress, failure: forgotten(request.site, operation) }
    : { kind: "unclear", progress, evidence: { ...recorded, missing } };
}

/** The end of a refresh whose job is gone before its end was seen. */
const forgotten = (site: string, { target, vendorJob }: OperationView): Failure =>
  new Failure(
    "JOB_NOT_FOUND",
    `site ${site}: it took the refresh of ${target} and has no job ${vendorJob} any longer, so that nobody knows how it ended; GetDeployment shows how the deployment does`,
    {
      outcome: "applied",
      metadata: { site, vendor: "arcgis", job_id: vendorJob },
      details: [resourceInfo("arcgis.deployment", target)],
    },
  );

const answer = (
  fields: Partial<Omit<RefreshDeploymentResponse, "$typeName" | "$unknown">>,
): RefreshDeploymentResponse => create(RefreshDeploymentResponseSchema, fields);

function requireAcknowledgement(request: RefreshDeploymentRequest, deployment: VendorDeployment): void {
  const outage = outageOf(deployment);
  if (outage === undefined || request.acknowledgeOutage) {
    return;
  }
  const subject = deploymentName(request.site, request.deploymentId);
  const description = `deployment ${request.deploymentId} ${outage}; set acknowledge_outage to accept that`;
  throw new Failure("OUTAGE_NOT_ACKNOWLEDGED", `site ${request.site}: ${description}`, {
    metadata: { site: request.site, vendor: "arcgis", type: deployment.type },
    details: [preconditionFailure([{ type: "OUTAGE_NOT_ACKNOWLEDGED", subject, description }])],
  });
}

/** The site takes no changes for now: what is sent to it is blocked, and not always with an error (developers.arcgis.com, mode). */
function readOnly({ site, deploymentId }: RefreshDeploymentRequest): Failure {
  const type = "TARGET_STATE_FORBIDS";
  const description = `site ${site} is in read-only mode, in which it takes no changes; refresh it when that has ended`;
  return new Failure(type, `${description}; nothing was sent`, {
    metadata: { site, vendor: "arcgis" },
    details: [preconditionFailure([{ type, subject: deploymentName(site, deploymentId), description }])],
  });
}

/** What a job says of its refresh. */
function evaluateJob(
  job: VendorJob,
  { site, async }: RefreshDeploymentRequest,
  { target, state }: OperationView,
): RefreshObservation {
  const progress = `job ${job.jobId} is ${job.status}`;
  const status = job.status.toUpperCase(); // others of the vendor's APIs write the same words in other letters
  const end = ENDED.get(status);
  if (end === undefined) {
    const runs = RUNNING.has(status) && job.endTime === undefined;
    // The job proves that the refresh was taken.
    return { kind: runs || state === "UNKNOWN" ? "running" : "unclear", progress };
  }
  if (end === "succeeded" && !saysFailed(job.result ?? {})) {
    return { kind: "succeeded", progress, ...(!async && { response: answer({ status: "success" }) }) };
  }
  const how = end === "succeeded" ? `${job.status}, but its result says that it failed` : job.status;
  return {
    kind: "failed",
    progress,
    failure: new Failure(
      "VENDOR_JOB_FAILED",
      `site ${site}: job ${job.jobId} of ${target} is ${how}; GetJob has its result`,
      {
        outcome: "applied",
        metadata: { site, vendor: "arcgis", job_id: job.jobId, job_status: job.status },
      },
    ),
  };
}

/** Words of `status` that stand for a failure, in a result (contracts: arcgis §A.2, §A.5). */
const FAILED_WORDS: ReadonlySet<string> = new Set(["error", "failed", "failure"]);

/** Whether a job's result says in its own way that it failed: that of a COMPLETED job can (contracts: arcgis §A.2). */
function saysFailed({ status, error, operationResponse }: Readonly<Record<string, unknown>>): boolean {
  return (
    FAILED_WORDS.has(textOf(status).toLowerCase()) ||
    (error !== undefined && error !== null) ||
    (isObject(operationResponse) && saysFailed(operationResponse))
  );
}
