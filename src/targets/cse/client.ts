import type { Answer } from "../../clouds/http.ts";
import { ask } from "../../clouds/huawei/ask.ts";
import type { HuaweiRequest, Project } from "../../clouds/huawei/project.ts";
import type { RequestSubject } from "../../clouds/huawei/rules.ts";
import { fieldsOf, integerOf, listOf, textOf } from "../../clouds/json.ts";
import type { Engine, EngineJob, EngineRef } from "./engine.ts";
import { aboutEngine, aboutEngines, aboutJob, refused } from "./errors.ts";

/** What is asked of CSE, and of IAM for it, as metrics call it. */
export const VENDOR_OPERATIONS = ["retry", "get", "list", "job", "token"] as const;

/** What the vendor answers to a retry that it took. */
export interface Retried {
  readonly id: string;
  readonly name: string;
  readonly jobId: number;
}

/** A part of a project's engines. */
export interface EngineList {
  readonly engines: readonly Engine[];
  /** How many there are in all. */
  readonly total: number;
}

/** The documents of 2025-12 call both mandatory (contracts: huaweicloud §D.1). */
const HEADERS = { "content-type": "application/json;charset=UTF-8", accept: "application/json" };

/** A number below this counts seconds, above it milliseconds: 5138 in one, 1973 in the other. */
const MILLISECONDS_FROM = 100_000_000_000;

/** The part of CSE's API that restartd uses, of one project. Reads throw a Failure of outcome not_applied. */
export interface CseClient {
  /** @throws Failure TARGET_NOT_FOUND and others */
  engine(ref: EngineRef, signal: AbortSignal): Promise<Engine>;
  /** @throws Failure JOB_NOT_FOUND, TARGET_NOT_FOUND and others */
  job(ref: EngineRef, jobId: bigint | number, signal: AbortSignal): Promise<EngineJob>;
  /**
   * The first engines of a project, of type CSE. There is no other beginning: the documents call `offset` an offset in one place and a
   * page's number in the other.
   */
  engines(enterpriseProjectId: string, limit: number, signal: AbortSignal): Promise<EngineList>;
  /**
   * Retries the latest job of an engine, by one request.
   *
   * @param onSend called immediately before the first byte can leave; what it throws is thrown, and nothing is sent.
   * @throws Failure its outcome says whether it can have been applied; a 200 that does not say which job runs is one of them.
   */
  retry(ref: EngineRef, options: { signal: AbortSignal; onSend: () => void }): Promise<Retried>;
}

/** A client of a project. */
export function createCseClient(project: Project): CseClient {
  const headersFor = (enterpriseProjectId: string): Record<string, string> => ({
    ...HEADERS,
    ...(enterpriseProjectId !== "" && { "x-enterprise-project-id": enterpriseProjectId }),
  });

  const send = async (
    request: Pick<HuaweiRequest, "method" | "operation" | "path" | "signal" | "query" | "body" | "onSend">,
    enterpriseProjectId: string,
    subject: RequestSubject,
  ): Promise<Answer> => {
    const path = `/v2/${project.projectId}/enginemgr/engines${request.path}`;
    const answer = await ask(project, { ...request, path, headers: headersFor(enterpriseProjectId) }, subject);
    if (answer.status < 200 || answer.status > 299) {
      throw refused(answer, subject);
    }
    return answer;
  };

  return {
    async engine(ref, signal) {
      const subject = aboutEngine(ref, false);
      const answer = await send({ method: "GET", path: `/${ref.engineId}`, signal }, ref.enterpriseProjectId, subject);
      return whole(readEngine(answer.json), answer, subject);
    },

    async job(ref, jobId, signal) {
      const subject = aboutJob(ref, jobId);
      const path = `/${ref.engineId}/jobs/${jobId}`;
      const answer = await send({ method: "GET", operation: "job", path, signal }, ref.enterpriseProjectId, subject);
      return whole(readJob(answer.json), answer, subject);
    },

    async engines(enterpriseProjectId, limit, signal) {
      const subject = aboutEngines(project.projectId);
      const query = { offset: "0", limit: String(limit), type: "CSE" };
      const answer = await send(
        { method: "GET", operation: "list", path: "", query, signal },
        enterpriseProjectId,
        subject,
      );
      return whole(readList(answer.json, limit), answer, subject);
    },

    async retry(ref, { signal, onSend }) {
      const subject = aboutEngine(ref, true);
      const path = `/${ref.engineId}/actions`;
      const body = { action: "Retry" };
      const answer = await send(
        { method: "PUT", operation: "retry", path, body, signal, onSend },
        ref.enterpriseProjectId,
        subject,
      );
      return whole(readRetried(answer.json, ref.engineId), answer, subject);
    },
  };
}

/** What was read of an answer, which is not what it should be when nothing was. */
function whole<Read>(read: Read | undefined, answer: Answer, subject: RequestSubject): Read {
  if (read === undefined) {
    throw refused(answer, subject);
  }
  return read;
}

function readEngine(json: unknown): Engine | undefined {
  const fields = fieldsOf(json);
  const id = textOf(fields?.id);
  const status = textOf(fields?.status);
  if (fields === undefined || id === undefined || status === undefined) {
    return undefined;
  }
  const latest = integerOf(fields.latestJobId);
  return {
    id,
    status,
    name: textOf(fields.name) ?? "",
    type: textOf(fields.type) ?? "",
    version: textOf(fields.version) ?? "",
    latestJobId: latest === undefined || latest <= 0 ? undefined : latest,
    enterpriseProjectId: textOf(fields.enterpriseProjectId) ?? "",
  };
}

function readJob(json: unknown): EngineJob | undefined {
  const fields = fieldsOf(json);
  const id = integerOf(fields?.id);
  const status = textOf(fields?.status);
  if (fields === undefined || id === undefined || status === undefined) {
    return undefined;
  }
  return {
    id,
    status,
    engineId: textOf(fields.engineId) ?? "",
    type: textOf(fields.type) ?? "",
    startTime: timeOf(fields.startTime),
    endTime: timeOf(fields.endTime),
  };
}

/** An answer with fewer engines than were asked for and are said to be there is no answer; one that is odd does not hide the others. */
function readList(json: unknown, limit: number): EngineList | undefined {
  const fields = fieldsOf(json);
  const data = listOf(fields?.data);
  if (data === undefined) {
    return undefined;
  }
  const engines = data.map(readEngine).filter((engine) => engine !== undefined);
  const total = integerOf(fields?.total) ?? data.length;
  return data.length < Math.min(total, limit) ? undefined : { engines, total };
}

/**
 * Its job is what proves a retry, and another engine's id what disproves it; `job_id` is how the sister call `resize` spells it
 * (contracts: huaweicloud §D.1).
 */
function readRetried(json: unknown, engineId: string): Retried | undefined {
  const fields = fieldsOf(json);
  const id = textOf(fields?.id) ?? engineId;
  const jobId = integerOf(fields?.jobId) ?? integerOf(fields?.job_id);
  return id.toLowerCase() === engineId.toLowerCase() && jobId !== undefined && jobId > 0
    ? { id, name: textOf(fields?.name) ?? "", jobId }
    : undefined;
}

/** The latest time (epoch ms) that a Timestamp can hold: the end of the year 9999. */
const LAST_TIME_MS = 253_402_300_799_999;

/** The SDK's models and the documents have times as epoch milliseconds; seconds and ISO texts are understood all the same. */
function timeOf(value: unknown): number | undefined {
  const number = integerOf(value);
  const seconds = number !== undefined && number < MILLISECONDS_FROM;
  const time = seconds ? number * 1_000 : (number ?? Date.parse(textOf(value) ?? ""));
  return time > 0 && time <= LAST_TIME_MS ? time : undefined;
}
