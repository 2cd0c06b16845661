import { useEffect } from "preact/hooks";
import { createStore, useStore } from "./store.ts";

/** Where the page is. */
export interface Place {
  /** Segments behind /console/, as they stand in the URL: percent-encoded. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  /** Counts visits: going to the same address again is another visit. */
  readonly visit: number;
  /** Whether the visitor came back by the browser's own button. */
  readonly back: boolean;
}

/** Every URL of the console begins with it. */
export const ROOT = "/console/";

let visits = 0;

const read = (back: boolean): Place => ({
  segments: location.pathname
    .slice(ROOT.length)
    .split("/")
    .filter((segment) => segment !== ""),
  query: new URLSearchParams(location.search),
  visit: visits++,
  back,
});

const place = createStore<Place>({ segments: [], query: new URLSearchParams(), visit: -1, back: false });

/** Where each entry of the history was scrolled to, by its key. */
const scrolled = new Map<string, number>();
const keyOf = (state: unknown): string => (state as { key?: string } | null)?.key ?? "first";

/** Begins to follow the address. */
export function startRouter(): void {
  history.scrollRestoration = "manual"; // content comes later than the browser thinks
  if (location.pathname.length > ROOT.length && location.pathname.endsWith("/")) {
    history.replaceState(history.state, "", location.pathname.replace(/\/+$/, "") + location.search);
  }
  addEventListener("popstate", () => place.set(read(true)));
  addEventListener("scroll", () => scrolled.set(keyOf(history.state), scrollY), { passive: true });
  document.addEventListener("click", followLink);
  place.set(read(false));
}

/** Goes to an address of the console. */
export function navigate(url: string): void {
  history.pushState({ key: `${Math.round(performance.now())}-${visits}` }, "", url);
  place.set(read(false));
}

/** Changes the query in place: a filter is no new page. Empty values are left out. */
export function setQuery(changes: Readonly<Record<string, string>>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(history.state, "", location.pathname + (text && `?${text}`));
  place.set({ ...place.get(), query });
}

/** Where the page is. */
export const usePlace = (): Place => useStore(place);

/** Links within the console go without loading the document again. */
function followLink(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const link = (event.target as Element | null)?.closest("a");
  if (!link || link.target || link.origin !== location.origin || !link.pathname.startsWith(ROOT)) return;
  event.preventDefault();
  // A place on this page: the address is the view, and stays as it is.
  if (link.hash !== "") document.querySelector<HTMLElement>(link.hash)?.focus();
  else navigate(link.pathname + link.search);
}

/** Scrolls to where a page was left, as soon as it is long enough again; to its top when it is new. */
export function useScroll({ visit, back }: Place): void {
  // Each visit scrolls once.
  useEffect(() => {
    const wanted = back ? (scrolled.get(keyOf(history.state)) ?? 0) : 0;
    scrollTo(0, wanted);
    if (wanted === 0) return;
    const observer = new ResizeObserver(() => {
      if (document.documentElement.scrollHeight >= wanted + innerHeight) {
        scrollTo(0, wanted);
        stop();
      }
    });
    const stop = (): void => observer.disconnect();
    observer.observe(document.body);
    for (const name of ["wheel", "keydown", "pointerdown"]) addEventListener(name, stop, { once: true });
    return stop;
  }, [visit]);
}

/** A segment of an address, decoded once; undefined when it cannot be. */
export function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** The page of a resource name: what is in the log, in an error, in an operation. */
export const urlOf = (name: string): string => ROOT + name;
