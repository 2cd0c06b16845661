import { describe, expect, it } from "vitest";
import { opened } from "../../src/core/opened.ts";

async function* two(log: string[]): AsyncGenerator<number> {
  try {
    yield 1;
    yield 2;
  } finally {
    log.push("left");
  }
}

describe("opened()", () => {
  it("opens what it is when somebody reads it, once", async () => {
    const log: string[] = [];
    const stream = opened(async () => {
      log.push("opened");
      return two(log);
    });
    expect(log).toEqual([]);
    const read: number[] = [];
    for await (const one of stream) read.push(one);
    expect(read).toEqual([1, 2]);
    expect(log).toEqual(["opened", "left"]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it("passes on that it cannot be opened, and is over then", async () => {
    const stream = opened<number>(() => Promise.reject(new Error("not there")));
    await expect(stream.next()).rejects.toThrow("not there");
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it("waits for what is being opened before it leaves it", async () => {
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    const stream = opened(async () => {
      await gate.promise;
      log.push("opened");
      return two(log);
    });
    const first = stream.next();
    const gone = stream.return?.().then(() => log.push("gone"));
    gate.resolve();
    await Promise.all([first, gone]);
    expect(log).toEqual(["opened", "left", "gone"]);
  });

  it("leaves what it has opened, and opens nothing once it is left", async () => {
    const log: string[] = [];
    const read = opened(async () => two(log));
    await read.next();
    await read.return?.();
    expect(log).toEqual(["left"]);
    const unread = opened<number>(() => Promise.reject(new Error("opened")));
    await unread.return?.();
    expect(await unread.next()).toEqual({ done: true, value: undefined });
  });
});
