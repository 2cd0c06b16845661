import type { Answer } from "../../clouds/http.ts";
import { ask } from "../../clouds/huawei/ask.ts";
import type { HuaweiRequest, Project } from "../../clouds/huawei/project.ts";
import type { RequestSubject } from "../../clouds/huawei/rules.ts";
import { readAppendOnly, readInstance, readPage, readResult } from "./answers.ts";
import { askedAbout, askedAboutAll, refusal, reportedFailed } from "./errors.ts";
import type { DcsInstance, DcsPage } from "./instance.ts";

/** What PUT instances/status does to instances, in the vendor's words. */
export type DcsAction = "restart" | "soft_restart" | "flush";

/** What is asked of DCS, and of IAM for it, as metrics call it. */
export const VENDOR_OPERATIONS = ["restart", "soft_restart", "flush", "get", "list", "configs", "token"] as const;

/** Which page. */
export interface PageOptions {
  readonly offset: number;
  /** At most 1,000. */
  readonly limit: number;
}

/** What PUT instances/status asks for, and how it is sent. */
export interface ChangeOptions {
  readonly action: DcsAction;
  readonly signal: AbortSignal;
  /** Called immediately before the first byte can leave; what it throws is thrown, and nothing is sent. */
  readonly onSend: () => void;
}

/**
 * The part of the DCS API that is used (contracts/huaweicloud.md B), for one project. What it rejects with is a Failure; one whose
 * outcome is not `unknown` surely changed nothing.
 */
export interface DcsClient {
  /** GET instances/{id}. */
  instance(id: string, signal: AbortSignal): Promise<DcsInstance>;
  /** Whether it writes an append-only file, by GET instances/{id}/configs. Undefined when the answer does not say so. */
  appendOnly(id: string, signal: AbortSignal): Promise<boolean | undefined>;
  /** GET instances. */
  instances(page: PageOptions, signal: AbortSignal): Promise<DcsPage>;
  /** Waits until the account may be asked again that has asked too fast; see {@link Project.turn}. */
  turn(limitMs: number, signal: AbortSignal): Promise<void>;
  /** PUT instances/status for one instance, once. Resolves when the vendor says `success` of it: it was accepted, not done. */
  change(id: string, options: ChangeOptions): Promise<void>;
}

/** Bounds (ms) the wait for a connection, and then for an answer. */
export const REQUEST_LIMIT_MS = 30_000;

/** Talks to DCS about the instances of one project. */
export function createClient(project: Project): DcsClient {
  const { projectId } = project;
  const path = (rest = ""): string => `/v2/${encodeURIComponent(projectId)}/instances${rest}`;
  const pathOf = (id: string): string => path(`/${encodeURIComponent(id)}`);

  /** The answer of a read, as far as it says what is looked for. */
  const get = async <Result>(
    subject: RequestSubject,
    request: Pick<HuaweiRequest, "operation" | "path" | "query" | "signal">,
    read: (json: unknown) => Result | undefined,
  ): Promise<Result> => {
    const answer = await ask(project, { ...request, method: "GET", timeoutMs: REQUEST_LIMIT_MS }, subject);
    const result = answer.status === 200 ? read(answer.json) : undefined;
    if (result === undefined) {
      throw refusal(answer, subject);
    }
    return result;
  };

  return {
    instance: (id, signal) =>
      get(askedAbout(projectId, id, false), { path: pathOf(id), signal }, (json) => {
        const instance = readInstance(json);
        return instance?.instanceId === id ? instance : undefined;
      }),

    async appendOnly(id, signal) {
      const request = { operation: "configs", path: `${pathOf(id)}/configs`, signal };
      const { value } = await get(askedAbout(projectId, id, false), request, (json) => ({
        value: readAppendOnly(json),
      }));
      return value;
    },

    instances({ offset, limit }, signal) {
      const query = { offset: String(offset), limit: String(limit) };
      return get(askedAboutAll(projectId), { operation: "list", path: path(), query, signal }, readPage);
    },

    turn: (limitMs, signal) => project.turn(limitMs, signal),

    async change(id, { action, signal, onSend }) {
      const subject = askedAbout(projectId, id, true);
      const body = { instances: [id], action };
      const request = {
        method: "PUT",
        operation: action,
        path: path("/status"),
        body,
        signal,
        timeoutMs: REQUEST_LIMIT_MS,
        onSend,
      } as const;
      const answer = await ask(project, request, subject);
      requireSuccess(answer, subject, id);
    },
  };
}

/** Only a clear word about this very instance counts: its position in the answer says nothing. */
function requireSuccess(answer: Answer, subject: RequestSubject, id: string): void {
  const result = answer.status >= 200 && answer.status < 300 ? readResult(answer.json, id) : undefined;
  if (result === "failed") {
    throw reportedFailed(answer, subject);
  }
  if (result === undefined) {
    throw refusal(answer, subject);
  }
}
