import type { JsonObject } from "@bufbuild/protobuf";
import { readBack } from "../../clouds/read-back.ts";
import { Failure } from "../../core/errors.ts";
import type { SendContext } from "../../core/operation.ts";
import type { DcsAction, DcsClient } from "./client.ts";
import type { DcsInstance } from "./instance.ts";
import { baselineOf, begunEvidence, hasBegun } from "./observe.ts";

/** What is sent. */
export interface Change {
  readonly action: DcsAction;
  /** The instance as it was checked. */
  readonly before: DcsInstance;
  /** Whether it is one of several of a call: then it can wait. */
  readonly together: boolean;
}

/**
 * Sends one request for one instance, once. One of several that the vendor refuses because it has had too many, which proves that nothing
 * was done, goes back into the line, and is sent with a new permit when its turn has come.
 *
 * @returns what is known of it, to be recorded.
 * @throws Failure its outcome decides.
 */
export async function sendChange(
  client: DcsClient,
  change: Change,
  sending: Pick<SendContext, "permit" | "signal" | "call" | "remainingMs">,
): Promise<JsonObject> {
  for (;;) {
    if (change.together) await client.turn(sending.remainingMs(), sending.signal);
    try {
      return await sendOnce(client, change, sending);
    } catch (error) {
      const isTooMany = error instanceof Failure && error.reason === "THROTTLED" && error.outcome === "not_applied";
      if (!change.together || !isTooMany) throw error;
    }
  }
}

/** Where nobody knows what came of the request, one read may prove that it was applied. */
async function sendOnce(
  client: DcsClient,
  { action, before }: Change,
  { permit, signal, call }: Pick<SendContext, "permit" | "signal" | "call">,
): Promise<JsonObject> {
  const baseline = baselineOf(before);
  const { instanceId } = before;
  const onSend = await permit(baseline);
  const evidence = await client.change(instanceId, { action, signal, onSend }).then(
    () => baseline,
    async (error: unknown) => {
      if (error instanceof Failure) call.outcome = error.outcome;
      const seen = await readBack(error, (limit) => client.instance(instanceId, limit));
      if (!hasBegun(baseline, action, seen)) throw error;
      return begunEvidence(baseline);
    },
  );
  call.outcome = "applied";
  return evidence;
}
