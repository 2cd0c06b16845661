import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Failure } from "../../../src/core/errors.ts";
import { parseFailure } from "../../../src/core/status.ts";
import { cancelOperation, deleteOperation, resolveOperation } from "../../../src/operations/rpc/mutations.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import { type Store, UncertainCommit } from "../../../src/operations/store/store.ts";
import { insert, NOON, openStore, recordOf, UNRESOLVED } from "../support.ts";

let store: Store;
beforeEach(async () => {
  store = await openStore();
});
afterEach(() => store[Symbol.asyncDispose]());

const judge = { actor: "ann", now: () => NOON + 1000 };

const failureOf = async (work: Promise<unknown>): Promise<Failure> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("it did not fail");
};

/** What the audit trail says beside the acceptance: event, actor, detail, states. */
const trail = async ({ name }: OperationRecord) =>
  (await store.audit(name)).slice(1).map(({ event, actor, detail, from, to }) => [event, actor, detail, from, to]);

/** A store in which somebody is faster than the first change. */
const overtaken = (faster: (before: OperationRecord) => Promise<unknown>): Store => {
  let first = true;
  return {
    ...store,
    async change(...args) {
      if (first) {
        first = false;
        await faster(args[0]);
      }
      return store.change(...args);
    },
  };
};

describe("cancelOperation()", () => {
  it("ends what has sent nothing, durably, and frees its target", async () => {
    const record = await insert(store);
    const cancelled = await cancelOperation(store, record, { ...judge, identity: '{"authenticator":"okta"}' });
    expect((await store.audit(record.name)).at(-1)?.identity).toBe('{"authenticator":"okta"}');
    expect(cancelled).toMatchObject({ state: "CANCELLED", blocks: false, endTime: NOON + 1000 });
    expect(await store.get(record.name)).toEqual(cancelled);
    expect(parseFailure(cancelled.error ?? "")).toMatchObject({
      reason: "CANCELLED",
      message: "cancelled before anything was sent",
      outcome: "not_applied",
    });
    expect(await trail(record)).toEqual([
      ["cancelled", "ann", "cancelled before anything was sent", "ACCEPTED", "CANCELLED"],
    ]);
    // Its sender has lost.
    expect(await store.change(record, { state: "SENDING" }, { event: "permit" })).toBeUndefined();
  });

  it.each(["SENDING", "SENT", "UNKNOWN"] as const)(
    "only notes that somebody asked when it is %s, once",
    async (state) => {
      const record = await insert(store, { state });
      const asked = await cancelOperation(store, record, judge);
      expect(asked).toMatchObject({ state, blocks: true, cancelRequested: true, endTime: undefined, error: undefined });
      expect(await cancelOperation(store, asked, judge)).toEqual(asked);
      expect(await trail(record)).toEqual([["cancel requested", "ann", "", state, state]]);
    },
  );

  it("leaves alone what has ended", async () => {
    const record = await insert(store, { state: "SUCCEEDED", endTime: NOON });
    expect(await cancelOperation(store, record, judge)).toEqual(record);
    expect(await trail(record)).toEqual([]);
  });

  it("never cancels what a permit was given for meanwhile", async () => {
    const record = await insert(store);
    const race = overtaken((before) => store.change(before, { state: "SENDING" }, { event: "permit" }));
    expect(await cancelOperation(race, record, judge)).toMatchObject({ state: "SENDING", cancelRequested: true });
  });

  it("is done when it ended meanwhile, and says so when it was deleted", async () => {
    const record = await insert(store);
    const end = (before: OperationRecord) =>
      store.change(before, { state: "SUCCEEDED", blocks: false, endTime: NOON }, { event: "sent" });
    expect(await cancelOperation(overtaken(end), record, judge)).toMatchObject({
      state: "SUCCEEDED",
      cancelRequested: false,
    });
    const other = await insert(store);
    const remove = overtaken(async (before) => store.remove((await end(before)) ?? before));
    expect(await failureOf(cancelOperation(remove, other, judge))).toMatchObject({ reason: "OPERATION_NOT_FOUND" });
  });

  it("cancels every part that has sent nothing, and the whole when none has", async () => {
    const family = async (...states: OperationRecord["state"][]) => {
      const whole = recordOf();
      const parts = states.map((state) => recordOf({ parent: whole.name, state }));
      await store.insert([whole, ...parts], { event: "accepted" });
      const { state, cancelRequested } = await cancelOperation(store, whole, judge);
      const ends = await Promise.all(parts.map(({ name }) => store.get(name)));
      return [state, cancelRequested, ...ends.map((part) => part?.state)];
    };
    expect(await family("ACCEPTED", "ACCEPTED")).toEqual(["CANCELLED", true, "CANCELLED", "CANCELLED"]);
    expect(await family("ACCEPTED", "SENT")).toEqual(["ACCEPTED", true, "CANCELLED", "SENT"]);
  });

  it("says that the store cannot be used, also when a commit is in doubt", async () => {
    const record = await insert(store);
    for (const cause of [new Error("disk"), new UncertainCommit("lost")]) {
      const broken: Store = { ...store, change: () => Promise.reject(cause) };
      expect(await failureOf(cancelOperation(broken, record, judge))).toMatchObject({
        reason: "STORE_UNAVAILABLE",
        outcome: "not_applied",
        cause,
      });
    }
  });
});

describe("resolveOperation()", () => {
  const applied = { ...judge, applied: true, note: "seen in the console" };
  const notApplied = { ...applied, applied: false };

  it("makes SUCCEEDED of what was applied, and frees the target", async () => {
    const record = await insert(store, UNRESOLVED);
    const resolved = await resolveOperation(store, record, { ...applied, identity: '{"authenticator":"okta"}' });
    expect(resolved).toMatchObject({ state: "SUCCEEDED", blocks: false, error: undefined, endTime: NOON + 1000 });
    expect(await store.get(record.name)).toEqual(resolved);
    expect(await trail(record)).toEqual([["resolved", "ann", "seen in the console", "UNRESOLVED", "SUCCEEDED"]]);
    expect((await store.audit(record.name)).at(-1)?.identity).toBe('{"authenticator":"okta"}');
    const next = recordOf({ target: record.target });
    expect(await store.insert([next], { event: "accepted" })).toEqual({ blocked: new Map() });
  });

  it("makes NOT_OBSERVED of what was not", async () => {
    const record = await insert(store, { ...UNRESOLVED, target: "t" });
    const resolved = await resolveOperation(store, record, notApplied);
    expect(resolved).toMatchObject({ state: "NOT_OBSERVED", blocks: false });
    expect(parseFailure(resolved.error ?? "")).toMatchObject({
      reason: "RESTART_NOT_OBSERVED",
      outcome: "not_applied",
    });
  });

  it.each([
    [applied, notApplied, "SUCCEEDED"],
    [notApplied, applied, "NOT_OBSERVED"],
  ])("takes the same verdict twice, and never the other one", async (verdict, other, state) => {
    const record = await insert(store, UNRESOLVED);
    const resolved = await resolveOperation(store, record, verdict);
    expect(await resolveOperation(store, resolved, verdict)).toEqual(resolved);
    // One who read it before the first verdict is told the same.
    expect(await resolveOperation(store, record, verdict)).toEqual(resolved);
    expect(await trail(record)).toHaveLength(1);
    const failure = await failureOf(resolveOperation(store, record, other));
    expect(failure).toMatchObject({
      reason: "OPERATION_NOT_UNRESOLVED",
      message: `${record.name} is ${state}: an operator has resolved it already`,
    });
    expect(failure.details[0]?.value).toEqual({ resourceType: "restartd.operation", resourceName: record.name });
  });

  it.each(["ACCEPTED", "SENT", "UNKNOWN", "SUCCEEDED", "NOT_OBSERVED"] as const)(
    "refuses one that is %s by itself",
    async (state) => {
      const record = await insert(store, { state });
      for (const verdict of [applied, notApplied]) {
        expect(await failureOf(resolveOperation(store, record, verdict))).toMatchObject({
          reason: "OPERATION_NOT_UNRESOLVED",
          message: `${record.name} is ${state}: only one that is UNRESOLVED can be resolved`,
        });
      }
      expect(await store.get(record.name)).toEqual(record);
    },
  );
});

describe("deleteOperation()", () => {
  const ended = { state: "SUCCEEDED", blocks: false, endTime: NOON } as const;

  it("leaves the tombstone of what has ended", async () => {
    const requestId = "7e1b5b2e-3f5c-4a52-8a2e-0d7f6d1f0a11";
    const record = await insert(store, { ...ended, requestId });
    await deleteOperation(store, record);
    expect(await store.get(record.name)).toBeUndefined();
    expect((await store.find("anonymous", requestId))?.tombstone).toMatchObject({ name: record.name });
  });

  it("refuses what has not ended, or still blocks, or has such a part", async () => {
    const waits = "only what has ended can be deleted; WaitOperation waits for its end";
    const open = await insert(store, { state: "SENT" });
    expect(await failureOf(deleteOperation(store, open))).toMatchObject({
      reason: "OPERATION_NOT_FINISHED",
      message: `${open.name} is SENT: ${waits}`,
    });
    const doubtful = await insert(store, UNRESOLVED);
    expect(await failureOf(deleteOperation(store, doubtful))).toMatchObject({
      message: `${doubtful.name} is UNRESOLVED: its target stays blocked until it is resolved (ResolveOperation)`,
    });
    const whole = recordOf(ended);
    const part = recordOf({ parent: whole.name, state: "SENDING" });
    await store.insert([whole, part], { event: "accepted" });
    expect(await failureOf(deleteOperation(store, whole))).toMatchObject({
      message: `${part.name} is SENDING: ${waits}`,
    });
    expect(await store.get(whole.name)).toEqual(whole);
  });

  it("deletes what changed meanwhile, and says when somebody was faster", async () => {
    const record = await insert(store, ended);
    await store.change(record, { progress: "more" }, undefined);
    await deleteOperation(store, record);
    expect(await failureOf(deleteOperation(store, record))).toMatchObject({ reason: "OPERATION_NOT_FOUND" });
  });

  it("gives up when it keeps changing", async () => {
    const record = await insert(store, ended);
    const restless: Store = { ...store, remove: () => Promise.resolve(false) };
    expect(await failureOf(deleteOperation(restless, record))).toMatchObject({
      reason: "OPERATION_NOT_FINISHED",
      message: `${record.name} is SUCCEEDED: it, or a part of it, keeps changing; try again later`,
    });
  });
});
