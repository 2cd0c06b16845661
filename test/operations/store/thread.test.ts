import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openSqliteThread } from "../../../src/operations/store/sqlite/thread.ts";
import { packError, unpackError } from "../../../src/operations/store/sqlite/thread-messages.ts";
import { type Store, StoreRefused, UncertainCommit } from "../../../src/operations/store/store.ts";
import { type Folder, temporaryFolder } from "../../support/folder.ts";
import { record } from "../records.ts";
import { storeSuite } from "./store-suite.ts";

const open = (path: string, options: { now?: () => Date; maxPages?: number; warn?: (message: string) => void } = {}) =>
  openSqliteThread({ path, replica: randomUUID(), now: () => new Date(), warn: () => {}, ...options });

storeSuite("SQLite in a thread", async () => {
  const folder = await temporaryFolder();
  const store = await open(join(folder.path, "restartd.db"));
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
});

let folder: Folder;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "restartd.db");
});
afterEach(() => {
  vi.useRealTimers();
  return folder[Symbol.asyncDispose]();
});

describe("openSqliteThread()", () => {
  it("refuses what the store refuses", async () => {
    await using _ = await open(path);
    await expect(open(path)).rejects.toThrow(StoreRefused);
    await expect(open(join(folder.path, "none", "restartd.db"))).rejects.toThrow("does not exist");
  });

  it("writes what was asked for first first, and shows it to who asks next, though nobody has waited for it", async () => {
    await using store = await open(path);
    const one = record();
    const accepted = store.insert([one], { event: "accepted" });
    const sent = store.change(one, { state: "SENT", blocks: false }, { event: "sent" });
    const seen = store.get(one.name);
    const next = store.insert([record({ target: one.target })], { event: "accepted" });
    expect(await seen).toMatchObject({ state: "SENT", version: 2 });
    expect(await next).toEqual({ blocked: new Map() });
    expect(await accepted).toEqual({ blocked: new Map() });
    expect(await sent).toMatchObject({ state: "SENT" });
  });

  it("tells its thread of what nobody waits for together with what comes next, in the order in which they came", async () => {
    await using store = await open(path);
    const sent = record({ state: "SENT", blocks: false });
    await store.insert([sent], { event: "accepted" });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    using messages = vi.spyOn(Worker.prototype, "postMessage");
    const ended = store.change(sent, { state: "SUCCEEDED" }, { event: "ended" });
    await nextTurn();
    expect(messages).not.toHaveBeenCalled();
    await store.insert([record()], { event: "accepted" });
    expect(await ended).toMatchObject({ state: "SUCCEEDED" });
    const requests = [expect.objectContaining({ method: "changeAll" }), expect.objectContaining({ method: "insert" })];
    expect(messages.mock.calls).toEqual([[expect.objectContaining({ requests })]]);
  });

  it("lets what nobody waits for wait for 5 ms, and nothing else", async () => {
    await using store = await open(path);
    const [sent, sending] = [record({ state: "SENT", blocks: false }), record({ state: "SENDING" })];
    await store.insert([sent, sending], { event: "accepted" });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    using messages = vi.spyOn(Worker.prototype, "postMessage");
    const ended = store.change(sent, { state: "SUCCEEDED" }, { event: "ended" });
    vi.advanceTimersByTime(4);
    await nextTurn();
    expect(messages).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(messages).toHaveBeenCalledTimes(1);
    expect(await ended).toMatchObject({ state: "SUCCEEDED" });
    expect(await store.change(sending, { state: "SENT", blocks: false }, { event: "sent" })).toMatchObject({
      state: "SENT",
    });
  });

  it("dates what it writes by the clock that it was given", async () => {
    await using store = await open(path, { now: () => new Date(5_000) });
    const one = record();
    await store.insert([one], { event: "accepted" });
    expect((await store.change(one, { progress: "half" }, { event: "x" }))?.updateTime).toBe(5_000);
    expect((await store.audit(one.name)).map(({ time }) => time)).toEqual([5_000, 5_000]);
  });

  it("does not hold up this thread while it waits for the disk", async () => {
    await using store = await open(path);
    const turnsOfOneRound = async (): Promise<number> => {
      let turns = 0;
      let over = false;
      const turn = (): void => {
        turns++;
        if (!over) setImmediate(turn);
      };
      setImmediate(turn);
      await Promise.all(Array.from({ length: 50 }, () => store.insert([record()], { event: "accepted" })));
      over = true;
      return turns;
    };
    // Where this thread itself gets no turn on a busy machine, all may be written when it does.
    let most = 0;
    for (let round = 0; round < 100 && most <= 1; round++) most = Math.max(most, await turnsOfOneRound());
    expect(most).toBeGreaterThan(1);
  });

  it("tells of a full disk in SQLite's words, and works on", async () => {
    await using store = await open(path, { maxPages: 40 });
    const failed: unknown[] = [];
    while (failed.length === 0) {
      const one = record({ evidence: JSON.stringify({ filler: "x".repeat(2_000) }) });
      await store.insert([one], { event: "accepted" }).catch((error: unknown) => failed.push(error));
    }
    expect(String(failed[0])).toBe("Error: database or disk is full");
    expect((await store.open()).length).toBeGreaterThan(5);
  });

  it("writes nothing once its file is gone", async () => {
    await using store = await open(path);
    await rm(path);
    await expect(store.insert([record()], { event: "accepted" })).rejects.toThrow("cannot be found any longer");
  });

  it("keeps what it has acknowledged, and rejects what comes after it was closed", async () => {
    const one = record();
    const store = await open(path);
    const accepted = store.insert([one], { event: "accepted" });
    await Promise.all([store[Symbol.asyncDispose](), store[Symbol.asyncDispose]()]);
    await accepted;
    await expect(store.get(one.name)).rejects.toThrow("The store is closed.");
    await using again: Store = await open(path);
    expect(await again.get(one.name)).toEqual(one);
  });
});

describe("packError()", () => {
  it("keeps the kind of an error of the store's, its cause, and what SQLite says", () => {
    const cause = Object.assign(new Error("disk I/O error"), { code: "ERR_SQLITE_ERROR", errcode: 10, errstr: "x" });
    const error = unpackError(structuredClone(packError(new UncertainCommit("nobody knows", { cause }))));
    expect(error).toBeInstanceOf(UncertainCommit);
    expect(error).toMatchObject({ name: "UncertainCommit", message: "nobody knows", cause: { errcode: 10 } });
    expect(unpackError(packError("text"))).toMatchObject({ name: "Error", message: "text" });
  });
});
