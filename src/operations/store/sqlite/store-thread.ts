/** The thread that a SQLite store works in (thread.ts): it opens the store, and does one after the other what it is asked for. */
import { parentPort, workerData } from "node:worker_threads";
import type { Inserted, Store } from "../store.ts";
import { openSqliteStore } from "./open.ts";
import {
  packError,
  type ThreadChanges,
  type ThreadMessage,
  type ThreadOptions,
  type ThreadReply,
  type ThreadRequest,
  type ThreadRequests,
} from "./thread-messages.ts";

const port = parentPort;
if (port === null) throw new Error("this is not for the main thread");

const say = (message: ThreadMessage): void => port.postMessage(message);

/** The wall clock, as whoever asks reads it. */
let { time } = workerData as ThreadOptions;
let replies: ThreadReply[] = [];
let changed: (string | undefined)[] = [];

/** Says together what has come of the requests of one commit. */
function flush(): void {
  if (replies.length === 0 && changed.length === 0) return;
  say({ kind: "news", replies, changed });
  replies = [];
  changed = [];
}

const later = (add: () => void): void => {
  if (replies.length === 0 && changed.length === 0) setImmediate(flush);
  add();
};

function insert(
  store: Store,
  { records, events, epoch }: Extract<ThreadRequest, { method: "insert" }>,
): Promise<Inserted> {
  const eventOf = new Map(records.map(({ name }, at) => [name, events[at]]));
  return store.insert(records, ({ name }) => eventOf.get(name) ?? { event: "accepted" }, undefined, epoch);
}

async function change(
  store: Store,
  { steps, epoch }: Extract<ThreadRequest, { method: "changeAll" }>,
): Promise<ThreadChanges> {
  const [step, second] = steps;
  const changed =
    step !== undefined && second === undefined
      ? [await store.change(step.before, step.change, step.event, epoch)]
      : await store.changeAll(steps);
  return changed.map((after) => after?.updateTime);
}

function perform(store: Store, request: ThreadRequest): Promise<unknown> {
  switch (request.method) {
    case "insert":
      return insert(store, request);
    case "changeAll":
      return change(store, request);
    case "close":
      return Promise.resolve(store[Symbol.asyncDispose]());
    default: {
      const method = store[request.method] as ((...args: readonly unknown[]) => Promise<unknown>) | undefined;
      return method?.(...request.args) ?? Promise.reject(new Error(`the store has no ${request.method}`));
    }
  }
}

function serve(store: Store): void {
  store.subscribe((name) => later(() => changed.push(name)));
  port?.on("message", (message: ThreadRequests) => {
    time = message.time;
    for (const request of message.requests) {
      const work = perform(store, request).then(
        (result): ThreadReply => ({ id: request.id, result }),
        (error: unknown): ThreadReply => ({ id: request.id, error: packError(error) }),
      );
      void work.then((reply) => later(() => replies.push(reply)));
    }
  });
}

const { path, replica, maxPages, acceptRestore } = workerData as ThreadOptions;
try {
  const store = await openSqliteStore({
    path,
    replica,
    acceptRestore,
    now: () => new Date(time),
    warn: (message) => say({ kind: "warning", message }),
    ...(maxPages !== undefined && { maxPages }),
  });
  serve(store);
  say({ kind: "opened" });
} catch (error) {
  say({ kind: "refused", error: packError(error) });
}
