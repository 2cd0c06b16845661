import { htmlReply, jsonReply, type VendorReply, type VendorRequest } from "../../../clouds/simulator/exchange.ts";
import type { Jobs, SimulatedJob } from "./jobs.ts";
import { type ErrorShape, errorReply, httpError } from "./replies.ts";
import { isForm, type TokenService, wantsJson } from "./tokens.ts";
import type { SimulatedDeployment } from "./world.ts";

/** What the Administrator API of a site works with. */
export interface AdminOptions {
  /** Path before `/admin`, such as `/context`. */
  readonly contextPath: string;
  readonly deployments: Map<string, SimulatedDeployment>;
  /** How often each was refreshed. */
  readonly refreshes: Map<string, number>;
  readonly jobs: Jobs;
  readonly tokens: TokenService;
  readonly username: string;
  /** How long (ms) a refresh takes. */
  readonly jobMs: () => number;
  readonly shape: () => ErrorShape;
  /** What it does with `async=true`. */
  readonly asyncForm: () => AsyncForm;
  /** How it spells the answer about a job. */
  readonly spelling: () => JobSpelling;
  /** Whether it takes no changes. */
  readonly isReadOnly: () => boolean;
  /** Where the site is reached, once that is known. */
  readonly url: () => string;
  /** Ends what is still waited for. */
  readonly stopping: AbortSignal;
}

/** What a site does with `async=true`: submits a job, has not heard of it and ignores it, or refuses it (10.9 had no such thing). */
export type AsyncForm = "job" | "ignored" | "refused";

/** How a site spells the answer about a job: as the documents have it, as its sister calls do (12.0), or with the address alone. */
export type JobSpelling = "jobID" | "jobId" | "jobid" | "address";

/** A System deployment is away for this part of its refresh, and the API with it. */
const AWAY_PART = 0.5;

/** Answers a request to the site: the sharing API's generateToken, and everything below `/admin`. */
export async function serveSite(request: VendorRequest, options: AdminOptions): Promise<VendorReply> {
  const { contextPath, tokens, shape } = options;
  if (request.path === `${contextPath}/sharing/rest/generateToken`) return tokens.generate(request);
  if (!request.path.startsWith(`${contextPath}/admin/`)) return httpError(404, "html");
  if (isAway(options)) return httpError(503, "html");
  const form = request.method === "POST" && isForm(request) ? new URLSearchParams(request.body) : request.query;
  const json = wantsJson(form.get("f"));
  // A POST's token is taken out of its body alone; without a form there is none.
  const token = request.method === "POST" && form === request.query ? null : form.get("token");
  const refused = tokens.check(request, token, shape());
  if (refused !== undefined) return json ? refused : htmlReply(200, "Sign In");
  const reply = await serveAdmin(request, form, options);
  return json || reply.status !== 200 ? reply : htmlReply(200, "ArcGIS Enterprise Administrator API Directory");
}

/** Whether a refresh has taken away the very thing that would answer. */
const isAway = ({ jobs, deployments }: AdminOptions): boolean =>
  jobs.all.some((job) => deployments.get(job.deploymentId)?.type === "System" && jobs.progress(job) < AWAY_PART);

async function serveAdmin(request: VendorRequest, form: URLSearchParams, options: AdminOptions): Promise<VendorReply> {
  const { contextPath, deployments, jobs, shape, isReadOnly } = options;
  const missing = errorReply(shape(), 404, "Resource not found.");
  const path = request.path.slice(`${contextPath}/admin/`.length).split("/");
  const [first, second, id, resource, ...more] = path;
  if (first === "jobs" && second !== undefined && path.length === 2) {
    const job = jobs.get(second);
    if (request.method !== "GET") return wrongMethod(options);
    return job === undefined ? missing : jsonReply(200, jobs.show(job));
  }
  if (first === "mode" && path.length === 1) {
    return request.method === "GET" ? jsonReply(200, { isReadOnly: isReadOnly() }) : wrongMethod(options);
  }
  if (first !== "system" || second !== "deployments" || more.length > 0) return missing;
  if (id === undefined) {
    if (request.method !== "GET") return wrongMethod(options);
    return jsonReply(200, { deployments: [...deployments.values()].map(listed) });
  }
  const deployment = deployments.get(id);
  if (deployment === undefined) return missing;
  if (resource === "refresh") {
    return request.method === "POST" ? refresh(deployment, form, options) : wrongMethod(options);
  }
  if (request.method !== "GET") return wrongMethod(options);
  if (resource === undefined) return jsonReply(200, { ...listed(deployment), ...specOf(deployment) });
  return resource === "status" ? jsonReply(200, statusOf(deployment, jobs)) : missing;
}

const wrongMethod = ({ shape }: AdminOptions): VendorReply => errorReply(shape(), 405, "Method not allowed.");

/** The refresh (contracts: arcgis §A.1): a job for `async`, an answer at the end otherwise. A second one is a second job. */
async function refresh(
  deployment: SimulatedDeployment,
  form: URLSearchParams,
  options: AdminOptions,
): Promise<VendorReply> {
  const { contextPath, refreshes, jobs, username, jobMs, shape, asyncForm, spelling, url, stopping } = options;
  if (options.isReadOnly()) return errorReply(shape(), 403, "The site is in read-only mode.");
  const async = asyncForm() === "ignored" ? "false" : (form.get("async") ?? "false");
  if (asyncForm() === "refused" && form.has("async")) return errorReply(shape(), 400, "Unknown parameter 'async'.");
  if (async !== "true" && async !== "false") return errorReply(shape(), 400, "Invalid value of 'async'.");
  const { deploymentId } = deployment;
  refreshes.set(deploymentId, (refreshes.get(deploymentId) ?? 0) + 1);
  const operationUri = `${contextPath}/admin/system/deployments/${deploymentId}/refresh`;
  const job = jobs.begin({ deploymentId, durationMs: jobMs(), operationUri, username });
  if (async === "true") {
    return jsonReply(200, spell(spelling(), `${url()}${contextPath}/admin/jobs/${job.id}`, job.id));
  }
  return endOf(job, jobs, shape(), stopping);
}

function spell(spelling: JobSpelling, jobsUrl: string, id: string): Record<string, string> {
  switch (spelling) {
    case "jobID":
      return { jobsUrl, jobID: id, jobStatus: "SUBMITTED" };
    case "jobId":
      return { jobsUrl, jobId: id, jobStatus: "SUBMITTED" };
    case "jobid":
      return { jobid: id, status: "SUBMITTED" };
    case "address":
      return { jobsUrl: `${jobsUrl}?f=json`, status: "SUBMITTED" };
  }
}

async function endOf(job: SimulatedJob, jobs: Jobs, shape: ErrorShape, stopping: AbortSignal): Promise<VendorReply> {
  const ending = await jobs.end(job, stopping);
  return ending === "COMPLETED"
    ? jsonReply(200, { status: "success" })
    : errorReply(shape, undefined, "The pods did not become ready.");
}

const listed = ({ deploymentId, name, type, mode, provider }: SimulatedDeployment) => ({
  mode,
  provider,
  deploymentId,
  name,
  type,
});

const specOf = ({ name, replicas = 1 }: SimulatedDeployment) => ({
  spec: {
    servicesFilter: [],
    replicas: { min: replicas, max: replicas, scalingMode: "manual" },
    containers: [{ name, resources: { memoryMin: "100Mi", memoryMax: "1Gi", cpuMin: "0.125", cpuMax: "1" } }],
  },
});

function statusOf({ deploymentId, name, replicas = 1 }: SimulatedDeployment, jobs: Jobs) {
  const refreshing = jobs.all.some((job) => job.deploymentId === deploymentId && jobs.progress(job) < 1);
  return {
    name,
    readyReplicas: refreshing ? 0 : replicas,
    kubernetesResourceKind: "Deployment",
    id: deploymentId,
    currentState: "STARTED",
    kubernetesResourceName: `arcgis-${deploymentId}-${name}`,
    totalReplicas: replicas,
  };
}
