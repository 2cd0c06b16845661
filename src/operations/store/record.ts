import type { Code } from "@connectrpc/connect";
import type { OperationState } from "../../core/operation.ts";

/** One operation as the store keeps it. Times are the wall clock's, in epoch ms, for people: ages are never judged by them. */
export interface OperationRecord {
  /** operations/{id}. */
  readonly name: string;
  /** Who asked; a request_id is unique within it. */
  readonly principal: string;
  /** The caller's request_id in lower case; undefined when it gave none. */
  readonly requestId: string | undefined;
  /** SHA-256 of the request but for its request_id. */
  readonly requestHash: string;
  /** Full name of the rpc, `package.Service/Method`. */
  readonly method: string;
  /** What is done, in the vendor's word. */
  readonly action: string;
  /** Resource name of what is restarted. */
  readonly target: string;
  /** Whether it keeps other operations from its target now. */
  readonly blocks: boolean;
  readonly state: OperationState;
  /** Grows by one with every change: the compare-and-set goes by it. */
  readonly version: number;
  /**
   * Replica that runs the call, by the id of its process; nobody else ever sends. Once that is over it is the one that looks what
   * became of it: when it dies, another one writes itself here, and looks on.
   */
  readonly owner: string;
  /** The request, as JSON. */
  readonly request: string;
  /** The rpc's answer, as JSON, once it is known. */
  readonly response: string | undefined;
  /** Why it ended badly (core/status.ts). */
  readonly error: string | undefined;
  /** What the action recorded, as JSON. */
  readonly evidence: string;
  readonly vendorJob: string;
  /** Tokens of `restart-warning`. */
  readonly warnings: readonly string[];
  readonly progress: string;
  readonly reason: string;
  /** operations/{id} of the operation whose child it is. */
  readonly parent: string | undefined;
  readonly cancelRequested: boolean;
  readonly createTime: number;
  readonly sendTime: number | undefined;
  readonly updateTime: number;
  readonly endTime: number | undefined;
}

/** What has to be known of each operation that has not ended, to find those that nobody works on. */
export type OpenOperation = Pick<OperationRecord, "name" | "state" | "version" | "owner" | "method" | "parent">;

/** What is left of an operation for ever when its request_id was used, so that the id never runs again. */
export interface Tombstone
  extends Pick<
    OperationRecord,
    "name" | "principal" | "requestHash" | "method" | "target" | "state" | "response" | "error"
  > {
  readonly requestId: string;
  /** google.rpc.Code of its end; 0 is OK. */
  readonly code: Code | 0;
  readonly endTime: number;
}

/** What can change in an operation. */
export type Change = Partial<
  Pick<
    OperationRecord,
    | "blocks"
    | "state"
    | "owner"
    | "response"
    | "error"
    | "evidence"
    | "vendorJob"
    | "warnings"
    | "progress"
    | "cancelRequested"
    | "sendTime"
    | "endTime"
  >
>;

/** An operation after a change, as it is stored. @param updateTime epoch ms. */
export const changedRecord = (before: OperationRecord, change: Change, updateTime: number): OperationRecord => ({
  ...before,
  ...change,
  version: before.version + 1,
  updateTime,
});

/** What the audit trail says of a change, beside when, by which replica, and from which state to which. */
export interface AuditEvent {
  /** What happened: `accepted`, `permit`, `sent`, `refused`, `cancel requested`, `resolved`, ... */
  readonly event: string;
  /** Who caused it; the replica itself when undefined. */
  readonly actor?: string;
  /** In words: a reason, a note, a failure's sentence. Never secrets. */
  readonly detail?: string;
  /** Who they are, as JSON; undefined where nobody is asked who they are. */
  readonly identity?: string | undefined;
}

/** One row of the audit trail. */
export interface AuditRow extends Required<Omit<AuditEvent, "identity">>, Pick<AuditEvent, "identity"> {
  readonly sequence: number;
  readonly operation: string;
  readonly time: number;
  readonly replica: string;
  readonly from: OperationState | undefined;
  readonly to: OperationState;
}

/** States that nothing leads out of, but for an operator's word on UNRESOLVED. */
export const ENDED: ReadonlySet<OperationState> = new Set<OperationState>([
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "NOT_OBSERVED",
  "UNRESOLVED",
]);
