import type { Failpoint, FailpointHook } from "../../../src/operations/records/failpoint.ts";

/**
 * A process that dies at a failpoint, as far as its store and its vendor can see: it gets no further, and whatever was durable then is
 * all that is left. Whoever goes on does so with a copy of the store.
 */
export interface Death {
  readonly failpoint: FailpointHook;
  /** Resolves when it has happened. */
  readonly happened: Promise<void>;
  /** Ends what stands at the failpoint, by an error, so that it can be cleared away. */
  bury(): void;
}

/** Dies when it gets to a failpoint for the first time. */
export function dieAt(point: Failpoint): Death {
  const happened = Promise.withResolvers<void>();
  const buried = Promise.withResolvers<never>();
  buried.promise.catch(() => {}); // who stands there gets it
  let dead = false;
  return {
    happened: happened.promise,
    failpoint: async (reached) => {
      if (!dead && reached !== point) return;
      dead = true;
      happened.resolve();
      await buried.promise;
    },
    bury: () => buried.reject(new Error(`the process died ${point}`)),
  };
}
