import { randomUUID } from "node:crypto";
import { newCall } from "../../src/core/call.ts";
import type { Action } from "../../src/core/operation.ts";
import { ANONYMOUS } from "../../src/core/principal.ts";
import type { OpenTarget } from "../../src/core/target.ts";

// biome-ignore lint/suspicious/noExplicitAny: whoever holds an action of some target does not know its messages
type AnyAction = Action<any, any, any>;

/** How long (ms) a request that is sent again may take. */
const AGAIN_MS = 5_000;

/**
 * The negative control: a target whose operations are sent again when nobody knows whether they were sent, as engines of durable
 * workflows do with a step whose process died or whose lease ran out.
 */
export const resending =
  (open: OpenTarget): OpenTarget =>
  (runtime) => {
    const target = open(runtime);
    return {
      ...target,
      actions: target.actions.map((action) =>
        "item" in action ? { ...action, item: resendingAction(action.item) } : resendingAction(action),
      ),
    };
  };

const resendingAction = (action: AnyAction): AnyAction => ({
  ...action,
  async observe(operation, request, signal) {
    if (operation.state !== "UNKNOWN") return action.observe(operation, request, signal);
    const asking = {
      call: newCall(randomUUID()),
      principal: ANONYMOUS,
      signal,
      remainingMs: () => AGAIN_MS,
      validateOnly: false,
      warn: () => {},
    };
    const plan = await action.prepare(request, asking);
    const permit = async () => () => {};
    const sent = await action.send(request, plan, { ...asking, operation: operation.name, permit });
    const { response, done = false, vendorJob, evidence } = sent;
    return {
      kind: done ? "succeeded" : "running",
      ...(response && { response }),
      ...(vendorJob !== undefined && { vendorJob }),
      ...(evidence && { evidence }),
    };
  },
});
