import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

/** What {@link Dialog} is given. */
export interface DialogProps {
  readonly title: string;
  /** Asked to close: by Esc, or by a button of the dialog. */
  readonly onClose: () => void;
  readonly children?: ComponentChildren;
}

/** A dialog, open for as long as it is there. The browser keeps the focus in it and gives it back; its backdrop closes nothing. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  const onCancel = (event: Event): void => {
    event.preventDefault(); // whoever opened it takes it away
    onClose();
  };
  return (
    <dialog ref={dialog} aria-labelledby={heading} onCancel={onCancel}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}
