import type { ComponentChildren, TargetedInputEvent } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import { W } from "../words.ts";

/** The filters of a list. They are in the URL, and nowhere else. */
export function Search({ children }: { readonly children: ComponentChildren }) {
  return (
    <search>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        {children}
      </form>
    </search>
  );
}

/** What {@link Field} is given. */
export interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly type?: "text" | "search" | "datetime-local";
  /** Whether it counts with each letter; elsewhere with Enter, or when it is left. */
  readonly live?: boolean;
  readonly disabled?: boolean;
  readonly placeholder?: string;
  readonly wide?: boolean;
  readonly onChange: (text: string) => void;
}

/** A text of the filter. */
export function Field({ label, value, type = "text", live, disabled, placeholder, wide, onChange }: FieldProps) {
  const id = useId();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const done = (): void => {
    if (text !== value) onChange(text);
  };
  const common = {
    id,
    value: text,
    disabled,
    placeholder,
    autocomplete: "off",
    spellcheck: false,
    onInput: ({ currentTarget }: TargetedInputEvent<HTMLInputElement>) => {
      setText(currentTarget.value);
      if (live) onChange(currentTarget.value);
    },
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key === "Enter") done();
    },
    onBlur: done,
  };
  return (
    <div class={wide ? "filter wide" : "filter"}>
      <label for={id}>{label}</label>
      {type === "text" && <input type="text" {...common} />}
      {type === "search" && <input type="search" {...common} />}
      {type === "datetime-local" && <input type="datetime-local" step={1} {...common} />}
    </div>
  );
}

/** What {@link Select} is given. */
export interface SelectProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, word: string])[];
  readonly disabled?: boolean;
  readonly onChange: (value: string) => void;
}

/** A choice of the filter; the empty one is all. */
export function Select({ label, value, options, disabled, onChange }: SelectProps) {
  const id = useId();
  return (
    <div class="filter">
      <label for={id}>{label}</label>
      <select id={id} value={value} disabled={disabled} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        <option value="">{disabled ? W.advanced : W.all}</option>
        {options.map(([one, word]) => (
          <option key={one} value={one} selected={one === value}>
            {word}
          </option>
        ))}
      </select>
    </div>
  );
}
