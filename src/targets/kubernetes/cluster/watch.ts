import { Failure } from "../../../core/errors.ts";
import { createTurns } from "../../../core/turns.ts";
import type { Client } from "../client.ts";
import type { RequestSubject } from "../errors.ts";
import { apiPath, type WorkloadObject, type WorkloadRef } from "../workload/object.ts";
import { type Change, type FeedOptions, feed, type Sink } from "./feed.ts";
import { createMemory, type Memory } from "./memory.ts";

/** One reader of one object's changes. It holds the newest change alone, so that a slow one costs no memory. */
export interface Subscription {
  /**
   * Waits for a change that was not taken yet. Rejects with the signal's reason. One waiter at a time.
   *
   * @param withinMs undefined comes of it when there is none by then. Default: it waits for ever.
   */
  next(withinMs?: number): Promise<Change | undefined>;
  /** The object as the watch has shown it last, to whomever; undefined when it has not. */
  last(): WorkloadObject | undefined;
  /** Ends it. The last one of a resource closes the watch that they shared. */
  close(): void;
}

/** All watches of one cluster. Any number of readers of a resource share one list and watch. */
export interface WatchHub extends Disposable {
  /**
   * Changes of one object from now on. What it is now has to be read by itself, after this.
   *
   * @param signal ends it too: who goes away without taking what is offered would keep it for ever.
   */
  subscribe(ref: WorkloadRef, signal: AbortSignal): Subscription;
  /**
   * Tells of changes of one object from now on, and of its last one where that has come already.
   *
   * @param put told of each change; after a failure nothing more comes.
   * @returns ends it, as {@link Subscription.close} does.
   */
  follow(ref: WorkloadRef, put: (change: Change) => void): () => void;
}

/** One collection that is watched, and who reads it. */
interface Channel {
  /** Path of the collection in all namespaces. */
  readonly wide: string;
  readonly stop: AbortController;
  /** By the object's `namespace/name`. */
  readonly readers: Map<string, Set<Reader>>;
  /** What was shown last, whoever wanted to know: what one waits for who joins now may have come a moment ago. */
  readonly recent: Memory<Change>;
}

interface Reader {
  readonly ref: WorkloadRef;
  readonly put: (change: Change) => void;
  leave: () => void;
}

/** So many objects are remembered for those who join: a few kilobytes each. */
const RECENT = 1_000;

/** So many readers are woken in a turn of the event loop: each has a message made and written, some 0.1 ms of work. */
const PER_TURN = 32;

/** Opens a cluster's watches. */
export function createWatchHub(cluster: string, client: Client, options: FeedOptions): WatchHub {
  const channels = new Map<string, Channel>();
  const inTurn = createTurns(PER_TURN);
  /** Collections that may be watched in their namespaces alone, as far as is known: an API server that starts denies too much. */
  const narrow = new Set<string>();

  const join = (reader: Reader): Channel => {
    const { wide, within } = pathsOf(reader.ref);
    const path = narrow.has(wide) ? within : wide;
    const channel = channels.get(path) ?? open(path, wide, reader.ref);
    reader.leave = () => {
      removeReader(channel, reader);
      if (channel.readers.size === 0) {
        close(path, channel);
      }
    };
    addReader(channel, reader);
    return channel;
  };
  const open = (path: string, wide: string, { group, resource }: WorkloadRef): Channel => {
    const channel: Channel = { wide, stop: new AbortController(), readers: new Map(), recent: createMemory(RECENT) };
    const subject: RequestSubject = { cluster, verb: "watch", what: `${resource}${group && `.${group}`}` };
    channels.set(path, channel);
    // Not before all who join together have: the first list tells those who are there which objects are gone.
    Promise.resolve()
      .then(() => feed(client, path, subject, sinkOf(channel), channel.stop.signal, options))
      .catch((cause: unknown) => new Failure("INTERNAL", "internal error", { cause }))
      .then((failure) => channel.stop.signal.aborted || ended(path, channel, failure));
    return channel;
  };
  const close = (path: string, channel: Channel): void => {
    channel.stop.abort();
    if (channels.get(path) === channel) {
      channels.delete(path);
      narrow.delete(channel.wide);
    }
  };
  const ended = (path: string, channel: Channel, failure: Failure): void => {
    close(path, channel);
    for (const reader of [...channel.readers.values()].flatMap((readers) => [...readers])) {
      if (failure.reason === "RBAC_DENIED" && path === channel.wide) {
        narrow.add(path);
        join(reader);
      } else {
        reader.put({ type: "failed", failure });
      }
    }
  };
  return {
    subscribe(ref, signal) {
      const slot = createSlot(inTurn, signal);
      const reader: Reader = { ref, put: slot.put, leave: () => {} };
      const { recent } = join(reader);
      const last = (): WorkloadObject | undefined => {
        const change = recent.get(nameOf(reader));
        return change?.type === "object" ? change.object : undefined;
      };
      const close = (): void => {
        signal.removeEventListener("abort", close);
        reader.leave();
        slot.wake();
      };
      signal.addEventListener("abort", close);
      return { next: slot.take, last, close };
    },
    follow(ref, put) {
      const reader: Reader = { ref, put, leave: () => {} };
      const last = join(reader).recent.get(nameOf(reader));
      if (last !== undefined) put(last);
      return () => reader.leave();
    },
    [Symbol.dispose]() {
      for (const [path, channel] of channels) {
        close(path, channel);
      }
    },
  };
}

const nameOf = ({ ref }: Reader): string => `${ref.namespace}/${ref.name}`;

function addReader({ readers }: Channel, reader: Reader): void {
  readers.set(nameOf(reader), (readers.get(nameOf(reader)) ?? new Set()).add(reader));
}

function removeReader({ readers }: Channel, reader: Reader): void {
  const others = readers.get(nameOf(reader));
  others?.delete(reader);
  if (others?.size === 0) {
    readers.delete(nameOf(reader));
  }
}

function sinkOf({ readers, recent }: Channel): Sink {
  return {
    keys: () => readers.keys(),
    put(key, change) {
      recent.set(key, change);
      for (const reader of readers.get(key) ?? []) {
        reader.put(change);
      }
    },
    forget: () => recent.clear(),
  };
}

/** A collection in all namespaces, and in the workload's own. */
function pathsOf({ group, version, resource, namespace }: WorkloadRef) {
  const api = apiPath(group, version);
  const wide = `${api}/${resource}`;
  return { wide, within: `${api}/namespaces/${namespace}/${resource}` };
}

/** Holds the newest change until it is taken. */
interface Slot {
  readonly put: (change: Change) => void;
  readonly take: Subscription["next"];
  /** Has who waits look again. */
  readonly wake: () => void;
}

/** @param inTurn wakes who waits, when it is its turn. */
function createSlot(inTurn: (wake: () => void) => void, signal: AbortSignal): Slot {
  let newest: Change | undefined;
  let wake = (): void => {};
  return {
    put(change) {
      newest = change;
      inTurn(() => wake());
    },
    wake: () => wake(),
    async take(withinMs) {
      const until = withinMs === undefined ? undefined : performance.now() + withinMs;
      let late = false;
      while (newest === undefined && !late) {
        signal.throwIfAborted();
        late = await new Promise<boolean>((resolve) => {
          const timer =
            until === undefined ? undefined : setTimeout(resolve, Math.max(0, until - performance.now()), true);
          wake = () => {
            clearTimeout(timer);
            resolve(false);
          };
        });
      }
      const change = newest;
      newest = undefined;
      return change;
    },
  };
}
