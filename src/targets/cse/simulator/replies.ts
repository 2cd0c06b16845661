import { newRequestId } from "../../../clouds/huawei/simulator/replies.ts";
import { jsonReply, type VendorReply } from "../../../clouds/simulator/exchange.ts";

/** How an error is spelled: `snake` by the engine actions, `camel` by reads (contracts: huaweicloud §D.1, §D.2). */
export type ErrorShape = "snake" | "camel";

/** An error of the service. */
export const refused = (status: number, code: string, message: string, shape: ErrorShape): VendorReply =>
  jsonReply(
    status,
    shape === "snake"
      ? { error_code: code, error_msg: message, detail: message }
      : { errorCode: code, errorMessage: message, detail: message },
    { "x-request-id": newRequestId() },
  );

/** What the service says of what it does not have, the way that its newer version says it. */
export const notFound = (shape: ErrorShape): VendorReply =>
  refused(400, "SVCSTG.00501116", "The engine does not exist.", shape);

/** Every error of the contract's table that can meet a retry or a read (contracts: huaweicloud §D.3). */
export const CSE_FAILURES = {
  notFound: { status: 400, code: "SVCSTG.00501116", message: "The engine does not exist." },
  notFoundAsIllegal: { status: 400, code: "SVCSTG.00501125", message: "The engine ID is illegal." },
  notFoundAs401: { status: 401, code: "SVCSTG.00401116", message: "The engine does not exist." },
  notFoundAs401Illegal: { status: 401, code: "SVCSTG.00501125", message: "The engine ID is illegal." },
  nodesAbnormal: { status: 400, code: "SVCSTG.00501149", message: "The engine node status is abnormal. Retry later." },
  jobIdFormat: { status: 400, code: "SVCSTG.00501152", message: "The job ID format is incorrect." },
  noSuchJob: { status: 400, code: "SVCSTG.00501153", message: "The job does not exist." },
  cannotBeDeleted: { status: 400, code: "SVCSTG.00501117", message: "The engine in this state cannot be deleted." },
  unknownCode: { status: 400, code: "SVCSTG.00509999", message: "Something new." },
  unknownServerCode: { status: 500, code: "SVCSTG.00500001", message: "Internal error." },
} as const satisfies Record<string, { status: number; code: string; message: string }>;
