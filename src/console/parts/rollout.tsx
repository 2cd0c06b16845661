import { type Rollout, Rollout_State } from "../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { W } from "../words.ts";
import { Announce } from "./announce.tsx";
import { Badge } from "./badge.tsx";
import { Bars } from "./bars.tsx";

/** How far a rollout has come: in bars, and in kubectl's words. */
export function RolloutPanel({ rollout }: { readonly rollout: Rollout }) {
  const state = stateName(rollout.state);
  return (
    <div class="panel">
      <div class="panel-head">
        <Badge state={state} />
        <p class="message" aria-hidden="true">
          {rollout.message}
        </p>
        <Announce text={rollout.message} last={state === "COMPLETE" || state === "STALLED"} />
      </div>
      <RolloutBars rollout={rollout} />
    </div>
  );
}

/** The bars alone, and why they stand still where that can be seen. */
export function RolloutBars({ rollout }: { readonly rollout: Rollout }) {
  return (
    <div data-testid="rollout" data-state={`STATE_${stateName(rollout.state)}`}>
      <Bars rollout={rollout} />
      {rollout.detail !== "" && (
        <p class="detail">
          <strong>{W.why}:</strong> {rollout.detail}
        </p>
      )}
    </div>
  );
}

const stateName = (state: Rollout_State): string =>
  Object.entries(Rollout_State).find(([, value]) => value === state)?.[0] ?? String(state);
