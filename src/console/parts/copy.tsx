import { useState } from "preact/hooks";
import { W } from "../words.ts";

/** Copies a text. */
export function Copy({ text, of }: { readonly text: string; readonly of: string }) {
  const [done, setDone] = useState(false);
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => setDone(true),
      () => setDone(false), // not allowed here: the text can be selected
    );
  };
  return (
    <button type="button" class="small" onClick={copy} aria-label={`${done ? W.copied : W.copy} ${of}`}>
      {done ? W.copied : W.copy}
    </button>
  );
}
