import { newId, now } from "../browser.ts";
import { createStore } from "../store.ts";

/** A call that was sent and whose answer this page has not seen: it outlives the page, for when the tab is loaded again. */
export interface Pending {
  readonly requestId: string;
  /** Name of the dialog, to tell people what it was. */
  readonly title: string;
}

const KEY = "restartd.pending";

/** What the page before left without an answer. */
export const pending = createStore<Pending | undefined>(read());

function read(): Pending | undefined {
  const text = sessionStorage.getItem(KEY);
  return text === null ? undefined : (JSON.parse(text) as Pending);
}

/** Remembers a call that is about to leave. */
export const remember = (call: Pending): void => sessionStorage.setItem(KEY, JSON.stringify(call));

/** The call was answered, or its loss was told. */
export function settle(): void {
  sessionStorage.removeItem(KEY);
  pending.set(undefined);
}

/** Namespace of operations' ids (README, Operations). */
const NAMESPACE = "7f4b3f3e-3c0c-5d0c-9a5e-6f1d3b2f8c11";

/** The operation that a request_id becomes: UUID version 5 of `{principal}/{request_id}`. */
export async function operationOf(principal: string, requestId: string): Promise<string> {
  const space = Uint8Array.from(NAMESPACE.replaceAll("-", "").match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const text = new TextEncoder().encode(`${principal}/${requestId.toLowerCase()}`);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-1", new Uint8Array([...space, ...text])));
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...hash.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `operations/${hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")}`;
}

/** Filled but unsent text of a dialog, kept over a login: without its request_id, which belongs to one page alone. */
const DRAFT = "restartd.draft";

/** What a dialog had in it, by its name. */
export interface Draft {
  readonly title: string;
  readonly reason: string;
  readonly at: number;
}

/** Keeps what was written. */
export const keepDraft = (title: string, reason: string): void =>
  sessionStorage.setItem(DRAFT, JSON.stringify({ title, reason, at: now() } satisfies Draft));

/** Takes what was written before the login, once. */
export function takeDraft(title: string): string {
  const text = sessionStorage.getItem(DRAFT);
  if (text === null) return "";
  const draft = JSON.parse(text) as Draft;
  if (draft.title !== title) return "";
  sessionStorage.removeItem(DRAFT);
  return now() - draft.at < DRAFT_LIFE_MS ? draft.reason : "";
}

const DRAFT_LIFE_MS = 600_000;

/** An id for a new intention. */
export const newRequestId = newId;
