import { setTimeout as delay } from "node:timers/promises";
import type { Failure, Reason } from "../../../core/errors.ts";
import type { Client } from "../client.ts";
import { failureOfRead, type RequestSubject } from "../errors.ts";
import { asWorkload, type WorkloadObject } from "../workload/object.ts";
import { isExpired } from "./who-answered.ts";

/** The newest of what happened to one object. */
export type Change =
  | { readonly type: "object"; readonly object: WorkloadObject }
  | { readonly type: "gone"; readonly resourceVersion: string }
  | { readonly type: "failed"; readonly failure: Failure };

/** Where a feed brings what happened, by the object's `namespace/name`. */
export interface Sink {
  /** Told of each object that a list shows, and of each change, whoever wants to know. */
  put(key: string, change: Change): void;
  /** Told before a list: changes may have been missed, of objects that are gone among others. */
  forget(): void;
  /** Every object that somebody wants to know of. */
  keys(): Iterable<string>;
}

/** How a feed keeps going. */
export interface FeedOptions {
  /** A number from 0 to below 1, for jitter. */
  readonly random: () => number;
  /** Waits so many milliseconds, or rejects when the signal ends it. Default: by the process's clock. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** A watch that is silent for so long (ms) is dead. Default {@link SILENCE_MS}. */
  readonly silenceMs?: number;
}

/** First wait (ms) before a broken watch is taken up again; it doubles up to {@link MAX_BACKOFF_MS}. */
const MIN_BACKOFF_MS = 500;

const MAX_BACKOFF_MS = 15_000;

/** Bookmarks come about once a minute: more than two that did not come. */
const SILENCE_MS = 150_000;

const LIST_TIMEOUT_MS = 30_000;

/** A watch is asked to end after so many seconds, and up to twice as many: all of them at once would be a thundering herd. */
const WATCH_SECONDS = 300;

/** What no waiting mends, unless it was otherwise before: an API server that starts denies what it will allow in a moment. */
const FINAL: ReadonlySet<Reason> = new Set<Reason>(["RBAC_DENIED", "API_VERSION_NOT_SERVED"]);

/** What is believed when it comes again and again: our credentials are refused, or somebody else answers in the API server's place. */
const REFUSED: ReadonlySet<Reason> = new Set<Reason>([...FINAL, "CLUSTER_CREDENTIALS_REJECTED", "VENDOR_BAD_RESPONSE"]);

/** So many refusals of our credentials in a row are final; fewer are a token's rotation. */
const MAX_REFUSALS = 3;

/** So many denials in a row are final; fewer are a server that starts, which can take some seconds. */
const MAX_DENIALS = 6;

/** One line of a watch. */
interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: { readonly metadata: { readonly resourceVersion: string } };
}

/** A page of a list. */
interface Page {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly unknown[];
}

/**
 * Lists a collection, then watches it, until `signal` ends it: from its last bookmark after a connection broke, from a new list after
 * the server forgot so much (410), or said what cannot be understood. Every wait is jittered.
 *
 * @returns why it cannot go on; never because of `signal` (it rejects then).
 */
export async function feed(
  client: Client,
  path: string,
  subject: RequestSubject,
  sink: Sink,
  signal: AbortSignal,
  options: FeedOptions,
): Promise<Failure> {
  const { random, wait = (ms, ended) => delay(ms, undefined, { signal: ended }) } = options;
  let resourceVersion: string | undefined;
  let again = false;
  let worked = false;
  let failures = 0;
  let refusals = 0;
  for (;;) {
    try {
      resourceVersion ??= await list(client, path, subject, sink, signal);
      const lines = await open(client, path, subject, resourceVersion, signal, options);
      worked = true;
      refusals = 0;
      const begin = resourceVersion;
      for await (const line of lines) {
        const event = readEvent(line);
        resourceVersion = event.object.metadata.resourceVersion;
        deliver(event, sink);
        failures = 0;
      }
      if (resourceVersion === begin) {
        throw new Error("the watch ended without an event"); // not at once again: it would spin
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ListAgain) {
        // A server that says so is there: no reason to wait long, unless it says nothing else.
        failures = again ? failures : 0;
        resourceVersion = undefined;
      }
      again = error instanceof ListAgain;
      const failure = failureOfRead(error, subject);
      refusals = REFUSED.has(failure.reason) ? refusals + 1 : 0;
      const limit = failure.reason === "CLUSTER_CREDENTIALS_REJECTED" ? MAX_REFUSALS : MAX_DENIALS;
      if (refusals >= limit || (FINAL.has(failure.reason) && !worked)) {
        return failure;
      }
      const longest = Math.min(MIN_BACKOFF_MS * 2 ** failures++, MAX_BACKOFF_MS);
      await wait((longest * (1 + random())) / 2, signal);
    }
  }
}

/** What was known of a collection is of no use any more. */
class ListAgain extends Error {
  override readonly name = "ListAgain";
}

async function list(
  client: Client,
  path: string,
  subject: RequestSubject,
  sink: Sink,
  signal: AbortSignal,
): Promise<string> {
  // Who joins while the list is read looks for itself: a page that had its object may be past.
  const missing = new Set(sink.keys());
  sink.forget();
  let token: string | undefined;
  for (;;) {
    const answer = await client.request({
      method: "GET",
      operation: "list",
      path,
      query: { limit: "500", continue: token },
      signal: AbortSignal.any([signal, AbortSignal.timeout(LIST_TIMEOUT_MS)]),
      timeoutMs: LIST_TIMEOUT_MS,
    });
    const page = answer.json as Page | undefined;
    const resourceVersion = page?.metadata?.resourceVersion;
    if (isExpired(answer)) {
      throw new ListAgain("the list took longer than the server keeps its pages");
    }
    if (answer.status !== 200 || resourceVersion === undefined) {
      throw failureOfRead(answer, { ...subject, verb: "list" });
    }
    for (const object of page?.items?.map(asWorkload) ?? []) {
      if (object !== undefined) {
        missing.delete(keyOf(object));
        sink.put(keyOf(object), { type: "object", object: slim(object) });
      }
    }
    token = page?.metadata?.continue || undefined;
    if (token === undefined) {
      for (const key of missing) {
        sink.put(key, { type: "gone", resourceVersion });
      }
      return resourceVersion;
    }
  }
}

async function open(
  client: Client,
  path: string,
  subject: RequestSubject,
  resourceVersion: string,
  signal: AbortSignal,
  { random, silenceMs = SILENCE_MS }: FeedOptions,
): Promise<AsyncIterable<string>> {
  const opened = await client.watch({
    method: "GET",
    path,
    query: {
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion,
      timeoutSeconds: String(Math.trunc(WATCH_SECONDS * (1 + random()))),
    },
    signal,
    timeoutMs: silenceMs,
  });
  if ("status" in opened) {
    throw isExpired(opened) ? new ListAgain("the server forgot that version") : failureOfRead(opened, subject);
  }
  return opened;
}

/** Reads a line of a watch. An ERROR says that the watch cannot go on from where it is; so does a line that is no event. */
function readEvent(line: string): WatchEvent {
  let event: {
    readonly type?: unknown;
    readonly object?: { readonly metadata?: { readonly resourceVersion?: unknown } };
  } | null;
  try {
    event = JSON.parse(line);
  } catch (cause) {
    throw new ListAgain("a line of the watch is not JSON", { cause });
  }
  if (event?.type === "ERROR" || typeof event?.object?.metadata?.resourceVersion !== "string") {
    throw new ListAgain("the watch cannot go on");
  }
  return event as WatchEvent;
}

function deliver({ type, object }: WatchEvent, sink: Sink): void {
  const workload = type === "BOOKMARK" ? undefined : asWorkload(object);
  if (workload === undefined) {
    return;
  }
  const { resourceVersion } = workload.metadata;
  sink.put(
    keyOf(workload),
    type === "DELETED" ? { type: "gone", resourceVersion } : { type: "object", object: slim(workload) },
  );
}

/** Without what only a write is judged by, and which is half of it. */
function slim({ metadata: { managedFields: _, ...metadata }, ...object }: WorkloadObject): WorkloadObject {
  return { ...object, metadata };
}

/** How a feed names an object. */
export const keyOf = ({ metadata }: WorkloadObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
