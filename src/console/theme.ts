import { createStore } from "./store.ts";

/** What the visitor chose: a theme, or that of the system. */
export type Choice = "system" | "light" | "dark";

const KEY = "restartd.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** What the visitor chose. */
export const theme = createStore<Choice>(read());

function read(): Choice {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** Shows the theme, and every later one. `data-theme` is what is shown. */
export function startTheme(): void {
  const show = (): void => {
    const choice = theme.get();
    document.documentElement.dataset.theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
  };
  dark.addEventListener("change", show);
  theme.subscribe(show);
  show();
}

/** Keeps the choice: the one thing that outlives the tab. */
export function chooseTheme(choice: Choice): void {
  if (choice === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, choice);
  theme.set(choice);
}
