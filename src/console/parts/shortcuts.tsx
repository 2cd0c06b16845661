import { useEffect, useState } from "preact/hooks";
import { navigate, ROOT } from "../router.ts";
import { W } from "../words.ts";
import { Dialog } from "./dialog.tsx";

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ["?", "This list"],
  ["/", "Filter"],
  ["g t", "Targets"],
  ["g o", "Operations"],
  ["j", "Next row"],
  ["k", "Previous row"],
  ["Enter", "Open the row"],
  ["r", "The page's first action"],
];

/** Kept for the tab: who speaks to a computer, or presses keys by chance, has to be able to switch them off. */
const KEY = "restartd.shortcuts";

/** Keys that lead somewhere. None of them sends anything. */
export function Shortcuts() {
  const [open, setOpen] = useState(false);
  const [on, setOn] = useState(() => sessionStorage.getItem(KEY) !== "off");
  useEffect(() => {
    let before = "";
    const press = (event: KeyboardEvent): void => {
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        isTyping(event.target) ||
        document.querySelector("dialog[open]")
      )
        return;
      const keys = before === "g" ? `g ${event.key}` : event.key;
      before = event.key;
      if (keys === "?") setOpen(true);
      else if (on && run(keys)) event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [on]);
  if (!open) return null;
  const choose = (chosen: boolean): void => {
    sessionStorage.setItem(KEY, chosen ? "on" : "off");
    setOn(chosen);
  };
  return (
    <Dialog title={W.shortcuts} onClose={() => setOpen(false)}>
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="tick">
        <input type="checkbox" checked={on} onChange={({ currentTarget }) => choose(currentTarget.checked)} />
        {W.shortcutsOn}
      </label>
      <div class="buttons">
        <button type="button" class="primary" onClick={() => setOpen(false)}>
          {W.close}
        </button>
      </div>
    </Dialog>
  );
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof Element &&
  target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select") !== null;

/** Does what some keys mean; answers whether they mean anything. */
function run(keys: string): boolean {
  switch (keys) {
    case "g t":
      navigate(ROOT);
      return true;
    case "g o":
      navigate(`${ROOT}operations`);
      return true;
    case "/":
      return focus(document.querySelector("search input"));
    case "j":
      return moveRow(1);
    case "k":
      return moveRow(-1);
    case "r": {
      const button = document.querySelector<HTMLElement>("main [data-action]");
      button?.focus();
      button?.click();
      return button !== null;
    }
    default:
      return false;
  }
}

function moveRow(by: number): boolean {
  const links = [...document.querySelectorAll<HTMLElement>("tr[data-name] th a")];
  const at = links.findIndex((link) => link.closest("tr")?.contains(document.activeElement));
  return focus(links[at === -1 ? (by > 0 ? 0 : links.length - 1) : at + by]);
}

function focus(element: HTMLElement | null | undefined): boolean {
  element?.focus();
  return element !== null && element !== undefined;
}
