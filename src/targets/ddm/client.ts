import type { Answer } from "../../clouds/http.ts";
import { ask } from "../../clouds/huawei/ask.ts";
import { vendorWords } from "../../clouds/huawei/errors.ts";
import type { HuaweiRequest, Project } from "../../clouds/huawei/project.ts";
import type { RequestSubject } from "../../clouds/huawei/rules.ts";
import { fieldsOf, integerOf, listOf, textOf } from "../../clouds/json.ts";
import { aboutInstance, aboutInstances, aboutJob, type InstanceRef, refused } from "./errors.ts";

/** How an instance is restarted: the process alone, or its virtual machine. */
export type RestartType = "soft" | "hard";

/** What is asked of DDM, and of IAM for it, as metrics call it. */
export const VENDOR_OPERATIONS = ["restart", "get", "list", "job", "token"] as const;

/** An instance, in the vendor's words. What it does not say is empty. */
export interface Instance {
  readonly id: string;
  readonly name: string;
  /** RUNNING, RESTARTING, ERROR and many more. */
  readonly status: string;
  readonly engineVersion: string;
  readonly nodeCount: number;
}

/** A job, in the vendor's words. */
export interface Job {
  readonly id: string;
  /** Running, Completed, Failed. */
  readonly status: string;
  /** How far it has come, such as `60%`; empty when it does not say. */
  readonly process: string;
  /** The instance that it works on; empty when it does not say. */
  readonly instanceId: string;
}

/** What the vendor answers to a restart that it took. */
export interface Restarted {
  readonly instanceId: string;
  /** Empty when it does not say. */
  readonly instanceName: string;
  /** Empty when it does not say; else letters, digits, `-` and `_`. */
  readonly jobId: string;
}

/** A part of a project's instances. */
export interface InstanceList {
  readonly instances: readonly Instance[];
  /** How many there are in all; undefined when it does not say. */
  readonly total: number | undefined;
}

/** What the vendor's SDK sends, reads included (contracts: huaweicloud §C.1). */
const HEADERS = { "content-type": "application/json;charset=UTF-8" };

/** The part of DDM's API that restartd uses, of one project. Reads throw a Failure of outcome not_applied. */
export interface DdmClient {
  /** @throws Failure TARGET_NOT_FOUND and others */
  instance(ref: InstanceRef, signal: AbortSignal): Promise<Instance>;
  /** @throws Failure JOB_NOT_FOUND and others: whether the job of a v1 restart can be read is not documented. */
  job(ref: InstanceRef, jobId: string, signal: AbortSignal): Promise<Job>;
  /** A part of the project's instances, at most 128. */
  instances(offset: number, limit: number, signal: AbortSignal): Promise<InstanceList>;
  /**
   * Restarts an instance, by one request. API_VERSION_NOT_SERVED proves that nothing was done: the gateway has no such path.
   *
   * @param onSend called immediately before the first byte can leave; what it throws is thrown, and nothing is sent.
   * @throws Failure its outcome says whether it can have been applied.
   */
  restart(
    ref: InstanceRef,
    type: RestartType,
    options: { signal: AbortSignal; onSend: () => void },
  ): Promise<Restarted>;
  /**
   * The same by the API that is to follow (v3), which knows no types: processes are restarted.
   *
   * @param onSend as above.
   * @throws Failure as above.
   */
  restartV3(ref: InstanceRef, options: { signal: AbortSignal; onSend: () => void }): Promise<Restarted>;
}

/** A client of a project. */
export function createDdmClient(project: Project): DdmClient {
  const send = async (
    request: Pick<HuaweiRequest, "method" | "operation" | "path" | "signal" | "query" | "body" | "onSend">,
    subject: RequestSubject,
  ): Promise<Answer> => {
    const answer = await ask(project, { ...request, headers: HEADERS }, subject);
    if (answer.status < 200 || answer.status > 299) {
      throw refused(answer, subject);
    }
    return answer;
  };
  const instances = `/v1/${project.projectId}/instances`;
  const restart = async (
    ref: InstanceRef,
    request: Pick<HuaweiRequest, "path" | "body" | "signal" | "onSend">,
  ): Promise<Restarted> => {
    const subject = aboutInstance(ref, true);
    const answer = await send({ method: "POST", operation: "restart", ...request }, subject);
    // Next to nothing makes a success here: an error has to be told from it, whatever its status.
    const restarted = vendorWords(answer).code === undefined ? readRestarted(answer.json, ref.instanceId) : undefined;
    return whole(restarted, answer, subject);
  };

  return {
    async instance(ref, signal) {
      const subject = aboutInstance(ref, false);
      const answer = await send({ method: "GET", path: `${instances}/${ref.instanceId}`, signal }, subject);
      return whole(readInstance(answer.json), answer, subject);
    },

    async job(ref, jobId, signal) {
      const subject = aboutJob(ref);
      const path = `/v3/${project.projectId}/jobs/${jobId}`;
      const answer = await send({ method: "GET", operation: "job", path, signal }, subject);
      return whole(readJob(answer.json), answer, subject);
    },

    async instances(offset, limit, signal) {
      const subject = aboutInstances(project.projectId);
      const query = { offset: String(offset), limit: String(limit) };
      const answer = await send({ method: "GET", operation: "list", path: instances, query, signal }, subject);
      return whole(readList(answer.json), answer, subject);
    },

    restart: (ref, type, options) =>
      restart(ref, { ...options, path: `${instances}/${ref.instanceId}/action`, body: { restart: { type } } }),

    restartV3: (ref, options) =>
      restart(ref, { ...options, path: `/v3/${project.projectId}/instances/${ref.instanceId}/restart` }),
  };
}

/** What was read of an answer, which is not what it should be when nothing was. */
function whole<Read>(read: Read | undefined, answer: Answer, subject: RequestSubject): Read {
  if (read === undefined) {
    throw refused(answer, subject);
  }
  return read;
}

function readInstance(json: unknown): Instance | undefined {
  const fields = fieldsOf(json);
  const id = textOf(fields?.id);
  const status = textOf(fields?.status);
  return fields === undefined || id === undefined || status === undefined
    ? undefined
    : {
        id,
        status: status.toUpperCase(),
        name: textOf(fields.name) ?? "",
        engineVersion: textOf(fields.engine_version) ?? "",
        nodeCount: countOf(fields.node_count),
      };
}

/** A count that fits the API's int32. */
const countOf = (value: unknown): number => Math.min(Math.max(integerOf(value) ?? 0, 0), 0x7fff_ffff);

function readJob(json: unknown): Job | undefined {
  const fields = fieldsOf(fieldsOf(json)?.job);
  const id = textOf(fields?.id);
  const status = textOf(fields?.status);
  return fields === undefined || id === undefined || status === undefined
    ? undefined
    : {
        id,
        status,
        process: textOf(fields.process) ?? "",
        instanceId: textOf(fieldsOf(fields.instance)?.id) ?? "",
      };
}

function readList(json: unknown): InstanceList | undefined {
  const fields = fieldsOf(json);
  const items = listOf(fields?.instances);
  const instances = items?.map(readInstance).filter((instance) => instance !== undefined);
  // One odd item does not hide the others.
  return instances && { instances, total: integerOf(fields?.total_record) };
}

/** Older documents answer `{}`, the service took the request all the same (contracts: huaweicloud §C.1). Another's id is no answer. */
function readRestarted(json: unknown, requested: string): Restarted | undefined {
  const fields = fieldsOf(json);
  const instanceId = textOf(fields?.instanceId) ?? requested;
  return fields === undefined || instanceId.toLowerCase() !== requested.toLowerCase()
    ? undefined
    : {
        instanceId,
        instanceName: textOf(fields.instanceName) ?? "",
        jobId: idOf(fields.jobId) ?? idOf(fields.job_id) ?? "",
      };
}

/** The id of a job, which becomes a part of a path: what could change that is no id. */
const idOf = (value: unknown): string | undefined => /^[A-Za-z0-9_-]{1,128}$/.exec(textOf(value) ?? "")?.[0];
