import { useState } from "preact/hooks";
import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import { type RestartMetadata, RestartMetadata_Outcome } from "../../../gen/restart/operation/v1/operation_pb.ts";
import { operationService, operations } from "../api/operations.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { ActionButton } from "../parts/action.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { ReasonField } from "../parts/reason.tsx";
import { Time } from "../parts/time.tsx";
import type { Again } from "../targets/target.ts";
import { W } from "../words.ts";

/** It may have been sent, and is being looked for. */
export function Unknown({ metadata }: { readonly metadata: RestartMetadata }) {
  return (
    <div class="problem unknown" data-testid="unknown">
      <p class="problem-head">{W.unknownTitle}</p>
      <p>{W.unknown}</p>
      <p class="quiet">
        {W.unknownSince} <Time of={metadata.sendTime ?? metadata.updateTime} full />
      </p>
    </div>
  );
}

/** It was not applied, and is not sent again. */
export function NotObserved({ again }: { readonly again: Again | undefined }) {
  return (
    <div class="panel">
      <p>{W.notObserved}</p>
      {again && <ActionButton label={again.label} intent={again.intent} />}
    </div>
  );
}

/** What {@link ToCancel} is given. */
export interface ChangeProps {
  readonly name: string;
  /** Told of the operation as it is now. */
  readonly onChange: (operation: Operation) => void;
}

/** Keeps an operation from being sent. */
export function ToCancel({ name, onChange }: ChangeProps) {
  const [problem, setProblem] = useState<Problem>();
  const cancel = async (): Promise<void> => {
    setProblem(undefined);
    try {
      await operations.cancelOperation({ name });
      onChange(await operations.getOperation({ name }));
    } catch (error) {
      setProblem(problemOf(error, true));
    }
  };
  return (
    <>
      <button type="button" title={W.cancelHint} onClick={() => void cancel()}>
        {W.cancelOperation}
      </button>
      {problem && <ProblemBox problem={problem} alert />}
    </>
  );
}

/** What {@link Unresolved} is given. */
export interface UnresolvedProps extends ChangeProps {
  readonly target: string;
  /** How somebody finds out what happened. */
  readonly look: string;
  /** Told when somebody else has decided. */
  readonly onMeanwhile: (problem: Problem) => void;
}

/** Nobody can tell but a person. */
export function Unresolved({ name, target, look, onChange, onMeanwhile }: UnresolvedProps) {
  const [applied, setApplied] = useState<boolean>();
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const ready = applied !== undefined && note.trim() !== "" && !busy;
  const record = async (): Promise<void> => {
    if (!ready) return;
    setBusy(true);
    setProblem(undefined);
    const outcome = applied ? RestartMetadata_Outcome.APPLIED : RestartMetadata_Outcome.NOT_APPLIED;
    try {
      onChange(await operationService.resolveOperation({ name, outcome, note: note.trim() }));
    } catch (error) {
      const refused = problemOf(error, true);
      if (refused.reason === "OPERATION_NOT_UNRESOLVED") {
        onMeanwhile(refused);
        onChange(await operations.getOperation({ name }));
      } else {
        setProblem(refused); // the same verdict twice is the same as once: asking again does no harm
      }
    } finally {
      setBusy(false);
    }
  };
  const submit = (): void => void record().catch(reportError);
  return (
    <div class="problem unknown" data-testid="unresolved">
      <p class="problem-head">{W.unresolvedTitle}</p>
      <p>{W.unresolved(target)}</p>
      <p>
        <strong>{W.howToLook}:</strong> {look}
      </p>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <fieldset>
          <legend>{W.resolve}</legend>
          <label class="tick">
            <input type="radio" name="outcome" checked={applied === true} onChange={() => setApplied(true)} />
            {W.happened}
          </label>
          <label class="tick">
            <input type="radio" name="outcome" checked={applied === false} onChange={() => setApplied(false)} />
            {W.didNotHappen}
          </label>
          <ReasonField label={W.howDoYouKnow} value={note} required onInput={setNote} onSubmit={submit} />
          <button type="submit" class="primary" aria-disabled={!ready}>
            {busy ? W.recording : W.record}
          </button>
        </fieldset>
      </form>
      {problem && <ProblemBox problem={problem} alert onRetry={submit} retryLabel={W.askAgain} />}
    </div>
  );
}
