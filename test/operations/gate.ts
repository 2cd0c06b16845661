import type { Store } from "../../src/operations/store/store.ts";

/** What holds a process up: whatever it is about to do next never happens, or happens later. */
export interface Gate {
  /** Resolves when the process may go on. */
  readonly alive: () => Promise<void>;
  readonly isDead: () => boolean;
  /** Resolves when it dies. */
  readonly died: Promise<void>;
  readonly isShut: () => boolean;
  /** Whether it was ever held up. */
  readonly hasStopped: () => boolean;
  /** For so long (ms), or for ever. */
  stop(ms: number | undefined): void;
}

/** A process that lives. */
export function createGate(): Gate {
  let shut: Promise<void> | undefined;
  let dead = false;
  let stopped = false;
  const { promise: died, resolve: die } = Promise.withResolvers<void>();
  return {
    died,
    alive: async () => {
      while (shut !== undefined) await shut;
    },
    isDead: () => dead,
    isShut: () => shut !== undefined,
    hasStopped: () => stopped,
    stop: (ms) => {
      stopped = true;
      dead = ms === undefined;
      if (dead) die();
      shut =
        ms === undefined
          ? new Promise(() => {})
          : new Promise<void>((resolve) => setTimeout(resolve, ms)).then(() => {
              shut = undefined;
            });
    },
  };
}

/** A store as a process uses it that may be held up before and after each use. */
export function gated(store: Store, { alive }: Gate): Store {
  const through =
    <Args extends unknown[], Result>(work: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      await alive();
      const result = await work(...args);
      await alive();
      return result;
    };
  return {
    ...store,
    insert: through(store.insert),
    change: through(store.change),
    changeAll: through(store.changeAll),
    get: through(store.get),
    find: through(store.find),
    children: through(store.children),
    list: through(store.list),
    open: through(store.open),
    audit: through(store.audit),
    remove: through(store.remove),
    purge: through(store.purge),
    beat: through(store.beat),
    subscribe: (listener) => store.subscribe((name) => void alive().then(() => listener(name))),
  };
}
