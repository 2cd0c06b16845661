import { randomUUID } from "node:crypto";
import type { OperationRecord } from "../../src/operations/store/record.ts";

/** A fresh request_id. */
export const uuid = (): string => randomUUID();

/** An operation as it is accepted, of its own target unless told otherwise. */
export function record(part: Partial<OperationRecord> = {}): OperationRecord {
  const id = randomUUID();
  return {
    name: `operations/${id}`,
    principal: "alice",
    requestId: randomUUID(),
    requestHash: "hash",
    method: "restart.kubernetes.v1.WorkloadService/Restart",
    action: "restart",
    target: `targets/${id}`,
    blocks: true,
    state: "ACCEPTED",
    version: 1,
    owner: "replica",
    request: '{"name":"web"}',
    response: undefined,
    error: undefined,
    evidence: "{}",
    vendorJob: "",
    warnings: [],
    progress: "",
    reason: "",
    parent: undefined,
    cancelRequested: false,
    createTime: 1_000,
    sendTime: undefined,
    updateTime: 1_000,
    endTime: undefined,
    ...part,
  };
}
