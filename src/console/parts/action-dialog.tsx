import { useEffect, useState } from "preact/hooks";
import type { Intent } from "../api/intention.ts";
import { keepDraft, takeDraft } from "../api/pending.ts";
import type { Problem } from "../api/problem.ts";
import { useServer } from "../server.ts";
import { W } from "../words.ts";
import { Acknowledge, freezeIn, isAboutWord, isAcknowledged } from "./acknowledge.tsx";
import { Check, useCheck } from "./check.tsx";
import { Dialog } from "./dialog.tsx";
import { ProblemBox } from "./problem.tsx";
import { ReasonField } from "./reason.tsx";
import { useSubmission } from "./submission.ts";

/** What {@link ActionDialog} is given. */
export interface ActionDialogProps {
  readonly intent: Intent;
  readonly onClose: () => void;
}

/** A text that has not changed for so many ms is written. */
const WRITTEN_MS = 400;

/** Says what will be done, checks it, asks why, and does it once. */
export function ActionDialog({ intent, onClose }: ActionDialogProps) {
  const server = useServer();
  const [reason, setReason] = useState(() => takeDraft(intent.title));
  const [typed, setTyped] = useState("");
  const [frozen, setFrozen] = useState<Problem>();
  const [typedFreeze, setTypedFreeze] = useState("");
  const freeze = freezeIn(frozen);
  const choices = {
    acknowledged: isAcknowledged(intent.acknowledgement, typed),
    overrideFreeze: isAcknowledged(freeze, typedFreeze),
  };
  const [check, checkAgain] = useCheck(intent, choices, reason);
  const { sending, busy, renew, submit } = useSubmission(intent, onClose);
  // A freeze is in the way from when it was met, be that by the check or by the submission.
  const met = [check, sending].map((each) => ("problem" in each ? each.problem : undefined)).find(freezeIn);
  useEffect(() => {
    if (met !== undefined) setFrozen(met);
  }, [met]);
  const asksFor = "problem" in check && isAboutWord(check.problem) ? check.problem : undefined;
  const reasonMissing = (server?.requireReason ?? false) && reason.trim() === "";
  const ready = check.state === "ok" && !reasonMissing && !busy && sending.kind !== "lost";
  const needsAcknowledgement =
    intent.acknowledgement !== undefined && (intent.acknowledgement.always || asksFor !== undefined || typed !== "");

  useEffect(() => keepForLogin(check, intent, reason), [check, intent, reason]);

  // The check has the reason in it: what is wanted of it is asked again when it was written.
  const wantsReason = "problem" in check && check.problem.reason === "REASON_REQUIRED";
  useEffect(() => {
    if (!wantsReason || reason === "") return;
    const timer = setTimeout(checkAgain, WRITTEN_MS);
    return () => clearTimeout(timer);
  }, [wantsReason, reason, checkAgain]);

  const send = (): void => {
    if (ready || sending.kind === "lost") submit({ ...choices, reason: reason.trim() }).catch(reportError);
  };
  const changing =
    (set: (text: string) => void) =>
    (text: string): void => {
      set(text);
      renew();
    };
  return (
    <Dialog title={intent.title} onClose={onClose}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <p>{intent.what}</p>
        <Check check={check} intent={intent} onAgain={checkAgain} />
        {intent.scope.length > 0 && (
          <p>
            <strong>{W.scope}:</strong> {intent.scope.join(", ")}
          </p>
        )}
        <ReasonField
          label={W.reason}
          value={reason}
          required={server?.requireReason ?? false}
          onInput={changing(setReason)}
          onSubmit={send}
          focused
        />
        {needsAcknowledgement && intent.acknowledgement !== undefined && (
          <Acknowledge
            acknowledgement={intent.acknowledgement}
            violations={asksFor?.violations ?? []}
            typed={typed}
            onType={changing(setTyped)}
          />
        )}
        {freeze !== undefined && (
          <Acknowledge
            acknowledgement={freeze}
            violations={frozen?.violations ?? []}
            typed={typedFreeze}
            onType={changing(setTypedFreeze)}
          />
        )}
        {sending.kind === "asking" && (
          <p role="status" class="check checking">
            {W.asking}
          </p>
        )}
        {"problem" in sending && (
          <ProblemBox
            problem={sending.problem}
            alert
            onRetry={sending.kind === "lost" ? send : undefined}
            retryLabel={W.askAgain}
          />
        )}
        <div class="buttons">
          <button type="button" onClick={onClose}>
            {W.cancel}
          </button>
          <button type="submit" class={intent.acknowledgement?.always ? "danger" : "primary"} aria-disabled={!ready}>
            {busy ? intent.doing : `${intent.verb} ${intent.subject}`}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** The login page takes the place of this one: what was written survives it. */
function keepForLogin(check: ReturnType<typeof useCheck>[0], intent: Intent, reason: string): void {
  if ("problem" in check && check.problem.reason === "UNAUTHENTICATED" && reason !== "")
    keepDraft(intent.title, reason);
}
