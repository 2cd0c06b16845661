import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Failure, resourceInfo } from "../../core/errors.ts";
import type { Action, MutatingRequest } from "../../core/operation.ts";
import { formatFailure } from "../../core/status.ts";
import { uuidOfName } from "../../core/uuid.ts";
import type { OperationRecord } from "../store/record.ts";

/** Namespace of the names that are made of a caller and its request_id; published in the README, so that clients can make them too. */
export const NAMESPACE = "7f4b3f3e-3c0c-5d0c-9a5e-6f1d3b2f8c11";

/** What a call is accepted with. */
export interface Acceptance {
  readonly principal: string;
  /** Id of this process. */
  readonly replica: string;
  /** Makes ids of operations without a request_id. */
  readonly newId: () => string;
  /** Epoch ms. */
  readonly now: number;
}

/** The operation that a call becomes when it is accepted. */
export function newRecord<Input extends DescMessage>(
  action: Pick<Action<Input>, "method" | "actionOf" | "targetOf">,
  request: MessageShape<Input> & MutatingRequest,
  { principal, replica, newId, now }: Acceptance,
): OperationRecord {
  const { input } = action.method;
  const requestId = request.requestId === "" ? undefined : request.requestId.toLowerCase();
  const id = requestId === undefined ? newId() : uuidOfName(NAMESPACE, `${principal}/${requestId}`);
  return {
    name: `operations/${id}`,
    principal,
    requestId,
    requestHash: createHash("sha256")
      .update(toBinary(input, { ...request, requestId: "" }))
      .digest("hex"),
    method: methodName(action),
    action: action.actionOf(request),
    target: action.targetOf(request),
    blocks: true,
    state: "ACCEPTED",
    version: 1,
    owner: replica,
    request: toJsonString(input, request),
    response: undefined,
    error: undefined,
    evidence: "{}",
    vendorJob: "",
    warnings: [],
    progress: "",
    reason: request.reason,
    parent: undefined,
    cancelRequested: false,
    createTime: now,
    sendTime: undefined,
    updateTime: now,
    endTime: undefined,
  };
}

/** The operation of one item of a call: it goes with the call's own, and has no request_id. */
export const newChild = <Input extends DescMessage>(
  action: Pick<Action<Input>, "method" | "actionOf" | "targetOf">,
  item: MessageShape<Input>,
  parent: Pick<OperationRecord, "name" | "reason">,
  acceptance: Acceptance,
): OperationRecord => ({
  ...newRecord(
    action,
    { ...item, requestId: "", validateOnly: false, overrideFreeze: false, reason: parent.reason },
    acceptance,
  ),
  parent: parent.name,
});

/** An operation that is stored all the same though it will not be sent: why is known already. */
export const refusedRecord = (record: OperationRecord, failure: Failure): OperationRecord => ({
  ...record,
  state: "FAILED",
  blocks: false,
  error: formatFailure(failure),
  endTime: record.createTime,
});

/** Full name of an action's rpc, `package.Service/Method`. */
export const methodName = ({ method }: Pick<Action, "method">): string => `${method.parent.typeName}/${method.name}`;

/** Refuses a request_id that was used for something else. */
export function refuseReuse(
  repeated: Pick<OperationRecord, "requestHash" | "method" | "requestId">,
  used: Pick<OperationRecord, "requestHash" | "method" | "name">,
): void {
  if (repeated.requestHash !== used.requestHash || repeated.method !== used.method) {
    throw new Failure(
      "REQUEST_ID_REUSED",
      `request_id ${repeated.requestId} belongs to a call with other parameters, ${used.name}; use a new one for a new call`,
      { metadata: { operation: used.name }, details: [resourceInfo("restartd.operation", used.name)] },
    );
  }
}

/** Why a call has to wait until another operation on its target has ended. */
export function inProgress(blocking: OperationRecord, now: number): Failure {
  const seconds = Math.max(0, Math.round((now - blocking.createTime) / 1000));
  const advice =
    blocking.state === "UNRESOLVED"
      ? "nobody knows what became of it: find out, and resolve it (restartd operations resolve)"
      : "wait until it has ended";
  return new Failure(
    "OPERATION_IN_PROGRESS",
    `${blocking.target} is blocked by ${blocking.name}, ${blocking.state} for ${seconds} s: ${advice}`,
    {
      metadata: { operation: blocking.name, state: blocking.state, age_seconds: String(seconds) },
      details: [resourceInfo("restartd.operation", blocking.name)],
    },
  );
}
