import { useState } from "preact/hooks";
import type { Intent } from "../api/intention.ts";
import { ActionDialog } from "./action-dialog.tsx";

/** What {@link ActionButton} is given. */
export interface ActionProps {
  /** What the button says, such as `Restart…`. */
  readonly label: string;
  /** What it is called where several stand below each other, such as `Restart web…`. */
  readonly name?: string;
  /** What is meant; made when the button is pressed. Undefined: nothing can be meant yet. */
  readonly intent: Intent | undefined;
  readonly primary?: boolean;
  readonly small?: boolean;
}

/** A button that opens the dialog of an action. It never sends anything itself. */
export function ActionButton({ label, name, intent, primary, small }: ActionProps) {
  const [open, setOpen] = useState<Intent>();
  const style = [primary ? "primary" : "", small ? "small" : ""].join(" ").trim();
  return (
    <>
      <button
        type="button"
        class={style || undefined}
        aria-label={name}
        aria-disabled={intent === undefined}
        data-action
        onClick={() => setOpen(intent)}
      >
        {label}
      </button>
      {open !== undefined && <ActionDialog intent={open} onClose={() => setOpen(undefined)} />}
    </>
  );
}
