import { useId } from "preact/hooks";
import { plain } from "../../core/plain.ts";
import type { Acknowledgement } from "../api/intention.ts";
import type { Problem } from "../api/problem.ts";
import { W } from "../words.ts";
import { Copy } from "./copy.tsx";

/** What {@link Acknowledge} is given. */
export interface AcknowledgeProps {
  readonly acknowledgement: Acknowledgement;
  /** Why, per target, in the server's words. */
  readonly violations: readonly { readonly subject: string; readonly description: string }[];
  readonly typed: string;
  readonly onType: (text: string) => void;
}

/** What is typed for an outage: a tick. */
const TICK = "yes";

/** Whether what was typed is what is meant. */
export const isAcknowledged = (acknowledgement: Acknowledgement | undefined, typed: string): boolean =>
  acknowledgement !== undefined &&
  typed.trim() === (acknowledgement.kind === "outage" ? TICK : plain(acknowledgement.word).trim());

/** Whether all that is wanted is a person's word: the form says why, and takes it. */
export const isAboutWord = ({ reason }: Problem): boolean => reason.endsWith("_NOT_ACKNOWLEDGED");

/** What is typed to go on in spite of a freeze: its name. Undefined where there is none, or one may not. */
export function freezeIn(problem: Problem | undefined): Acknowledgement | undefined {
  const { freeze = "", overridable } = problem?.metadata ?? {};
  if (problem?.reason !== "FROZEN" || overridable !== "true") return undefined;
  return { kind: "freeze", always: false, word: freeze, label: W.typeToGoOn(freeze) };
}

/** Has a person say that it is meant all the same. */
export function Acknowledge({ acknowledgement, violations, typed, onType }: AcknowledgeProps) {
  const { kind, word, label } = acknowledgement;
  const id = useId();
  const matches = typed.trim() === plain(word).trim();
  return (
    <fieldset class="acknowledge">
      <legend>{W.acknowledge[kind]}</legend>
      <ul>
        {violations.map(({ subject, description }) => (
          <li key={subject}>
            {subject && <code>{subject}</code>} {description}
          </li>
        ))}
      </ul>
      {kind === "outage" ? (
        <label class="tick">
          <input
            type="checkbox"
            checked={typed === TICK}
            onChange={({ currentTarget }) => onType(currentTarget.checked ? TICK : "")}
          />
          {W.acceptOutage}
        </label>
      ) : (
        <div class="field">
          <label for={id}>{label}</label>
          <div class="row">
            <input
              id={id}
              type="text"
              autocomplete="off"
              spellcheck={false}
              value={typed}
              onInput={({ currentTarget }) => onType(currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter" && !matches) event.preventDefault();
              }}
            />
            <code class="word">{word}</code>
            <Copy text={plain(word)} of={word} />
          </div>
        </div>
      )}
    </fieldset>
  );
}
