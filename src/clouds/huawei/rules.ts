import type { Reason } from "../../core/errors.ts";
import type { Answer } from "../http.ts";
import type { HuaweiService } from "./config.ts";

/** What a request was about: an answer without a result is told in these words. */
export interface RequestSubject {
  readonly service: HuaweiService;
  readonly projectId: string;
  /** As a sentence names it, such as `instance e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1`. */
  readonly what: string;
  /** Its resource name, such as projects/{project_id}/dcs/instances/{id}. */
  readonly target: string;
  /** Whether the request may have changed something. */
  readonly changes: boolean;
  /** The reason that a 404 stands for. Default TARGET_NOT_FOUND. */
  readonly missing?: "TARGET_NOT_FOUND" | "JOB_NOT_FOUND";
}

/** One line of a table: what some codes of a vendor mean. */
export interface CodeRule {
  /** The codes as the vendor writes them. */
  readonly codes: readonly string[];
  /** Only with these HTTP statuses. Default any. */
  readonly statuses?: readonly number[];
  /** Only when the vendor's message has this in it. Default any. It is recognised here, and shown nowhere. */
  readonly message?: RegExp;
  readonly reason: Reason;
  /** What is said of it, in our words: what follows {@link RequestSubject.what} in a sentence, or a whole sentence. */
  readonly says: string | ((subject: RequestSubject, answer: Answer) => string);
  /** After how long (ms) the same call may succeed, where the answer has no Retry-After. Default: no RetryInfo. */
  readonly retryMs?: number;
  /**
   * Whether it proves that nothing was done. Default: yes, but for VENDOR_INTERNAL_ERROR and VENDOR_BAD_RESPONSE, which make the
   * outcome of a request that may have changed something unknown.
   */
  readonly provesRefusal?: boolean;
}

/** A vendor's codes. The first line that matches counts. */
export type CodeTable = readonly CodeRule[];

/** A line about HTTP statuses, for answers with a code that is in no table, or without one. */
export type StatusRule = Omit<CodeRule, "codes" | "statuses" | "message" | "reason"> & {
  /** From and to which status. */
  readonly from: number;
  readonly to: number;
  /** `missing` stands for {@link RequestSubject.missing}. */
  readonly reason: Reason | "missing";
};
