import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { whileHeard } from "../../src/commands/while-heard.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const never = new AbortController().signal;

/** Streams that say these things, each `everyMs` after the one before, and then nothing until their signal fires. */
function streams(everyMs: number, ...said: string[][]) {
  const opened: AbortSignal[] = [];
  return {
    opened,
    async *open(signal: AbortSignal) {
      const messages = said[opened.length] ?? [];
      opened.push(signal);
      for (const message of messages) {
        await new Promise((resolve) => setTimeout(resolve, everyMs));
        yield message;
      }
      if (opened.length === said.length) return;
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
    },
  };
}

async function readAll(stream: AsyncIterable<string>, into: string[]): Promise<void> {
  for await (const one of stream) into.push(one);
}

describe("whileHeard()", () => {
  it("opens a stream anew that is silent for a minute, and ends with it", async () => {
    const { opened, open } = streams(50_000, ["a", "b"], ["b", "c"]);
    const read: string[] = [];
    const reading = readAll(whileHeard(open, never), read);
    await vi.advanceTimersByTimeAsync(159_999);
    expect([read, opened.length]).toEqual([["a", "b"], 1]); // a minute each, from the last word on
    await vi.advanceTimersByTimeAsync(100_001);
    await reading;
    expect([read, opened.length]).toEqual([["a", "b", "b", "c"], 2]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("passes on what fails, and that it shall end", async () => {
    const broken = async function* () {
      yield "a";
      throw new Error("it broke");
    };
    await expect(readAll(whileHeard(broken, never), [])).rejects.toThrow("it broke");
    const left = new AbortController();
    const { opened, open } = streams(1, ["a"], []);
    const ended = expect(readAll(whileHeard(open, left.signal), [])).rejects.toThrow("enough");
    left.abort(new Error("enough"));
    await vi.advanceTimersByTimeAsync(10);
    await ended;
    expect([opened.length, vi.getTimerCount()]).toEqual([1, 0]);
  });
});
