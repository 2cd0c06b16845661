import { useEffect, useId, useRef } from "preact/hooks";
import { W } from "../words.ts";

/** What {@link ReasonField} is given. */
export interface ReasonProps {
  readonly label: string;
  readonly value: string;
  readonly required: boolean;
  readonly onInput: (text: string) => void;
  /** Cmd or Ctrl with Enter. */
  readonly onSubmit: () => void;
  /** Whether it has the focus when it appears. */
  readonly focused?: boolean;
}

/** As long as the schema allows. */
const MAX_LENGTH = 512;

/** From so many characters on it is said how many are left. */
const COUNT_FROM = 400;

/** Why something is done, or how it is known: for whoever reads about it later. */
export function ReasonField({ label, value, required, onInput, onSubmit, focused }: ReasonProps) {
  const id = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (focused) field.current?.focus();
  }, [focused]);
  const hint =
    value.length >= COUNT_FROM
      ? W.charactersLeft(MAX_LENGTH - value.length)
      : required
        ? W.reasonRequired
        : W.reasonHint;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        ref={field}
        id={id}
        rows={2}
        maxLength={MAX_LENGTH}
        required={required}
        value={value}
        aria-describedby={`${id}-hint`}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) {
            event.preventDefault();
            onSubmit();
          }
        }}
      />
      <span id={`${id}-hint`} class="hint">
        {hint}
      </span>
    </div>
  );
}
