import { createStore } from "../store.ts";

/**
 * Who calls, where restartd asks. The token is this tab's alone and ends with it. Single sign-on will give tokens from here as well;
 * nothing else has to know.
 */

const KEY = "restartd.token";

/** Whether there is a token: the page shows `Log out` then. */
export const loggedIn = createStore(sessionStorage.getItem(KEY) !== null);

/** The token for the next call; undefined when there is none. */
export const getToken = async (): Promise<string | undefined> => sessionStorage.getItem(KEY) ?? undefined;

/** Keeps a token for this tab. */
export function setToken(token: string): void {
  sessionStorage.setItem(KEY, token);
  loggedIn.set(true);
}

/** Forgets the token. */
export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
  loggedIn.set(false);
}
