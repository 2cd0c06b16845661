import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import { type AuditEvent, changedRecord, type OperationRecord } from "../record.ts";
import { type EventOf, type Inserted, type Instead, type Step, type Store, UncertainCommit } from "../store.ts";
import type { SqliteStoreOptions } from "./open.ts";
import {
  type ThreadChanges,
  type ThreadMessage,
  type ThreadMethod,
  type ThreadOptions,
  type ThreadReply,
  type ThreadRequest,
  type ThreadRequests,
  type ThreadStore,
  unpackError,
} from "./thread-messages.ts";

/** How often an insert is made again because other targets were blocked meanwhile. */
const ATTEMPTS = 10;

/** Between an answer to a caller and its next call, which shares a message and a commit with what came of the one before. */
const PATIENCE_MS = 5;

/** Whether nobody waits for steps: a permit is waited for, and so is what came of it; what else changes tells what has happened already. */
const isPatient = (steps: readonly Step[]): boolean =>
  steps.every(({ before, change }) => before.state !== "SENDING" && change.state !== "SENDING");

/**
 * What the thread runs first: what is kept compiled for the main thread is kept for this one only once it says so, and has to be before
 * its first module is loaded, or each start compiles them all, and keeps in memory what strips their types.
 */
const LOADER = `
const { workerData: { main, compiled } } = require("node:worker_threads");
if (compiled !== undefined) require("node:module").enableCompileCache(compiled);
import(main);`;

/** Who waits for a request. */
interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A request without its number. */
type UnnumberedRequest = ThreadRequest extends infer Request
  ? Request extends unknown
    ? Omit<Request, "id">
    : never
  : never;

/**
 * Opens the store in a SQLite file as {@link openSqliteStore} does, in a thread of its own: whoever waits for a disk there holds nobody
 * up here. What is asked for first is written first, and a read sees every write that was asked for before it.
 *
 * @throws StoreRefused as {@link openSqliteStore}.
 */
export async function openSqliteThread({
  path,
  replica,
  now,
  warn,
  maxPages,
  acceptRestore = false,
}: Pick<SqliteStoreOptions, "path" | "replica" | "now" | "warn" | "maxPages" | "acceptRestore">): Promise<Store> {
  const compiled = getCompileCacheDir();
  const workerData: ThreadOptions = {
    main: new URL("./store-thread.ts", import.meta.url).href,
    compiled: compiled && dirname(compiled), // in it is a folder for each version of Node
    path,
    replica,
    maxPages,
    acceptRestore,
    time: now().getTime(),
  };
  const worker = new Worker(LOADER, { eval: true, workerData });
  const waiting = new Map<number, Waiting>();
  const listeners = new Set<Parameters<Store["subscribe"]>[0]>();
  let over: Error | undefined;
  let outgoing: ThreadRequest[] = [];
  let leaving = false;
  let patience: NodeJS.Timeout | undefined;
  let count = 0;

  const end = (error: Error): void => {
    over ??= error;
    const all = [...waiting.values()];
    waiting.clear();
    for (const { reject } of all) reject(error);
  };
  const opening = Promise.withResolvers<void>();
  worker.on("error", (cause) => {
    opening.reject(cause);
    end(new UncertainCommit("The thread of the store has ended: restart restartd.", { cause }));
  });
  worker.on("exit", () => end(new UncertainCommit("The thread of the store has ended.")));
  worker.on("message", (message: ThreadMessage) => {
    switch (message.kind) {
      case "warning":
        return warn(message.message);
      case "opened":
        return opening.resolve();
      case "refused":
        return opening.reject(unpackError(message.error));
      case "news":
        for (const reply of message.replies) settle(reply);
        for (const name of message.changed) for (const listener of listeners) queueMicrotask(() => listener(name));
    }
  });
  function settle(reply: ThreadReply): void {
    const waiter = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (waiting.size === 0) worker.unref();
    if ("error" in reply) waiter?.reject(unpackError(reply.error));
    else waiter?.resolve(reply.result);
  }

  const send = (): void => {
    leaving = false;
    clearTimeout(patience);
    patience = undefined;
    if (outgoing.length === 0) return;
    const requests = outgoing;
    outgoing = [];
    worker.postMessage({ time: now().getTime(), requests } satisfies ThreadRequests);
  };
  /** @param patient whether it may wait a moment for the next one. */
  const ask = (request: UnnumberedRequest, patient = false): Promise<unknown> => {
    if (over !== undefined) return Promise.reject(over);
    const id = ++count;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (waiting.size === 0) worker.ref();
    waiting.set(id, { resolve, reject });
    outgoing.push({ ...request, id } as ThreadRequest);
    // With everything that is asked for in the same turn: a message costs more than what is in it.
    if (patient && !leaving) {
      patience ??= setTimeout(send, PATIENCE_MS);
    } else if (!leaving) {
      leaving = true;
      setImmediate(send);
    }
    return promise;
  };
  const method =
    <Method extends ThreadMethod>(name: Method) =>
    (...args: Parameters<ThreadStore[Method]>) =>
      ask({ method: name, args }) as ReturnType<ThreadStore[Method]>;

  const changeAll = async (steps: readonly Step[], epoch?: number): Promise<(OperationRecord | undefined)[]> => {
    const times = (await ask({ method: "changeAll", steps, epoch }, isPatient(steps))) as ThreadChanges;
    return steps.map(({ before, change }, at) => {
      const time = times[at];
      return time === undefined ? undefined : changedRecord(before, change, time);
    });
  };

  try {
    await opening.promise;
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  worker.unref();
  let closed: Promise<void> | undefined;
  return {
    replica,
    exclusive: true,
    insert: (records, event, instead, epoch) =>
      insertAll((given, events) => ask({ method: "insert", records: given, events, epoch }), records, event, instead),
    change: async (before, change, event, epoch) => (await changeAll([{ before, change, event }], epoch))[0],
    changeAll: (steps) => changeAll(steps),
    get: method("get"),
    blocking: method("blocking"),
    find: method("find"),
    children: method("children"),
    list: method("list"),
    open: method("open"),
    freezes: method("freezes"),
    changeFreezes: method("changeFreezes"),
    summary: method("summary"),
    audit: method("audit"),
    remove: method("remove"),
    purge: method("purge"),
    beat: method("beat"),
    backup: method("backup"),
    subscribe: (listener) => {
      // Wrapped, so that the same function can listen twice.
      const own: typeof listener = (name) => listener(name);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    [Symbol.asyncDispose]: () => {
      closed ??= ask({ method: "close" }).then(async () => {
        over = new Error("The store is closed.");
        await worker.terminate();
      });
      return closed;
    },
  };
}

/**
 * See {@link Store.insert}. What to store in place of a blocked operation is decided here, by functions that no other thread can call: so
 * it is tried without, and tried again with what was found to be blocked.
 */
async function insertAll(
  insert: (records: readonly OperationRecord[], events: readonly AuditEvent[]) => Promise<unknown>,
  records: readonly OperationRecord[],
  event: EventOf,
  instead: Instead | undefined,
): Promise<Inserted> {
  const eventOf = (record: OperationRecord): AuditEvent => (typeof event === "function" ? event(record) : event);
  const blocked = new Map<string, OperationRecord>();
  let given = records;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const inserted = (await insert(given, given.map(eventOf))) as Inserted;
    if (inserted.duplicate !== undefined || inserted.stale === true) return inserted;
    if (inserted.blocked.size === 0) return { blocked };
    for (const [name, blocking] of inserted.blocked) blocked.set(name, blocking);
    if (instead === undefined || blocked.size === records.filter(({ blocks }) => blocks).length) return { blocked };
    given = records.map((record) => {
      const blocking = blocked.get(record.name);
      return blocking === undefined ? record : instead(record, blocking);
    });
  }
  throw new Error("The store is too busy: operations that were in the way of a new one came and went; try again.");
}
