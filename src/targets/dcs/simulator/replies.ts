import { jsonReply, type VendorReply } from "../../../clouds/simulator/exchange.ts";

/** One line of the vendor's table of error codes. */
export interface ErrorRow {
  /** HTTP status that it comes with. */
  readonly status: number;
  /** As the newer API says it: `DCS.4111`. */
  readonly code: string;
  /** As the older API says it: `111400111`. Undefined where no table shows it. */
  readonly numeric?: string;
  readonly message: string;
}

/** A code of the family 4xyz, which the older API says as 111400xyz. */
const four = (code: string, message: string, status = 400): ErrorRow => ({
  status,
  code: `DCS.4${code}`,
  numeric: `111400${code}`,
  message,
});

/** The vendor's codes that matter here, each as it comes over the wire (contracts/huaweicloud.md B.3). */
export const ERROR_ROWS: readonly ErrorRow[] = [
  four("002", "The project ID format is invalid."),
  four("004", "The request body is empty."),
  four("005", "The request body is not in JSON format."),
  four("017", "A job of this instance is still running."),
  four("026", "This operation is not allowed when the instance is in the current state."),
  four("027", "This operation is not supported on this node."),
  four("049", "The instance is not running."),
  four("061", "The instance ID format is invalid."),
  four("062", "Invalid parameter."),
  four("063", "Invalid {0} parameter in the request."),
  four("064", "The action must be start, stop, or restart."),
  four("065", "The parameter instances is missing."),
  four("069", "Another user is modifying the configuration.", 500),
  four("086", "Only master/standby instances support this operation."),
  four("096", "The instance is being backed up."),
  four("097", "The instance is being restored."),
  four("100", "The number of instances exceeds 50."),
  four("104", "The instance is recovering from an internal fault. Try again later."),
  four("108", "A scale-up order of this instance is being processed."),
  four("111", "The instance is being restarted."),
  four("113", "The instance is being extended."),
  four("114", "The instance is being configured."),
  four("115", "The password of the instance is being changed."),
  four("116", "The instance is being upgraded."),
  four("117", "The instance is being rolled back."),
  four("118", "The instance is being created."),
  four("120", "The instance is being frozen."),
  four("121", "The password of the instance is being reset."),
  four("201", "Do not support SSL."),
  four("231", "An offline key analysis of the instance is running."),
  four("975", "The instance is being created or restarted."),
  { status: 400, code: "CBC.99003651", message: "Another operation is being performed on the resource." },
  { status: 401, code: "DCS.1001", numeric: "111401001", message: "The token is invalid." },
  { status: 401, code: "DCS.1002", numeric: "111401002", message: "The token has expired." },
  { status: 401, code: "DCS.1003", numeric: "111401003", message: "The token is missing." },
  { status: 401, code: "DCS.1004", numeric: "111401004", message: "The project ID does not match the token." },
  { status: 403, code: "DCS.2003", message: "The role does not have the permission." },
  { status: 403, code: "DCS.2007", message: "The policy does not allow this operation." },
  { status: 403, code: "DCS.3002", message: "The tenant is read-only." },
  { status: 403, code: "DCS.3003", message: "The role does not have the permission." },
  { status: 404, code: "DCS.3022", numeric: "111404022", message: "This DCS instance does not exist." },
  { status: 404, code: "DCS.4001", message: "The URL does not exist." },
  { status: 405, code: "DCS.5001", message: "The method is not allowed." },
  { status: 500, code: "DCS.5000", message: "Internal service error." },
  { status: 500, code: "DCS.5006", message: "Failed to submit the job." },
  { status: 500, code: "DCS.5010", message: "Failed to operate the instance." },
  { status: 500, code: "DCS.5017", message: "Internal communication error." },
  { status: 500, code: "DCS.5024", message: "The database is not available." },
  { status: 500, code: "DCS.5044", message: "Failed to call the service." },
  { status: 500, code: "DCS.5091", message: "The operation failed." },
  { status: 500, code: "DCS.5095", message: "The script failed. Try again." },
];

/** How an error is said: which of its two codes, and in which shape. */
export type ErrorForm = "code" | "numeric" | "v1.0";

/**
 * The vendor's answer with one of its codes.
 *
 * @param form `code` (default) and `numeric` in today's shape; `v1.0`: the numeric code in the shape of the older API.
 */
export function dcsError(code: string, form: ErrorForm = "code"): VendorReply {
  const row = ERROR_ROWS.find((one) => one.code === code || one.numeric === code);
  if (row === undefined) throw new Error(`the vendor has no code ${code}`);
  const said = form === "code" ? row.code : (row.numeric ?? row.code);
  return form === "v1.0"
    ? jsonReply(row.status, { error: { code: said, message: row.message } })
    : jsonReply(row.status, { error_code: said, error_msg: row.message, error_ext_msg: null });
}
