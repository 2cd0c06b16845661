import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createSchedule } from "../../../src/operations/reconcile/schedule.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("createSchedule()", () => {
  it("looks at each when its last set time has come", async () => {
    const looked: string[] = [];
    const schedule = createSchedule(async (name) => void looked.push(name));
    schedule.set("a", 100);
    schedule.set("b", 50);
    schedule.set("a", 200);
    schedule.set("c", 10);
    schedule.delete("c");
    await vi.advanceTimersByTimeAsync(199);
    expect(looked).toEqual(["b"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(looked).toEqual(["b", "a"]);
    await schedule.stop();
  });

  it("has at most 32 looks at a time, one for each, and does the others after them", async () => {
    let [running, most] = [0, 0];
    const looks = new Map<string, number>();
    const schedule = createSchedule(async (name) => {
      looks.set(name, (looks.get(name) ?? 0) + 1);
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 100));
      running--;
    });
    for (let index = 0; index < 100; index++) schedule.set(`${index}`, 0);
    await vi.advanceTimersByTimeAsync(1);
    schedule.set("0", 0);
    await vi.advanceTimersByTimeAsync(50);
    expect(looks.get("0")).toBe(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([most, looks.size, looks.get("0")]).toEqual([32, 100, 2]);
    await schedule.stop();
  });

  it("stops with what runs, and begins nothing more", async () => {
    const looked: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const schedule = createSchedule(async (name) => {
      looked.push(name);
      await promise;
    });
    schedule.set("a", 0);
    schedule.set("b", 100);
    await vi.advanceTimersByTimeAsync(1);
    const stopped = schedule.stop();
    resolve();
    await stopped;
    schedule.set("c", 0);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(looked).toEqual(["a"]);
  });
});
