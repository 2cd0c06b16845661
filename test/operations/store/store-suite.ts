import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Failure } from "../../../src/core/errors.ts";
import type { SwitchedFreeze } from "../../../src/core/freeze.ts";
import { formatFailure } from "../../../src/core/status.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import type { Comparison, EventOf, Instead, Store } from "../../../src/operations/store/store.ts";
import { record, uuid } from "../records.ts";

/** A store with nothing in it, opened for one test. */
export interface Opened extends AsyncDisposable {
  readonly store: Store;
  /** Opens another one on the same data, as a second process does; undefined where that is refused. */
  readonly second?: () => Promise<Store>;
}

/** What every store promises, whatever it is kept in. */
export function storeSuite(name: string, open: () => Promise<Opened>): void {
  describe(name, () => {
    let opened: Opened;
    let store: Store;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened[Symbol.asyncDispose]());
    const accept = (...records: OperationRecord[]) => store.insert(records, { event: "accepted" });
    const stored = async (part: Partial<OperationRecord> = {}) => {
      const one = record(part);
      expect(await accept(one)).toEqual({ blocked: new Map() });
      return one;
    };
    const finished = (part: Partial<OperationRecord> = {}) =>
      stored({ state: "SUCCEEDED", blocks: false, endTime: 2_000, ...part });

    insertTests(() => store);
    removeTests(() => store, finished);
    listTests(() => store);
    freezeTests(() => opened);

    describe("get()", () => {
      it("answers every field as it was stored", async () => {
        const full = await stored({
          response: '{"jobId":"1"}',
          error: "{}",
          vendorJob: "job-1",
          warnings: ["NO_REPLICAS", "RECREATE_DOWNTIME"],
          progress: "1 of 3",
          reason: "größer als 💥",
          parent: "operations/parent",
          cancelRequested: true,
          sendTime: 2 ** 43,
          endTime: 2 ** 43 + 1,
        });
        const bare = await stored({ requestId: undefined });
        expect(await store.get(full.name)).toEqual(full);
        expect(await store.get(bare.name)).toEqual(bare);
        expect(await store.get("operations/none")).toBeUndefined();
      });

      it("keeps text that a database refuses, with a sign for what it cannot keep", async () => {
        const { name } = await stored({ reason: "a\0b\ud800c" });
        expect((await store.get(name))?.reason).toBe("a\ufffdb\ufffdc");
      });
    });

    describe("summary()", () => {
      it("tells an id that is random, and the same for every process on the store", async () => {
        const { id } = await store.summary();
        expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        if (opened.second === undefined) return;
        await using other = await opened.second();
        expect(other.replica).not.toBe(store.replica);
        expect((await other.summary()).id).toBe(id);
      });
    });

    describe("changeAll()", () => {
      it("changes those that still have their version, each with its audit row", async () => {
        const [one, moved, gone] = [await stored(), await stored(), await finished()];
        const other = await store.change(moved, { progress: "1 of 2" }, undefined);
        await store.remove(gone);
        const told: (string | undefined)[] = [];
        store.subscribe((name) => told.push(name));
        const steps = [moved, one, gone].map((before) => ({
          before,
          change: { state: "CANCELLED" as const, blocks: false, endTime: 9 },
          event: { event: "cancelled" },
        }));
        const [none, changed, never] = await store.changeAll(steps);
        expect([none, never]).toEqual([undefined, undefined]);
        expect(changed).toEqual({ ...one, ...steps[0]?.change, version: 2, updateTime: changed?.updateTime });
        expect(await store.get(one.name)).toEqual(changed);
        expect(await store.get(moved.name)).toEqual(other);
        expect((await store.audit(one.name)).map(({ event }) => event)).toEqual(["accepted", "cancelled"]);
        await expect.poll(() => told).toEqual([one.name]);
        expect(await store.changeAll([])).toEqual([]);
      });
    });

    describe("audit()", () => {
      it("answers who did what, as it was told with what was stored and what was changed", async () => {
        const identity = (who: string) =>
          JSON.stringify({ authenticator: "okta", credential: who, groups: ["größe 💥"] });
        const [one, other] = [record(), record()];
        await store.insert([one], { event: "accepted", actor: "okta:ann", identity: identity("a") });
        await store.insert([other], { event: "accepted", actor: "okta:ann" });
        const sent = await store.change(one, { state: "SENT" }, { event: "sent" });
        if (sent === undefined) throw new Error("nobody else changed it");
        const end = { event: "cancel requested", actor: "okta:ben", identity: identity("b") };
        await store.change(sent, { cancelRequested: true }, end);
        const step = { before: other, change: { state: "CANCELLED" as const, blocks: false, endTime: 9 } };
        await store.changeAll([{ ...step, event: { event: "cancelled", identity: identity("c") } }]);
        const told = async (name: string) => (await store.audit(name)).map((row) => [row.event, row.identity]);
        expect(await told(one.name)).toEqual([
          ["accepted", identity("a")],
          ["sent", undefined],
          ["cancel requested", identity("b")],
        ]);
        expect(await told(other.name)).toEqual([
          ["accepted", undefined],
          ["cancelled", identity("c")],
        ]);
      });
    });

    describe("change()", () => {
      it("changes an operation that still has its version, and audits that", async () => {
        const before = await stored();
        const after = await store.change(before, { state: "SENDING", sendTime: 5 }, { event: "permit", detail: "now" });
        expect(after).toEqual({ ...before, state: "SENDING", sendTime: 5, version: 2, updateTime: after?.updateTime });
        expect(await store.get(before.name)).toEqual(after);
        const audit = await store.audit(before.name);
        const common = { operation: before.name, time: expect.any(Number), sequence: expect.any(Number) };
        expect(audit).toEqual([
          { ...common, event: "accepted", actor: store.replica, replica: store.replica, detail: "", to: "ACCEPTED" },
          {
            ...common,
            event: "permit",
            actor: store.replica,
            replica: store.replica,
            detail: "now",
            from: "ACCEPTED",
            to: "SENDING",
          },
        ]);
      });

      it("changes nothing and audits nothing when somebody else was first", async () => {
        const before = await stored();
        const first = await store.change(before, { state: "SENDING" }, { event: "permit" });
        expect(await store.change(before, { state: "CANCELLED" }, { event: "cancelled" })).toBeUndefined();
        expect(await store.get(before.name)).toEqual(first);
        expect((await store.audit(before.name)).map(({ event }) => event)).toEqual(["accepted", "permit"]);
      });

      it("tells what blocks a target, whenever others on it say that they were made", async () => {
        const ahead = record({ createTime: 9_000 });
        const { target } = ahead;
        await accept(ahead);
        await store.change(ahead, { state: "SENT", blocks: false }, { event: "sent" });
        expect(await store.blocking(target)).toBeUndefined();
        const behind = record({ target, createTime: 1_000 });
        await accept(behind);
        expect((await store.blocking(target))?.name).toBe(behind.name);
      });

      it("lets one of many win", async () => {
        const before = await stored();
        const attempts = Array.from({ length: 20 }, (_, attempt) =>
          store.change(before, { state: "SENDING", evidence: `{"by":${attempt}}` }, { event: "permit" }),
        );
        const winners = (await Promise.all(attempts)).filter((result) => result !== undefined);
        expect(winners).toHaveLength(1);
        expect(await store.get(before.name)).toEqual(winners[0]);
        expect(await store.audit(before.name)).toHaveLength(2);
      });

      it("answers undefined for an operation that is gone", async () => {
        expect(await store.change(record(), { state: "SENDING" }, { event: "permit" })).toBeUndefined();
      });

      it("clears what is set to undefined, and does not audit without an event", async () => {
        const before = await stored({ response: "{}" });
        const after = await store.change(before, { response: undefined, progress: "half", owner: "other" }, undefined);
        expect(after).toMatchObject({ response: undefined, progress: "half", owner: "other", version: 2 });
        expect(await store.get(before.name)).toEqual(after);
        expect(await store.audit(before.name)).toHaveLength(1);
      });

      it("frees a target", async () => {
        const before = await stored();
        await store.change(before, { state: "SENT", blocks: false }, { event: "sent" });
        expect(await accept(record({ target: before.target }))).toEqual({ blocked: new Map() });
      });
    });

    describe("children()", () => {
      it("answers the parts in the order in which they were inserted", async () => {
        const parent = record({ name: "operations/whole" });
        const parts = ["c", "a", "d", "b"].map((target) =>
          record({ target, parent: parent.name, requestId: undefined }),
        );
        await accept(parent, ...parts);
        expect((await store.children(parent.name)).map(({ target }) => target)).toEqual(["c", "a", "d", "b"]);
        expect(await store.children("operations/none")).toEqual([]);
      });
    });

    describe("open()", () => {
      it("answers what has not ended", async () => {
        const open = await stored();
        await finished();
        const { name, state, version, owner, method, parent } = open;
        expect(await store.open()).toEqual([{ name, state, version, owner, method, parent }]);
      });
    });

    describe("beat()", () => {
      it("counts up for this replica", async () => {
        expect((await store.beat()).get(store.replica)).toBe(1);
        expect((await store.beat()).get(store.replica)).toBe(2);
      });
    });

    describe("subscribe()", () => {
      it("tells of what was inserted and changed until it is left", async () => {
        const names: (string | undefined)[] = [];
        const leave = store.subscribe((changed) => names.push(changed));
        const one = await stored();
        await expect.poll(() => names).toContain(one.name);
        names.length = 0;
        await store.change(one, { state: "SENDING" }, { event: "permit" });
        await expect.poll(() => names).toContain(one.name);
        leave();
      });
    });

    describe("a second process", () => {
      it("sees what the first one wrote, and counts among the replicas", async ({ skip }) => {
        if (opened.second === undefined) return skip("this store serves one process");
        await using other = await opened.second();
        const one = await stored();
        expect(await other.get(one.name)).toEqual(one);
        expect(await other.insert([record({ requestId: one.requestId })], { event: "accepted" })).toEqual({
          duplicate: { record: one },
        });
        await store.beat();
        expect([...(await other.beat()).keys()].sort()).toEqual([store.replica, other.replica].sort());
        const heard = vi.fn();
        other.subscribe(heard);
        await store.change(one, { state: "SENDING" }, { event: "permit" });
        await expect.poll(() => heard.mock.calls).toContainEqual([one.name]);
      });

      it("never both wins and loses against the first one", async ({ skip }) => {
        if (opened.second === undefined) return skip("this store serves one process");
        await using other = await opened.second();
        for (let round = 0; round < 20; round++) {
          const requestId = uuid();
          const rivals = [store, other].map((rival) =>
            rival.insert([record({ requestId, target: `t-${round}` })], { event: "accepted" }),
          );
          const results = await Promise.all(rivals);
          expect(results.filter((result) => result.duplicate === undefined)).toHaveLength(1);
          const used = (await store.find("alice", requestId))?.record;
          if (used === undefined) throw new Error("nobody inserted");
          const changes = [store, other].map((rival) => rival.change(used, { state: "SENDING" }, { event: "permit" }));
          expect((await Promise.all(changes)).filter((change) => change !== undefined)).toHaveLength(1);
        }
      });

      it("inserts parts of several targets at the same time without a deadlock", async ({ skip }) => {
        if (opened.second === undefined) return skip("this store serves one process");
        await using other = await opened.second();
        for (let round = 0; round < 20; round++) {
          const parts = (order: string[]) =>
            order.map((target) => record({ requestId: undefined, target: `${round}-${target}` }));
          const results = await Promise.all([
            store.insert(parts(["a", "b", "c", "d"]), { event: "accepted" }),
            other.insert(parts(["d", "c", "b", "a"]), { event: "accepted" }),
          ]);
          expect(results.map((result) => result.duplicate === undefined && result.blocked.size).sort()).toEqual([0, 4]);
        }
      });
    });
  });
}

function insertTests(store: () => Store): void {
  describe("insert()", () => {
    const accept = (...records: OperationRecord[]) => store().insert(records, { event: "accepted", actor: "alice" });

    it("stores nothing twice for one request_id, however many come at once", async () => {
      const requestId = uuid();
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, at) => accept(record({ requestId, target: `t${at}` }))),
      );
      const inserted = results.filter((result) => result.duplicate === undefined);
      expect(inserted).toEqual([{ blocked: new Map() }]);
      const found = await store().find("alice", requestId);
      expect(results.filter((result) => result.duplicate !== undefined)).toEqual(Array(9).fill({ duplicate: found }));
    });

    it("knows a request_id by its principal", async () => {
      const requestId = uuid();
      expect(await accept(record({ requestId }))).toEqual({ blocked: new Map() });
      expect(await accept(record({ requestId, principal: "bob" }))).toEqual({ blocked: new Map() });
    });

    it("says that a request_id was used even when the target is blocked by that very operation", async () => {
      const one = record();
      await accept(one);
      expect(await accept(record({ requestId: one.requestId, target: one.target }))).toEqual({
        duplicate: { record: one },
      });
      expect(await accept({ ...record({ target: one.target }), name: one.name, requestId: one.requestId })).toEqual({
        duplicate: { record: one },
      });
    });

    it("lets one of many have a target", async () => {
      const rivals = Array.from({ length: 10 }, () => record({ target: "t" }));
      const results = await Promise.all(rivals.map((rival) => accept(rival)));
      const [blocker] = await store().list({ where: [], limit: 1 });
      if (blocker === undefined) throw new Error("nobody has it");
      expect(results.map((result) => result.duplicate === undefined && [...result.blocked])).toEqual(
        rivals.map(({ name }) => (name === blocker.name ? [] : [[name, blocker]])),
      );
    });

    it("has several operations on a target that do not block it", async () => {
      await accept(record({ target: "t", blocks: false }));
      expect(await accept(record({ target: "t", blocks: false }), record({ target: "t" }))).toEqual({
        blocked: new Map(),
      });
    });

    it("stores all or nothing", async () => {
      const blocker = record({ target: "b" });
      await accept(blocker);
      const parent = record({ blocks: false, target: "whole" });
      const parts = ["a", "b", "c"].map((target) => record({ target, requestId: undefined, parent: parent.name }));
      expect(await accept(parent, ...parts)).toEqual({ blocked: new Map([[parts[1]?.name, blocker]]) });
      expect(await store().list({ where: [], limit: 10 })).toEqual([blocker]);
      expect(await store().find("alice", parent.requestId ?? "")).toBeUndefined();
      expect(await store().audit(parent.name)).toEqual([]);
    });

    const instead: Instead = (blocked, blocking) => ({
      ...blocked,
      state: "FAILED",
      blocks: false,
      endTime: 7,
      progress: blocking.name,
    });

    it("stores something else instead of what is blocked when that is asked for", async () => {
      const blocker = record({ target: "b" });
      await accept(blocker);
      const parent = record({ blocks: false, target: "whole" });
      const parts = ["c", "b", "a"].map((target) => record({ target, requestId: undefined, parent: parent.name }));
      const event: EventOf = ({ state }) => ({ event: state.toLowerCase() });
      const result = await store().insert([parent, ...parts], event, instead);
      expect(result).toEqual({ blocked: new Map([[parts[1]?.name, blocker]]) });
      const refused = { ...parts[1], state: "FAILED", blocks: false, endTime: 7, progress: blocker.name };
      expect(await store().children(parent.name)).toEqual([parts[0], refused, parts[2]]);
      const trail = async (name = "") => (await store().audit(name)).map(({ event, from, to }) => [event, from, to]);
      expect(await trail(parts[1]?.name)).toEqual([["failed", undefined, "FAILED"]]);
      expect(await trail(parts[2]?.name)).toEqual([["accepted", undefined, "ACCEPTED"]]);
    });

    it("stores nothing when everything is blocked, whatever should be stored instead", async () => {
      const blockers = [record({ target: "a" }), record({ target: "b" })];
      await accept(...blockers);
      const parent = record({ blocks: false, target: "whole" });
      const parts = ["a", "b"].map((target) => record({ target, requestId: undefined, parent: parent.name }));
      const result = await store().insert([parent, ...parts], { event: "accepted" }, instead);
      expect(result).toEqual({ blocked: new Map(parts.map(({ name }, at) => [name, blockers[at]])) });
      expect(await store().get(parent.name)).toBeUndefined();
      expect(await store().children(parent.name)).toEqual([]);
    });

    it("stores nothing of a partial insert whose request_id was used", async () => {
      const used = record();
      await accept(used);
      const rest = record({ requestId: undefined, target: "rest" });
      const result = await store().insert(
        [record({ requestId: used.requestId }), rest],
        { event: "accepted" },
        instead,
      );
      expect(result).toEqual({ duplicate: { record: used } });
      expect(await store().get(rest.name)).toBeUndefined();
    });

    it("stores nothing at all of nothing", async () => {
      expect(await accept()).toEqual({ blocked: new Map() });
    });

    it("audits who caused it", async () => {
      const one = record();
      await accept(one);
      expect(await store().audit(one.name)).toMatchObject([{ actor: "alice", event: "accepted", from: undefined }]);
    });
  });
}

function removeTests(
  store: () => Store,
  finished: (part?: Partial<OperationRecord>) => Promise<OperationRecord>,
): void {
  const failure = new Failure("RESTART_NOT_OBSERVED", "nothing was seen", { outcome: "not_applied" });

  describe("remove()", () => {
    it("leaves a tombstone, by which the request_id never runs again", async () => {
      const ended = await finished({ state: "NOT_OBSERVED", error: formatFailure(failure), response: "{}" });
      const { requestId = "" } = ended;
      expect(await store().remove(ended)).toBe(true);
      expect(await store().get(ended.name)).toBeUndefined();
      expect(await store().audit(ended.name)).toEqual([]);
      const tombstone = {
        name: ended.name,
        principal: ended.principal,
        requestId,
        requestHash: ended.requestHash,
        method: ended.method,
        target: ended.target,
        state: "NOT_OBSERVED",
        response: "{}",
        error: ended.error,
        code: Code.Aborted,
        endTime: 2_000,
      };
      expect(await store().find("alice", requestId)).toEqual({ tombstone });
      const again = record({ requestId, name: ended.name });
      expect(await store().insert([again], { event: "accepted" })).toEqual({ duplicate: { tombstone } });
      expect(await store().insert([again], { event: "accepted" }, (one) => one)).toEqual({ duplicate: { tombstone } });
      expect(await store().get(ended.name)).toBeUndefined();
      expect(await store().open()).toEqual([]);
    });

    it("leaves nothing of an operation without a request_id", async () => {
      const ended = await finished({ requestId: undefined });
      expect(await store().remove(ended)).toBe(true);
      expect(await store().remove(ended)).toBe(false);
    });

    it("keeps what has another version, has not ended, or still blocks its target", async () => {
      const ended = await finished();
      const unresolved = await finished({ state: "UNRESOLVED", blocks: true, target: "locked" });
      const open = record();
      await store().insert([open], { event: "accepted" });
      expect(await store().remove({ ...ended, version: 2 })).toBe(false);
      expect(await store().remove(unresolved)).toBe(false);
      expect(await store().remove(open)).toBe(false);
      expect(await Promise.all([ended, unresolved, open].map(({ name }) => store().get(name)))).toEqual([
        ended,
        unresolved,
        open,
      ]);
    });
  });

  describe("purge()", () => {
    it("removes what ended before a time, the oldest first, at most so many", async () => {
      const [third, first, second] = [
        await finished({ endTime: 30 }),
        await finished({ endTime: 10 }),
        await finished({ endTime: 20 }),
      ];
      expect(await store().purge(30, 1)).toBe(1);
      expect(await store().get(first?.name ?? "")).toBeUndefined();
      expect(await store().get(second?.name ?? "")).toEqual(second);
      expect(await store().purge(30, 10)).toBe(1);
      expect(await store().purge(30, 10)).toBe(0);
      expect(await store().get(third?.name ?? "")).toEqual(third);
      expect((await store().find("alice", first?.requestId ?? ""))?.tombstone?.code).toBe(0);
    });

    it("removes parts with their parent alone, and only when all of them may go", async () => {
      const parent = await finished({ endTime: 10 });
      await finished({ endTime: 5, parent: parent.name, requestId: undefined });
      const locked = await finished({ endTime: 5, parent: parent.name, state: "UNRESOLVED", blocks: true });
      expect(await store().purge(100, 10)).toBe(0);
      expect(await store().children(parent.name)).toHaveLength(2);
      await store().change(locked, { blocks: false, state: "FAILED" }, { event: "resolved" });
      expect(await store().purge(100, 10)).toBe(3);
      expect(await store().children(parent.name)).toEqual([]);
      expect((await store().find("alice", locked.requestId ?? ""))?.tombstone?.state).toBe("FAILED");
    });
  });
}

function listTests(store: () => Store): void {
  describe("list()", () => {
    /** Targets "B", "a", "ä", "é": ordered by bytes, not by a language. */
    const seed = async () => {
      const rows: Partial<OperationRecord>[] = [
        { target: "B", createTime: 10, principal: "alice", state: "ACCEPTED" },
        { target: "a", createTime: 20, principal: "bob", state: "SENT", parent: "operations/p" },
        { target: "ä", createTime: 20, principal: "bob", state: "SUCCEEDED" },
        { target: "a", createTime: 30, principal: "carol", state: "UNRESOLVED" },
      ];
      const all = rows.map((row, at) => record({ ...row, name: `operations/${at}`, blocks: false }));
      await store().insert(all, { event: "accepted" });
    };
    const names = async (where: readonly Comparison[], limit = 100) =>
      (await store().list({ where, limit })).map(({ name }) => name.slice("operations/".length)).join("");

    it("answers newest first", async () => {
      await seed();
      expect(await names([])).toBe("3210");
    });

    it("pages without losing or repeating any, those of one moment included", async () => {
      await seed();
      let after: { createTime: number; name: string } | undefined;
      const pages: string[] = [];
      for (let page = 0; page < 5; page++) {
        const [one] = await store().list({ where: [], limit: 1, ...(after && { after }) });
        pages.push(one?.name ?? "end");
        after = one;
      }
      expect(pages).toEqual(["operations/3", "operations/2", "operations/1", "operations/0", "end"]);
    });

    it.each<[expected: string, ...where: Comparison[]]>([
      ["31", { field: "target", operator: "=", value: "a" }],
      ["2", { field: "target", operator: ">", value: "a" }],
      ["0", { field: "target", operator: "<", value: "a" }],
      ["21", { field: "principal", operator: "=", value: "bob" }],
      ["321", { field: "principal", operator: ">", value: "alice" }],
      ["0", { field: "principal", operator: "<", value: "b" }],
      ["1", { field: "parent", operator: "=", value: "operations/p" }],
      ["", { field: "parent", operator: "<", value: "operations/p" }],
      ["3", { field: "state", operator: "=", value: "UNRESOLVED" }],
      ["32", { field: "state", operator: ">", value: "SENT" }],
      ["0", { field: "state", operator: "<", value: "SENT" }],
      ["21", { field: "createTime", operator: "=", value: 20 }],
      ["3", { field: "createTime", operator: ">", value: 20 }],
      ["0", { field: "createTime", operator: "<", value: 20 }],
      ["3", { field: "target", operator: "=", value: "a" }, { field: "createTime", operator: ">", value: 20 }],
      ["", { field: "state", operator: "=", value: "SENT" }, { field: "principal", operator: "=", value: "carol" }],
    ])("answers %s by a filter", async (expected, ...where) => {
      await seed();
      expect(await names(where)).toBe(expected);
    });
  });
}

const freezeOf = (part: Partial<SwitchedFreeze> = {}): SwitchedFreeze => ({
  name: "black-friday",
  targets: ["clusters/prod/**", "sites/größe/**"],
  until: Date.UTC(2100, 0, 1),
  message: "see CHG-1",
  reason: "größer als 💥",
  principal: "token:ann",
  createTime: 2 ** 43,
  ...part,
});

function freezeTests(opened: () => Opened): void {
  describe("freezes()", () => {
    const create = (epoch: number, freeze = freezeOf()) =>
      opened().store.changeFreezes(epoch, { kind: "create", freeze });

    it("answers what was created, until it is lifted, with an epoch that grows", async () => {
      const { store } = opened();
      expect(await store.freezes()).toEqual({ epoch: 0, switched: [] });
      expect(await create(0)).toBe(true);
      expect(await create(1, freezeOf({ name: "a", message: "" }))).toBe(true);
      expect(await store.freezes()).toEqual({ epoch: 2, switched: [freezeOf({ name: "a", message: "" }), freezeOf()] });
      expect(await create(2, freezeOf({ until: Date.UTC(2100, 0, 2) }))).toBe(true);
      expect(await store.changeFreezes(3, { kind: "lift", name: "a", principal: "token:ann", reason: "" })).toBe(true);
      expect(await store.freezes()).toEqual({ epoch: 4, switched: [freezeOf({ until: Date.UTC(2100, 0, 2) })] });
    });

    it("changes nothing for who has not seen the newest, and forgets what ran out long ago", async () => {
      const { store } = opened();
      await create(0, freezeOf({ name: "past", until: 1 }));
      expect(await create(0)).toBe(false);
      expect(await store.freezes()).toMatchObject({ epoch: 1, switched: [{ name: "past" }] });
      await create(1);
      expect((await store.freezes()).switched.map(({ name }) => name)).toEqual(["black-friday"]);
    });

    it("lets no permit by an older epoch be written", async () => {
      const { store } = opened();
      const [one, other] = [record(), record()];
      await store.insert([one], { event: "accepted" });
      await create(0);
      const permit = (epoch: number) => store.change(one, { state: "SENDING" }, { event: "permit" }, epoch);
      expect(await permit(0)).toBeUndefined();
      expect(await store.get(one.name)).toEqual(one);
      expect(await store.insert([other], { event: "accepted" }, undefined, 0)).toMatchObject({ stale: true });
      expect(await store.get(other.name)).toBeUndefined();
      expect(await permit(1)).toMatchObject({ state: "SENDING" });
      expect(await store.insert([other], { event: "accepted" }, undefined, 1)).toEqual({ blocked: new Map() });
      // Somebody who used the request_id, or is in the way, counts more than that freezes have changed.
      expect(await store.insert([other], { event: "accepted" }, undefined, 0)).toHaveProperty("duplicate");
      const blocked = record({ target: other.target });
      const inserted = await store.insert([blocked], { event: "accepted" }, undefined, 0);
      expect(inserted).toEqual({ blocked: new Map([[blocked.name, other]]) });
    });

    it("has every permit by the epoch before written before it resolves, whoever writes it", async () => {
      const { store, second } = opened();
      const other = (await second?.()) ?? store;
      const records = Array.from({ length: 60 }, (_, at) => record(at % 4 < 2 ? {} : { requestId: undefined }));
      // Some are accepted with their permit, and some have been accepted before.
      const before = records.filter((_, at) => at % 3 === 0);
      for (const one of before) await store.insert([one], { event: "accepted" });
      const permitted = new Set<string>();
      const permits = records.map(async (one, at) => {
        const by = at % 2 === 0 ? store : other;
        const done = before.includes(one)
          ? await by.change(one, { state: "SENDING" }, { event: "permit" }, 0)
          : (await by.insert([{ ...one, state: "SENDING" }], { event: "accepted" }, undefined, 0)).stale !== true;
        if (done) permitted.add(one.name);
      });
      const frozen = create(0).then(async () => {
        const found = await Promise.all(records.map(({ name }) => other.get(name)));
        return found.flatMap((one) => (one?.state === "SENDING" ? [one.name] : []));
      });
      await Promise.all(permits);
      // What was there when it had resolved is all that there ever is.
      expect(new Set(await frozen)).toEqual(permitted);
      if (other !== store) await other[Symbol.asyncDispose]();
    });
  });
}
