import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { WARNING_SENTENCES } from "../../core/warnings.ts";
import { type Answer, type Ask, type Intent, type Refused, sendOnce } from "../api/intention.ts";
import { type Problem, problemOfStatus } from "../api/problem.ts";
import { W } from "../words.ts";
import { freezeIn, isAboutWord } from "./acknowledge.tsx";
import { ProblemBox } from "./problem.tsx";

/** How the check stands: what was asked, and what came of it. */
export type CheckState =
  | { readonly state: "checking" }
  | { readonly state: "ok"; readonly answer: Answer }
  | { readonly state: "refused" | "failed"; readonly problem: Problem };

/** What a person has typed: what may be lost, and what is done in spite of a freeze. */
export type Said = Pick<Ask, "acknowledged" | "overrideFreeze">;

/** Makes the check when the dialog opens, and again whenever what is acknowledged changes. */
export function useCheck(
  intent: Intent,
  { acknowledged, overrideFreeze }: Said,
  reason: string,
): [CheckState, () => void] {
  const [check, setCheck] = useState<CheckState>({ state: "checking" });
  const said = useRef(reason);
  said.current = reason;
  const running = useRef<AbortController>(undefined);
  const again = useCallback(() => {
    running.current?.abort();
    const attempt = new AbortController();
    running.current = attempt;
    setCheck({ state: "checking" });
    const ask = { validateOnly: true, requestId: "", reason: said.current, acknowledged, overrideFreeze };
    sendOnce(intent, ask, attempt.signal).then(
      (answer) => setCheck(judge(answer)),
      (error: unknown) => {
        if (!attempt.signal.aborted) reportError(error);
      },
    );
  }, [intent, acknowledged, overrideFreeze]);
  useEffect(() => {
    again();
    return () => running.current?.abort();
  }, [again]);
  return [check, again];
}

function judge(answer: Answer | Refused): CheckState {
  if (!("problem" in answer)) return { state: "ok", answer };
  const { problem } = answer;
  const refused = problem.outcome === "not_applied" && problem.reason !== "INTERNAL";
  return { state: refused ? "refused" : "failed", problem };
}

/** What {@link Check} is given. */
export interface CheckProps {
  readonly check: CheckState;
  readonly intent: Intent;
  readonly onAgain: () => void;
}

/** What the check says. */
export function Check({ check, intent, onAgain }: CheckProps) {
  return (
    <>
      <p role="status" data-testid="check" data-state={check.state} class={`check ${check.state}`}>
        {check.state === "checking" && W.checking}
        {check.state === "ok" && intent.checked}
        {check.state === "refused" && W.checkRefused}
        {check.state === "failed" && W.checkFailed}
      </p>
      {"problem" in check && (
        <ProblemBox
          problem={check.problem}
          onRetry={onAgain}
          retryLabel={W.checkAgain}
          alert
          brief={
            (isAboutWord(check.problem) && intent.acknowledgement !== undefined) ||
            freezeIn(check.problem) !== undefined
          }
        />
      )}
      {check.state === "ok" && <Warnings tokens={check.answer.warnings} />}
      {check.state === "ok" && <Refusals answer={check.answer} />}
    </>
  );
}

/** What one should know before, or of what was done: a token that this page does not know stands for itself. */
export function Warnings({ tokens }: { readonly tokens: readonly string[] }) {
  if (tokens.length === 0) return null;
  return (
    <ul class="warnings" data-testid="warnings">
      {tokens.map((token) => (
        <li key={token} data-warning={token}>
          <code>{token}</code> {WARNING_SENTENCES[token]}
        </li>
      ))}
    </ul>
  );
}

/** Of a call about several: those that would be refused while others are taken. */
function Refusals({ answer }: { readonly answer: Answer }) {
  const refused = answer.results.flatMap(({ instanceId, error }) => (error ? [{ instanceId, error }] : []));
  if (refused.length === 0) return null;
  return (
    <div class="warnings">
      {W.someRefused}
      <ul>
        {refused.map(({ instanceId, error }) => (
          <li key={instanceId}>
            <code>{instanceId}</code>: {problemOfStatus(error).reason}: {error.message}
          </li>
        ))}
      </ul>
    </div>
  );
}
