import type { Warning } from "./call.ts";
import type { OperationState } from "./operation.ts";

/** How a request to a vendor ended: the closed values of `restartd_vendor_requests_total`'s label `result`. */
export const VENDOR_RESULTS = [
  "2xx",
  "3xx",
  "4xx",
  "429",
  "5xx",
  "timeout",
  "refused",
  "reset",
  "tls",
  "credentials",
] as const;

/** One of {@link VENDOR_RESULTS}. */
export type VendorResult = (typeof VENDOR_RESULTS)[number];

/** What became of a permit to send: the closed values of `restartd_sends_total`'s label `result`. */
export const SEND_RESULTS = ["accepted", "refused", "unknown", "not_sent"] as const;

/** One of {@link SEND_RESULTS}. */
export type SendResultName = (typeof SEND_RESULTS)[number];

/** What is asked of a store: the closed values of `restartd_store_operation_duration_seconds`' label `operation`. */
export const STORE_OPERATIONS = ["insert", "change", "get", "list", "open", "beat", "remove"] as const;

/** One of {@link STORE_OPERATIONS}. */
export type StoreOperation = (typeof STORE_OPERATIONS)[number];

/** One call that has ended. */
export interface CallCount {
  /** `package.Service/Method`; undefined when there is no such rpc. */
  readonly rpc: string | undefined;
  /** connect, connect-stream, grpc, grpc-web, or what is none of them. */
  readonly protocol: string;
  /** `ok`, or the name of the code in snake_case. */
  readonly code: string;
  /** One of the closed list of reasons; empty when it succeeded. */
  readonly reason: string;
  readonly durationMs: number;
}

/** One request to a vendor that has ended. */
export interface VendorRequestCount {
  /** A target's folder, such as `kubernetes`. */
  readonly system: string;
  /** The configured cluster, site or project. */
  readonly name: string;
  /** What was asked, out of its target's own closed list: patch, get, list, watch, token, ... */
  readonly operation: string;
  readonly result: VendorResult;
  readonly durationMs: number;
}

/**
 * Who counts what happens (production.md §2.4). Every label comes from a closed list or from the configuration, so that no caller can
 * make the number of series grow.
 */
export interface Meter {
  /** A call of an rpc begins. */
  callBegan(rpc: string): void;
  /** A call has ended, be it of an rpc that {@link callBegan} was told of or of none. */
  callEnded(call: CallCount): void;
  /** A request to a vendor has ended. */
  vendorRequest(request: VendorRequestCount): void;
  /** Credentials of a configured cluster, site or project say until when they hold (epoch ms), or do not say. */
  credentialsExpire(system: string, name: string, at: number | undefined): void;
  /** An operation has ended, as this process wrote it down. */
  operationEnded(method: string, action: string, state: OperationState, durationMs: number): void;
  /** What became of a send. */
  sent(method: string, action: string, result: SendResultName): void;
  /** A restart was answered with a warning. */
  warned(warning: Warning): void;
  /** An operation was taken over from a process that is gone. */
  orphaned(to: OperationState): void;
  /** The store has answered, or failed. */
  stored(operation: StoreOperation, result: "ok" | "error" | "uncertain", durationMs: number): void;
  /** Whether the store can be used. */
  storeUp(up: boolean): void;
  /** How many replicas live, this one included. */
  replicas(count: number): void;
}

/** Counts nothing. */
export const noMeter: Meter = {
  callBegan() {},
  callEnded() {},
  vendorRequest() {},
  credentialsExpire() {},
  operationEnded() {},
  sent() {},
  warned() {},
  orphaned() {},
  stored() {},
  storeUp() {},
  replicas() {},
};

/** The system of a full method name, `restart.SYSTEM.v1.Service/Method`: a target's folder, package and section have one name. */
export const systemOf = (method: string): string => method.split(".")[1] ?? "";
