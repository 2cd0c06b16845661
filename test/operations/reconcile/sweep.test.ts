import { describe, expect, it } from "vitest";
import { createSweeper } from "../../../src/operations/reconcile/sweep.ts";
import { createMemoryDatabase } from "../../support/memory-store.ts";
import { record } from "../records.ts";

describe("createSweeper()", () => {
  const now = (): Date => new Date(0);
  const options = { now: () => 0, leaseMs: 10, inFlight: () => false, isDisowned: () => false, isParent: () => false };

  it("does not take a replica for dead that accepts its first call during the sweep", async () => {
    const database = createMemoryDatabase({ now });
    const [a, b] = [database.connect("a"), database.connect("b")];
    const accepted = record({ owner: "a" });
    const open: typeof b.open = async () => {
      await a.beat();
      await a.insert([accepted], { event: "accepted" });
      return b.open();
    };
    await createSweeper({ ...options, store: { ...b, open }, monotonic: () => 0 }).sweep();
    expect(database.operations.get(accepted.name)?.state).toBe("ACCEPTED");
  });

  it("takes on what a replica leaves that has not beaten for its lease", async () => {
    const database = createMemoryDatabase({ now });
    const [a, b] = [database.connect("a"), database.connect("b")];
    const [accepted, sending] = [record({ owner: "a" }), record({ owner: "a", state: "SENDING" })];
    await a.beat();
    await a.insert([accepted, sending], { event: "accepted" });
    let time = 0;
    const sweeper = createSweeper({ ...options, store: b, monotonic: () => time });
    const states = () => [accepted, sending].map(({ name }) => database.operations.get(name)?.state);
    await sweeper.sweep();
    time = 10;
    await sweeper.sweep();
    expect(states()).toEqual(["ACCEPTED", "SENDING"]);
    await a.beat();
    time = 11;
    await sweeper.sweep();
    time = 21;
    await sweeper.sweep();
    expect(states()).toEqual(["ACCEPTED", "SENDING"]);
    time = 22;
    await sweeper.sweep();
    expect(states()).toEqual(["CANCELLED", "UNKNOWN"]);
  });

  it("cancels what this process has stored with its permit, and surely did not send", async () => {
    const database = createMemoryDatabase({ now });
    const store = database.connect("b");
    const ones = ["b", "b", "a"].map((owner) => record({ owner, state: "SENDING" }));
    const unknown = record({ owner: "b", state: "UNKNOWN" });
    await store.insert([...ones, unknown], { event: "accepted" });
    const isDisowned = (name: string) => name !== ones[1]?.name;
    await createSweeper({ ...options, isDisowned, store, monotonic: () => 0 }).sweep();
    expect([...ones, unknown].map(({ name }) => database.operations.get(name)?.state)).toEqual([
      "CANCELLED",
      "UNKNOWN",
      "UNKNOWN",
      "UNKNOWN",
    ]);
  });

  it("takes on at once what a process leaves that is no replica any more", async () => {
    const database = createMemoryDatabase({ now });
    const store = database.connect("b");
    const accepted = record({ owner: "a" });
    await store.insert([accepted], { event: "accepted" });
    await createSweeper({ ...options, store, monotonic: () => 0 }).sweep();
    expect(database.operations.get(accepted.name)?.state).toBe("CANCELLED");
  });

  it("takes over the looks of a replica that has not beaten for its lease, once for all who could", async () => {
    const database = createMemoryDatabase({ now });
    const [a, b, c] = ["a", "b", "c"].map((replica) => database.connect(replica));
    if (a === undefined || b === undefined || c === undefined) throw new Error("no store");
    const sent = record({ state: "SENT", owner: "a", blocks: false });
    await Promise.all([a, b, c].map((store) => store.beat()));
    await a.insert([sent], { event: "accepted" });
    let time = 0;
    const sweepers = [b, c].map((store) => createSweeper({ ...options, store, monotonic: () => time }));
    const sweep = async () =>
      (await Promise.all(sweepers.map((one) => one.sweep()))).map(({ own }) => own.map(({ name }) => name));
    expect(await sweep()).toEqual([[], []]);
    time = 11;
    expect((await sweep()).flat()).toEqual([sent.name]);
    expect(["b", "c"]).toContain(database.operations.get(sent.name)?.owner);
    const { version } = database.operations.get(sent.name) ?? {};
    // It stays with that one, and nothing more is written; the first one, when it wakes, leaves it alone.
    expect((await sweep()).flat()).toEqual([sent.name]);
    expect((await createSweeper({ ...options, store: a, monotonic: () => time }).sweep()).own).toEqual([]);
    expect(database.operations.get(sent.name)?.version).toBe(version);
  });

  it("has whoever has the store alone look at everything, and writes nothing for that", async () => {
    const database = createMemoryDatabase({ now, exclusive: true });
    const store = database.connect("b");
    const sent = record({ state: "SENT", owner: "a", blocks: false });
    await store.insert([sent], { event: "accepted" });
    const { own } = await createSweeper({ ...options, store, monotonic: () => 0 }).sweep();
    expect(own.map(({ name }) => name)).toEqual([sent.name]);
    expect(database.operations.get(sent.name)).toEqual(sent);
  });

  it("takes many on together", async () => {
    const database = createMemoryDatabase({ now });
    const store = database.connect("b");
    const many = Array.from({ length: 40 }, (_, at) => record({ owner: "a", state: "SENDING", target: `t/${at}` }));
    await store.insert(many, { event: "accepted" });
    const sizes: number[] = [];
    const counted: typeof store = {
      ...store,
      changeAll: (steps) => {
        sizes.push(steps.length);
        return store.changeAll(steps);
      },
    };
    const { own } = await createSweeper({ ...options, store: counted, monotonic: () => 0 }).sweep();
    expect(sizes).toEqual([32, 8]);
    expect(own).toEqual(many.map((one) => ({ ...one, state: "UNKNOWN", owner: "b", version: 2, updateTime: 0 })));
  });

  it("leaves a parent to its children, and names it", async () => {
    const database = createMemoryDatabase({ now });
    const store = database.connect("b");
    const parent = record({ owner: "a", state: "SENDING", blocks: false });
    await store.insert([parent], { event: "accepted" });
    const sweeper = createSweeper({ ...options, isParent: () => true, store, monotonic: () => 0 });
    expect(await sweeper.sweep()).toEqual({ orphans: [parent.name], own: [] });
    expect(database.operations.get(parent.name)).toEqual(parent);
  });
});
