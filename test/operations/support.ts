import { randomUUID } from "node:crypto";
import { Failure } from "../../src/core/errors.ts";
import { formatFailure } from "../../src/core/status.ts";
import type { OperationRecord } from "../../src/operations/store/record.ts";
import { IN_MEMORY, openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import type { Store } from "../../src/operations/store/store.ts";

/** When everything here happens, unless a test says otherwise: 2026-01-31T12:00:00Z. */
export const NOON = Date.UTC(2026, 0, 31, 12);

export const METHOD = "restart.kubernetes.v1.WorkloadService/Restart";

/** A store in memory. */
export const openStore = (now: () => Date = () => new Date(NOON)): Promise<Store> =>
  openSqliteStore({
    path: IN_MEMORY,
    replica: randomUUID(),
    now,
    warn: (message) => {
      throw new Error(message);
    },
  });

/** An accepted operation, of which a test says what is different. */
export function recordOf(different: Partial<OperationRecord> = {}): OperationRecord {
  const id = randomUUID();
  return {
    name: `operations/${id}`,
    principal: "anonymous",
    requestId: undefined,
    requestHash: "hash",
    method: METHOD,
    action: "restart",
    target: `clusters/prod/apps/v1/namespaces/shop/deployments/${id}`,
    blocks: true,
    state: "ACCEPTED",
    version: 1,
    owner: "replica",
    request: "{}",
    response: undefined,
    error: undefined,
    evidence: "{}",
    vendorJob: "",
    warnings: [],
    progress: "",
    reason: "",
    parent: undefined,
    cancelRequested: false,
    createTime: NOON,
    sendTime: undefined,
    updateTime: NOON,
    endTime: undefined,
    ...different,
  };
}

/** What an operation has that nobody can tell the outcome of. */
export const UNRESOLVED = {
  state: "UNRESOLVED",
  endTime: NOON,
  error: formatFailure(new Failure("OUTCOME_UNRESOLVED", "nobody can tell", { outcome: "unknown" })),
} as const satisfies Partial<OperationRecord>;

/** Stores an operation, and answers it. */
export async function insert(store: Store, different: Partial<OperationRecord> = {}): Promise<OperationRecord> {
  const record = recordOf(different);
  await store.insert([record], { event: "accepted" });
  return record;
}
