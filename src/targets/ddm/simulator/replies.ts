import { newRequestId } from "../../../clouds/huawei/simulator/replies.ts";
import { jsonReply, type VendorReply } from "../../../clouds/simulator/exchange.ts";

/** An error of the service, in its own shape (contracts: huaweicloud §C.1). */
export const refused = (status: number, code: string, message: string): VendorReply =>
  jsonReply(status, { externalMessage: message, errCode: code }, { "x-request-id": newRequestId() });

/** Every error of the contract's tables that can meet a restart or a read (contracts: huaweicloud §C.1, §C.4). */
export const DDM_FAILURES = {
  busy: {
    status: 409,
    code: "DBS.200019",
    message: "Another operation is being performed, or the instance is faulty.",
  },
  busyAsForbidden: { status: 403, code: "DBS.200019", message: "Another operation is being performed." },
  operated: { status: 409, code: "DBS.212033", message: "The instance is being operated." },
  busyAs400: { status: 400, code: "DBS.200047", message: "Another operation is being performed." },
  busy200011: { status: 409, code: "DBS.200011", message: "Another operation is being performed." },
  busy201014: { status: 403, code: "DBS.201014", message: "The instance is in a status that forbids the operation." },
  busy201015: { status: 400, code: "DBS.201015", message: "Another operation is being performed." },
  busyByNumber: { status: 409, code: "05000084", message: "Another operation is being performed." },
  busyAs500: { status: 500, code: "DBS.280228", message: "Another operation is being performed." },
  busyOldest: { status: 400, code: "DDM.0602", message: "The database is busy." },
  statusForbids: { status: 403, code: "DBS.200018", message: "The status forbids the operation." },
  statusForbids200076: { status: 400, code: "DBS.200076", message: "The status forbids the operation." },
  statusForbids200086: { status: 400, code: "DBS.200086", message: "The status forbids the operation." },
  rdsNotUsable: { status: 400, code: "DBS.300323", message: "The associated RDS instance is not in a usable state." },
  notFound: { status: 404, code: "DBS.200002", message: "The instance does not exist." },
  notFound200013: { status: 404, code: "DBS.200013", message: "The instance does not exist." },
  notFound280238: { status: 400, code: "DBS.280238", message: "The instance does not exist." },
  notFoundAs400: { status: 400, code: "DBS.200045", message: "The instance does not exist." },
  taskNotFound: { status: 400, code: "DBS.300400", message: "The task does not exist." },
  taskNotRead: { status: 400, code: "DBS.300120", message: "Failed to obtain task information." },
  notAuthorised: { status: 403, code: "DBS.200010", message: "No permission." },
  notAuthorisedAs400: { status: 400, code: "DBS.200044", message: "There is no such resource." },
  taskTypeForbids: { status: 400, code: "DBS.300379", message: "The operation is not allowed." },
  parameter: { status: 400, code: "DBS.280001", message: "Parameter error." },
  invalidParameter: { status: 400, code: "DBS.300375", message: "Invalid instance_id." },
  emptyRequest: { status: 400, code: "DBS.200004", message: "The request is empty." },
  serverFailure: { status: 500, code: "DBS.200412", message: "Server failure." },
  serverFailureRds: { status: 500, code: "DBS.200005", message: "Server failure." },
  serverFailureAs400: { status: 400, code: "DBS.300002", message: "Server failure." },
  unknownForbidden: { status: 403, code: "DBS.299999", message: "Something new." },
  unknownCode: { status: 409, code: "DBS.999999", message: "Something new." },
} as const satisfies Record<string, { status: number; code: string; message: string }>;
