import { Failure } from "../../core/errors.ts";
import { guarded } from "../records/unavailable.ts";
import type { OperationRecord } from "../store/record.ts";
import type { Found } from "../store/store.ts";
import { inProgress } from "./accept.ts";
import type { CallEnvironment } from "./environment.ts";

/**
 * The operation that a call is already: its request_id was used before. Asked again when its checks refuse a call, because what they
 * met may be what the same call has begun, which came later and was faster.
 */
export async function findUse(
  { store }: Pick<CallEnvironment, "store">,
  { principal, requestId }: Pick<OperationRecord, "principal" | "requestId">,
): Promise<Found | undefined> {
  return requestId === undefined ? undefined : guarded(store.find(principal, requestId));
}

/** Why nothing else is accepted about a target now: an operation of ours is not done with it. Undefined: none is in the way. */
export async function blockedBy(
  target: string,
  { store, now }: Pick<CallEnvironment, "store" | "now">,
): Promise<Failure | undefined> {
  const blocking = await guarded(store.blocking(target));
  return blocking && inProgress(blocking, now());
}

/**
 * Why a call's checks refused it: where they met something that is under way, and it is an operation of ours, that is named.
 *
 * @param target resource name of what the call is about.
 */
export async function nameBlockingOperation<Refusal>(
  refusal: Refusal,
  target: string,
  running: Pick<CallEnvironment, "store" | "now">,
): Promise<Refusal | Failure> {
  return refusal instanceof Failure && refusal.reason === "OPERATION_IN_PROGRESS"
    ? ((await blockedBy(target, running)) ?? refusal)
    : refusal;
}
