import { randomUUID } from "node:crypto";
import { newCall } from "../../src/core/call.ts";
import type { OpenTarget, RunningTarget } from "../../src/core/target.ts";

type AnyAction = RunningTarget["actions"][number];

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
    return { ...target, actions: target.actions.map(resendingAction) };
  };

const resendingAction = (action: AnyAction): AnyAction => ({
  ...action,
  async observe(operation, request, signal) {
    if (operation.state !== "UNKNOWN") return action.observe(operation, request, signal);
    const asking = {
      call: newCall(randomUUID()),
      signal,
      remainingMs: () => AGAIN_MS,
      validateOnly: false,
      warn: () => {},
    };
    const plan = await action.prepare(request, asking);
    const permit = async () => () => {};
    const { vendorJob, evidence } = await action.send(request, plan, { ...asking, operation: operation.name, permit });
    return { kind: "running", ...(vendorJob !== undefined && { vendorJob }), ...(evidence && { evidence }) };
  },
});
