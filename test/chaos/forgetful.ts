import type { SwitchedFreeze } from "../../src/core/freeze.ts";
import type { Store } from "../../src/operations/store/store.ts";

/** The negative control: freezes are kept in the memory of the process that was asked for them, and a permit relies on that alone. */
export function forgetful(store: Store): Store {
  const switched = new Map<string, SwitchedFreeze>();
  let now = 0;
  return {
    ...store,
    freezes: () => Promise.resolve({ epoch: now, switched: [...switched.values()] }),
    changeFreezes(epoch, change) {
      if (epoch !== now) return Promise.resolve(false);
      now += 1;
      if (change.kind === "create") switched.set(change.freeze.name, change.freeze);
      else switched.delete(change.name);
      return Promise.resolve(true);
    },
    insert: async (records, event, instead, epoch = now) =>
      epoch === now ? store.insert(records, event, instead) : { stale: true, blocked: new Map() },
    change: async (before, change, event, epoch = now) =>
      epoch === now ? store.change(before, change, event) : undefined,
  };
}
