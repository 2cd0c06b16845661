import { describe, expect, it } from "vitest";
import { createSweeper } from "../../../src/operations/reconcile/sweep.ts";
import { createMemoryDatabase } from "../../support/memory-store.ts";
import { record } from "../records.ts";

describe("createSweeper()", () => {
  const now = (): Date => new Date(0);
  const options = { now: () => 0, leaseMs: 10, forgottenMs: 10, inFlight: () => false, isWhole: () => false };

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

  it("takes on at once what a process leaves that is no replica any more", async () => {
    const database = createMemoryDatabase({ now });
    const store = database.connect("b");
    const accepted = record({ owner: "a" });
    await store.insert([accepted], { event: "accepted" });
    await createSweeper({ ...options, store, monotonic: () => 0 }).sweep();
    expect(database.operations.get(accepted.name)?.state).toBe("CANCELLED");
  });

  it("names what nobody has looked at for long, once each time", async () => {
    const database = createMemoryDatabase({ now });
    const store = database.connect("b");
    const sent = record({ state: "SENT", owner: "b" });
    await store.insert([sent], { event: "accepted" });
    let time = 0;
    const sweeper = createSweeper({ ...options, store, monotonic: () => time });
    expect(await sweeper.sweep()).toEqual([]);
    time = 9;
    expect(await sweeper.sweep()).toEqual([]);
    time = 10;
    expect(await sweeper.sweep()).toEqual([sent.name]);
    expect(await sweeper.sweep()).toEqual([]);
    time = 19;
    await store.change(sent, { progress: "1 of 2" }, undefined);
    expect(await sweeper.sweep()).toEqual([]);
    time = 28;
    expect(await sweeper.sweep()).toEqual([]);
    time = 29;
    expect(await sweeper.sweep()).toEqual([sent.name]);
  });

  it("takes many on together, and has them looked at one after the other", async () => {
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
    await createSweeper({ ...options, store: counted, monotonic: () => 0 }).sweep();
    expect(sizes).toEqual([32, 8]);
    expect(many.map(({ name }) => database.operations.get(name)?.wakeTime)).toEqual(many.map((_, at) => at * 10));
    await store[Symbol.asyncDispose]();
  });

  it("leaves what has parts to them, and names it", async () => {
    const database = createMemoryDatabase({ now });
    const store = database.connect("b");
    const whole = record({ owner: "a", state: "SENDING", blocks: false });
    await store.insert([whole], { event: "accepted" });
    const sweeper = createSweeper({ ...options, isWhole: () => true, store, monotonic: () => 0 });
    expect(await sweeper.sweep()).toEqual([whole.name]);
    expect(database.operations.get(whole.name)).toEqual(whole);
  });
});
