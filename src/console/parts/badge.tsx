import { ROLLOUT_STATES, STATES } from "../words.ts";

/** How a state looks beside its word: a shape, so that colour alone tells nothing. */
type Look = "busy" | "good" | "bad" | "doubt" | "idle" | "wait";

const SHAPES: Readonly<Record<Look, string>> = { busy: "◐", good: "✓", bad: "✕", doubt: "?", idle: "–", wait: "○" };

const LOOKS: Readonly<Record<string, Look | undefined>> = {
  ACCEPTED: "wait",
  SENDING: "busy",
  SENT: "busy",
  SUCCEEDED: "good",
  FAILED: "bad",
  CANCELLED: "idle",
  UNKNOWN: "doubt",
  NOT_OBSERVED: "bad",
  UNRESOLVED: "doubt",
  PENDING: "wait",
  PROGRESSING: "busy",
  COMPLETE: "good",
  STALLED: "bad",
  PAUSED: "idle",
};

/** The state of an operation or a rollout: a word and a shape. */
export function Badge({ state, children }: { readonly state: string; readonly children?: string }) {
  const look = LOOKS[state] ?? "idle";
  return (
    <span class={`badge ${look}`}>
      <span class="shape" aria-hidden="true">
        {SHAPES[look]}
      </span>
      {children ?? STATES[state] ?? ROLLOUT_STATES[state] ?? state}
    </span>
  );
}

/** A vendor's word for a state: what is well known gets a shape, everything else none. */
export function VendorBadge({ state }: { readonly state: string }) {
  const word = state.toUpperCase();
  const look: Look = /^(RUNNING|AVAILABLE|STARTED|FINISHED|COMPLETED)$/.test(word)
    ? "good"
    : /ERROR|FAIL|TIMEOUT|UNAVAILABLE/.test(word)
      ? "bad"
      : /ING$|INIT/.test(word)
        ? "busy"
        : "idle";
  return (
    <span class={`badge ${look}`}>
      <span class="shape" aria-hidden="true">
        {SHAPES[look]}
      </span>
      {state || "–"}
    </span>
  );
}
