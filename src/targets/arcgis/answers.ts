import type { JsonObject } from "@bufbuild/protobuf";
import { anyCase, countOf, isObject, jsonObjectOf, textOf, timeOf } from "./values.ts";

type Body = Readonly<Record<string, unknown>>;

/** A deployment as the Administrator API has it; what it leaves out is empty. */
export interface VendorDeployment {
  readonly deploymentId: string;
  readonly name: string;
  readonly type: string;
  readonly mode: string;
  readonly provider: string;
}

/** How a deployment does. */
export interface VendorStatus {
  readonly currentState: string;
  readonly readyReplicas: number;
  readonly totalReplicas: number;
}

/** A job; times in epoch ms. */
export interface VendorJob {
  readonly jobId: string;
  readonly status: string;
  readonly operationUri: string;
  readonly username: string;
  readonly startTime: number | undefined;
  readonly updatedTime: number | undefined;
  /** Undefined while it runs. */
  readonly endTime: number | undefined;
  /** Undefined while it runs. */
  readonly result: JsonObject | undefined;
}

/** What a refresh was answered with: that it is done, or the job that does it. */
export type Refreshed =
  | { readonly kind: "done"; readonly status: string }
  | { readonly kind: "job"; readonly jobsUrl: string; readonly jobId: string; readonly jobStatus: string };

/** Ids that cannot change a path. */
const ID = /^[A-Za-z0-9_-]{1,128}$/;

/** One deployment. */
export function readDeployment(body: unknown): VendorDeployment | undefined {
  if (!isObject(body) || typeof body.deploymentId !== "string" || body.deploymentId === "") return undefined;
  const { deploymentId, name, type, mode, provider } = body;
  return { deploymentId, name: textOf(name), type: textOf(type), mode: textOf(mode), provider: textOf(provider) };
}

/** All that can be understood: one odd item does not hide the others. */
export function readDeployments({ deployments }: Body): readonly VendorDeployment[] | undefined {
  if (deployments === null) return [];
  if (!Array.isArray(deployments)) return undefined;
  return deployments.map(readDeployment).filter((deployment) => deployment !== undefined);
}

/** The id is called `id` here, and `deploymentId` everywhere else (contracts: arcgis §A.3). */
export function readStatus(body: Body, id: string): VendorStatus | undefined {
  const { id: own, deploymentId = own, currentState, readyReplicas, totalReplicas } = body;
  if (deploymentId !== id || typeof currentState !== "string") return undefined;
  return { currentState, readyReplicas: countOf(readyReplicas), totalReplicas: countOf(totalReplicas) };
}

/** A job's own resource. */
export function readJob(body: Body, id: string): VendorJob | undefined {
  const { jobid, jobstatus, status = jobstatus, operationuri, ...others } = anyCase(body);
  const { username, starttime, updatedtime, endtime, result } = others;
  if (jobid !== id || typeof status !== "string" || status === "") return undefined;
  return {
    jobId: jobid,
    status,
    operationUri: textOf(operationuri),
    username: textOf(username),
    startTime: timeOf(starttime),
    updatedTime: timeOf(updatedtime),
    endTime: timeOf(endtime),
    result: jsonObjectOf(result),
  };
}

/** Whether an answer is about a job, whatever its status: a refresh that one was submitted for, or the job's own resource. */
export function isAboutJob(body: Body): boolean {
  const { jobid, jobsurl } = anyCase(body);
  return [jobid, jobsurl].some((value) => value !== undefined && value !== null);
}

/** A job when there is one, whatever was asked for; else nothing but the word `success` is one. */
export function readRefreshed(body: Body): Refreshed | undefined {
  const { status, jobid, jobsurl, jobstatus = status } = anyCase(body);
  if (!isAboutJob(body)) return status === "success" ? { kind: "done", status } : undefined;
  const jobsUrl = textOf(jobsurl);
  const jobId = jobid || /\/jobs\/([^/?#]+)\/?(?:[?#].*)?$/.exec(jobsUrl)?.[1];
  return typeof jobId === "string" && ID.test(jobId)
    ? { kind: "job", jobId, jobsUrl, jobStatus: textOf(jobstatus) }
    : undefined;
}
