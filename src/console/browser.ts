/** What the page takes from outside: time, chance, ids, and whether anybody looks. Nothing else in the console asks for these. */

/** This bundle's version, out of package.json. */
declare const RESTARTD_VERSION: string;

/** The version of restartd that this page was made for. */
export const VERSION: string = RESTARTD_VERSION;

let offset: number | undefined;

/** Takes over the server's clock, out of the header `date` of its first answer. */
export function setClock(date: string | null): void {
  const serverTime = Date.parse(date ?? "");
  // The header has whole seconds: its middle is nearest.
  if (offset === undefined && !Number.isNaN(serverTime)) offset = serverTime + 500 - Date.now();
}

/** The server's time, epoch ms. */
export const now = (): number => Date.now() + (Math.abs(offset ?? 0) > 1500 ? (offset ?? 0) : 0);

/** A new UUID. */
export const newId = (): string => crypto.randomUUID();

/** A delay of about so many ms: ±20 %, so that tabs do not ask in step. */
export const jittered = (ms: number): number => ms * (0.8 + 0.4 * Math.random());

/** Resolves after some ms; rejects when the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Whether somebody can see the tab. */
export const isVisible = (): boolean => document.visibilityState === "visible";

/** Resolves when somebody can see the tab; at once when it is so. */
export async function visible(signal: AbortSignal): Promise<void> {
  while (!isVisible()) await nextEvent(document, "visibilitychange", signal);
}

/** Resolves when it is time to look again at once: the tab is shown, or the network is back. Rejects when the signal is aborted. */
export async function wakeUp(signal: AbortSignal): Promise<void> {
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const shown = async (): Promise<void> => {
    do await nextEvent(document, "visibilitychange", either);
    while (!isVisible());
  };
  try {
    await Promise.race([shown(), nextEvent(window, "online", either)]);
  } finally {
    done.abort();
  }
}

function nextEvent(target: EventTarget, name: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    target.addEventListener(name, () => resolve(), { once: true, signal });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
