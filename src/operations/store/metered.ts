import { tokenOf } from "../../core/call.ts";
import type { Meter, SendResultName, StoreOperation } from "../../core/meter.ts";
import type { OperationState } from "../../core/operation.ts";
import { parseFailure } from "../../core/status.ts";
import { ENDED, type OperationRecord } from "./record.ts";
import { type Step, type Store, UncertainCommit } from "./store.ts";

/** A replica that has not beaten for so long (ms) does not count as one that lives. */
const ALIVE_MS = 15_000;

/**
 * The store, with everything counted that goes through it: how long it took, sends, ends, warnings, orphans. Each is counted once, by
 * the process whose write was committed.
 *
 * @param monotonic a clock in ms that never goes back.
 */
export function meterStore(store: Store, meter: Meter, monotonic: () => number): Store {
  const timed = async <Result>(operation: StoreOperation, work: Promise<Result>): Promise<Result> => {
    const began = monotonic();
    try {
      const result = await work;
      meter.stored(operation, "ok", monotonic() - began);
      return result;
    } catch (error) {
      meter.stored(operation, error instanceof UncertainCommit ? "uncertain" : "error", monotonic() - began);
      throw error;
    }
  };
  const changed = (step: Step, after: OperationRecord | undefined): OperationRecord | undefined => {
    if (after !== undefined) countChange(meter, store.replica, step, after);
    return after;
  };
  const alive = createAliveness(store.replica, monotonic);
  return {
    replica: store.replica,
    exclusive: store.exclusive,
    async insert(records, event, instead, epoch) {
      const inserted = await timed("insert", store.insert(records, event, instead, epoch));
      const none = inserted.duplicate !== undefined || inserted.stale === true;
      if (!none && (instead !== undefined || inserted.blocked.size === 0)) {
        for (const record of records) {
          const blocking = inserted.blocked.get(record.name);
          const stored = blocking === undefined || instead === undefined ? record : instead(record, blocking);
          for (const warning of stored.warnings) meter.warned(tokenOf(warning));
          if (ENDED.has(stored.state)) countEnd(meter, stored);
        }
      }
      return inserted;
    },
    change: async (before, change, event, epoch) =>
      changed({ before, change, event }, await timed("change", store.change(before, change, event, epoch))),
    async changeAll(steps) {
      const after = await timed("change", store.changeAll(steps));
      for (const [index, step] of steps.entries()) changed(step, after[index]);
      return after;
    },
    get: (name) => timed("get", store.get(name)),
    blocking: (target) => timed("get", store.blocking(target)),
    find: (principal, requestId) => timed("get", store.find(principal, requestId)),
    children: (parent) => timed("list", store.children(parent)),
    list: (query) => timed("list", store.list(query)),
    open: () => timed("open", store.open()),
    freezes: () => timed("get", store.freezes()),
    changeFreezes: (epoch, change) => timed("change", store.changeFreezes(epoch, change)),
    summary: () => timed("list", store.summary()),
    audit: (name) => timed("list", store.audit(name)),
    remove: (record) => timed("remove", store.remove(record)),
    purge: (endedBefore, limit) => timed("remove", store.purge(endedBefore, limit)),
    async beat() {
      const beats = await timed("beat", store.beat());
      meter.replicas(alive(beats));
      return beats;
    },
    subscribe: (listener) => store.subscribe(listener),
    ...(store.backup && { backup: (file: string) => store.backup?.(file) ?? Promise.resolve() }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

function countChange(meter: Meter, replica: string, { before, event }: Step, after: OperationRecord): void {
  const known = new Set(before.warnings);
  for (const warning of after.warnings) if (!known.has(warning)) meter.warned(tokenOf(warning));
  if (after.state === before.state) return;
  const result = sendResult(before, after);
  // Another process's, and nobody asked for it: its owner is gone.
  const orphan = before.owner !== replica && event?.actor === undefined;
  const unsent = before.state === "ACCEPTED" || before.state === "SENDING";
  if (result !== undefined && !orphan) meter.sent(after.method, after.action, result);
  if (orphan && unsent && (after.state === "CANCELLED" || after.state === "UNKNOWN")) meter.orphaned(after.state);
  if (ENDED.has(after.state) && !ENDED.has(before.state)) countEnd(meter, after);
}

const countEnd = (meter: Meter, { method, action, state, createTime, updateTime, endTime }: OperationRecord): void =>
  meter.operationEnded(method, action, state, Math.max(0, (endTime ?? updateTime) - createTime));

/** What a change of state says of the send; undefined when it is about something else. */
function sendResult(before: OperationRecord, after: OperationRecord): SendResultName | undefined {
  if (before.state === "ACCEPTED" && ENDED.has(after.state)) return "not_sent";
  if (before.state !== "SENDING") return undefined;
  const results: Partial<Record<OperationState, SendResultName>> = {
    SENT: "accepted",
    SUCCEEDED: "accepted",
    UNKNOWN: "unknown",
    CANCELLED: "not_sent",
  };
  if (after.state !== "FAILED" || after.error === undefined) return results[after.state];
  return parseFailure(after.error).outcome === "applied" ? "accepted" : "refused";
}

/** How many replicas have beaten lately, as seen from here: no clock of another machine is compared with ours. */
function createAliveness(self: string, monotonic: () => number) {
  const seen = new Map<string, { beats: number; at: number }>();
  return (beats: ReadonlyMap<string, number>): number => {
    const now = monotonic();
    let alive = 0;
    for (const [id, count] of beats) {
      const before = seen.get(id);
      // One that is seen for the first time may have been dead for long: it counts once it moves.
      if (before === undefined || before.beats !== count) {
        seen.set(id, { beats: count, at: before === undefined ? Number.NEGATIVE_INFINITY : now });
      }
      if (id === self || now - (seen.get(id)?.at ?? 0) < ALIVE_MS) alive++;
    }
    for (const id of seen.keys()) if (!beats.has(id)) seen.delete(id);
    return alive;
  };
}
