import type { Freezes, SwitchedFreeze } from "../../src/core/freeze.ts";
import { parseFailure } from "../../src/core/status.ts";
import {
  type AuditEvent,
  type AuditRow,
  type Change,
  ENDED,
  type OperationRecord,
  type Tombstone,
} from "../../src/operations/store/record.ts";
import {
  type Comparison,
  type Found,
  type ListQuery,
  type Step,
  type Store,
  UncertainCommit,
} from "../../src/operations/store/store.ts";

/** A write as a test sees it before it is committed. */
export type Write =
  | { readonly kind: "insert"; readonly records: readonly OperationRecord[] }
  | { readonly kind: "change"; readonly before: OperationRecord; readonly change: Change };

/** What goes wrong with a write: it is lost, or committed while its writer is told that nobody knows. */
export type Doubt = "lost" | "committed";

/** What a {@link MemoryDatabase} can be told. */
export interface MemoryOptions {
  readonly now: () => Date;
  /** Asked before each write. */
  readonly doubt?: (write: Write, replica: string) => Doubt | undefined;
  /** False: a change overwrites whatever is there. For negative controls alone. Default true. */
  readonly compareAndSet?: boolean;
  /** `own`: freezes are each replica's; `unguarded`: no write minds that they have changed. For negative controls alone. */
  readonly freezes?: "own" | "unguarded";
  /** See {@link Store.exclusive}. Default false. */
  readonly exclusive?: boolean;
}

/** One database in memory that several replicas use at once, each in its own way of going wrong. */
export interface MemoryDatabase {
  readonly operations: ReadonlyMap<string, OperationRecord>;
  readonly audit: readonly AuditRow[];
  /**
   * The database as one replica sees it.
   *
   * @param alive waited for before and after each use: a process that is dead or stopped gets no further.
   */
  connect(replica: string, alive?: () => Promise<void>): Store;
}

/** An empty database. */
export function createMemoryDatabase(options: MemoryOptions): MemoryDatabase {
  const { now, doubt, compareAndSet = true, exclusive = false, freezes: freezing } = options;
  const operations = new Map<string, OperationRecord>();
  const tombstones = new Map<string, Tombstone>();
  const audit: AuditRow[] = [];
  const frozen = { epoch: 0, switched: new Map<string, SwitchedFreeze>() };
  const beats = new Map<string, number>();
  const listeners = new Set<(name: string) => void>();

  const use = (principal: string, requestId: string): Found | undefined => {
    const tombstone = tombstones.get(`${principal}/${requestId}`);
    if (tombstone !== undefined) return { tombstone };
    const record = [...operations.values()].find((one) => one.principal === principal && one.requestId === requestId);
    return record && { record };
  };
  const blocker = (target: string, but: string): OperationRecord | undefined =>
    [...operations.values()].find((one) => one.blocks && one.target === target && one.name !== but);
  const written = (record: OperationRecord): void => {
    for (const listener of listeners) queueMicrotask(() => listener(record.name));
  };
  const log = (
    replica: string,
    operation: string,
    event: AuditEvent,
    from: AuditRow["from"],
    to: AuditRow["to"],
  ): void => {
    const row = { operation, time: now().getTime(), replica, from, to, actor: replica, detail: "", ...event };
    audit.push({ ...row, sequence: audit.length + 1 });
  };
  /** An operation with its parts: all of them, or none. */
  const bury = (whole: OperationRecord): boolean => {
    const all = [...operations.values()].filter(({ name, parent }) => name === whole.name || parent === whole.name);
    if (all.some(({ endTime, blocks }) => endTime === undefined || blocks)) return false;
    for (const record of all) {
      operations.delete(record.name);
      if (record.requestId === undefined || record.endTime === undefined) continue;
      const { requestId, endTime } = record;
      const code = record.error === undefined ? 0 : parseFailure(record.error).code;
      tombstones.set(`${record.principal}/${requestId}`, { ...record, requestId, endTime, code });
    }
    return true;
  };

  /** Commits, or fails as the test wants it. */
  const commit = <Result>(write: Write, replica: string, apply: () => Result): Result => {
    const wrong = doubt?.(write, replica);
    if (wrong === "lost") throw new UncertainCommit("the connection was lost before the commit was answered");
    const result = apply();
    if (wrong === "committed") throw new UncertainCommit("the connection was lost before the commit was answered");
    return result;
  };

  /** The doubt about one of them is the doubt about all. */
  const changeAll = (
    replica: string,
    [step, ...rest]: readonly Step[],
    stale = false,
  ): (OperationRecord | undefined)[] =>
    step === undefined
      ? []
      : commit({ kind: "change", ...step }, replica, () =>
          stale ? [undefined] : [changeOne(replica, step), ...changeAll(replica, rest)],
        );
  const changeOne = (replica: string, { before, change, event }: Step): OperationRecord | undefined => {
    const current = operations.get(before.name);
    if (current === undefined || (compareAndSet && current.version !== before.version)) return undefined;
    const after = { ...before, ...change, version: current.version + 1, updateTime: now().getTime() };
    if (after.blocks && blocker(after.target, after.name) !== undefined) {
      throw new Error(`two operations would block ${after.target}`);
    }
    operations.set(after.name, after);
    if (event !== undefined) log(replica, after.name, event, before.state, after.state);
    written(after);
    return after;
  };

  const connect: MemoryDatabase["connect"] = (replica, alive = async () => {}) => {
    const through = async <Result>(work: () => Result): Promise<Result> => {
      await alive();
      try {
        return work();
      } finally {
        await alive();
      }
    };
    const freezes = freezing === "own" ? { epoch: 0, switched: new Map<string, SwitchedFreeze>() } : frozen;
    const isStale = (epoch: number | undefined): boolean =>
      epoch !== undefined && freezing === undefined && epoch !== freezes.epoch;
    return {
      replica,
      exclusive,
      insert: (records, event, instead, epoch) =>
        through(() =>
          commit({ kind: "insert", records }, replica, () => {
            for (const { principal, requestId } of records) {
              const duplicate = requestId === undefined ? undefined : use(principal, requestId);
              if (duplicate !== undefined) return { duplicate };
            }
            const blocked = new Map<string, OperationRecord>();
            for (const { name, target, blocks } of records) {
              const other = blocks ? blocker(target, name) : undefined;
              if (other !== undefined) blocked.set(name, other);
            }
            const blocks = records.filter((record) => record.blocks).length;
            if (blocked.size > 0 && (instead === undefined || blocked.size === blocks)) return { blocked };
            if (isStale(epoch)) return { stale: true, blocked };
            for (const given of records) {
              const blocking = blocked.get(given.name);
              const record = blocking === undefined || instead === undefined ? given : instead(given, blocking);
              operations.set(record.name, record);
              const told = typeof event === "function" ? event(record) : event;
              log(replica, record.name, told, undefined, record.state);
              written(record);
            }
            return { blocked };
          }),
        ),
      change: (before, change, event, epoch) =>
        through(() => changeAll(replica, [{ before, change, event }], isStale(epoch))[0]),
      freezes: () => through((): Freezes => ({ epoch: freezes.epoch, switched: [...freezes.switched.values()] })),
      changeFreezes: (epoch, change) =>
        through(() => {
          if (epoch !== freezes.epoch) return false;
          freezes.epoch++;
          if (change.kind === "create") freezes.switched.set(change.freeze.name, change.freeze);
          else freezes.switched.delete(change.name);
          return true;
        }),
      changeAll: (steps) => through(() => changeAll(replica, steps)),
      get: (name) => through(() => operations.get(name)),
      blocking: (target) => through(() => blocker(target, "")),
      find: (principal, requestId) => through(() => use(principal, requestId)),
      children: (parent) => through(() => [...operations.values()].filter((one) => one.parent === parent)),
      list: (query) => through(() => page([...operations.values()], query)),
      open: () => through(() => [...operations.values()].filter(({ state }) => !ENDED.has(state))),
      summary: () =>
        through(() => ({
          id: "of memory",
          open: [...operations.values()]
            .filter(({ state }) => !ENDED.has(state) || state === "UNRESOLVED")
            .map(({ method, state, createTime }) => ({ method, state, count: 1, oldest: createTime })),
          schemaVersion: 2,
          sizeBytes: undefined,
          lastBackup: undefined,
        })),
      audit: (name) => through(() => audit.filter(({ operation }) => operation === name)),
      remove: ({ name, version }) =>
        through(() => {
          const record = operations.get(name);
          return record?.version === version && bury(record);
        }),
      purge: (endedBefore, limit) =>
        through(() => {
          const due = [...operations.values()].filter(
            ({ endTime, parent }) => parent === undefined && endTime !== undefined && endTime < endedBefore,
          );
          return due.slice(0, limit).filter(bury).length;
        }),
      beat: () =>
        through(() => {
          beats.set(replica, (beats.get(replica) ?? 0) + 1);
          return new Map(beats);
        }),
      subscribe: (listener) => {
        const own = (name: string): void => void alive().then(() => listener(name));
        listeners.add(own);
        return () => listeners.delete(own);
      },
      [Symbol.asyncDispose]: async () => {},
    };
  };
  return { operations, audit, connect };
}

/** A page of a list, newest first. */
function page(records: OperationRecord[], { where, limit, after }: ListQuery): OperationRecord[] {
  const newestFirst = records.sort((a, b) => b.createTime - a.createTime || (a.name < b.name ? 1 : -1));
  const start = after === undefined ? 0 : newestFirst.findIndex(({ name }) => name === after.name) + 1;
  return newestFirst
    .slice(start)
    .filter((record) => where.every((comparison) => holds(record, comparison)))
    .slice(0, limit);
}

function holds(record: OperationRecord, { field, operator, value }: Comparison): boolean {
  const actual = record[field];
  if (actual === undefined) return false; // as a database has it
  if (operator === "=") return actual === value;
  return operator === "<" ? actual < value : actual > value;
}
