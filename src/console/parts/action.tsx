import { useState } from "preact/hooks";
import type { Intent } from "../api/intention.ts";
import { W } from "../words.ts";
import { ActionDialog } from "./action-dialog.tsx";
import { Dialog } from "./dialog.tsx";

/** What {@link ActionButton} is given. */
export interface ActionProps {
  /** What the button says, such as `Restart…`. */
  readonly label: string;
  /** What it is called where several stand below each other, such as `Restart web…`. */
  readonly name?: string;
  /**
   * What is meant; a text where nothing can be: it says why, since a button that does nothing explains nothing. Undefined while what it
   * is about is being asked for: a dialog that opened now would not know what people call it.
   */
  readonly intent: Intent | string | undefined;
  readonly primary?: boolean;
  readonly small?: boolean;
}

/** A button that opens the dialog of an action. It never sends anything itself. */
export function ActionButton({ label, name, intent, primary, small }: ActionProps) {
  const [open, setOpen] = useState<Intent | string>();
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
      {typeof open === "string" && (
        <Dialog title={label.replace("…", "")} onClose={() => setOpen(undefined)}>
          <p>{open}</p>
          <div class="buttons">
            <button type="button" class="primary" onClick={() => setOpen(undefined)}>
              {W.close}
            </button>
          </div>
        </Dialog>
      )}
      {typeof open === "object" && <ActionDialog intent={open} onClose={() => setOpen(undefined)} />}
    </>
  );
}
