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
}

/**
 * Sends one request for one instance, once. Where nobody knows what came of it, one read may prove that it was applied.
 *
 * @returns what is known of it, to be recorded.
 * @throws Failure its outcome decides.
 */
export async function sendChange(
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
