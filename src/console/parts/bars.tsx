import type { Rollout } from "../../../gen/restart/kubernetes/v1/workload_pb.ts";

const NAMES = ["updated", "ready", "available"] as const;

/** More cells than this would be stripes. */
const MAX_CELLS = 40;

/** How many of a rollout's pods are updated, ready and available. */
export function Bars({ rollout }: { readonly rollout: Rollout }) {
  const { desired } = rollout;
  return (
    <div class="bars">
      {NAMES.map((name) => (
        <Bar key={name} name={name} value={rollout[name]} of={desired} />
      ))}
    </div>
  );
}

function Bar({ name, value, of }: { readonly name: string; readonly value: number; readonly of: number }) {
  const text = `${value} of ${of}`;
  const share = of === 0 ? 100 : Math.min(100, (value / of) * 100);
  return (
    <div class="bar">
      <span class="bar-name">{name}</span>
      <div
        role="progressbar"
        tabIndex={-1}
        aria-label={name}
        aria-valuemin={0}
        aria-valuemax={of}
        aria-valuenow={Math.min(value, of)}
        aria-valuetext={text}
        class={`track ${share === 100 ? "full" : ""}`}
        style={{ "--cells": of > 0 && of <= MAX_CELLS ? of : 1 }}
      >
        <div class="fill" style={{ width: `${share}%` }} />
      </div>
      <span class="bar-text">{text}</span>
    </div>
  );
}
