import { describe, expect, test } from "vitest";
import { onAbort } from "../../src/core/on-abort.ts";

describe("onAbort()", () => {
  test("calls those that still listen, once", () => {
    const controller = new AbortController();
    const called: string[] = [];
    onAbort(controller.signal, () => called.push("a"));
    const leave = onAbort(controller.signal, () => called.push("b"));
    onAbort(controller.signal, () => called.push("c"));
    leave();
    controller.abort();
    controller.abort();
    expect(called).toEqual(["a", "c"]);
  });

  test("does not call who was taken away while it fires", () => {
    const controller = new AbortController();
    const called: string[] = [];
    onAbort(controller.signal, () => {
      called.push("first");
      leave();
    });
    const leave = onAbort(controller.signal, () => called.push("gone"));
    controller.abort();
    expect(called).toEqual(["first"]);
  });

  test("calls nobody once it has fired", () => {
    const controller = new AbortController();
    controller.abort();
    const called: string[] = [];
    onAbort(controller.signal, () => called.push("late"));
    controller.abort();
    expect(called).toEqual([]);
  });

  test("costs as much for the last of many as for the first, which is not so of a signal itself", () => {
    const COUNT = 20_000;
    const { signal } = new AbortController();
    const many = time(() => {
      for (let index = 0; index < COUNT; index++) onAbort(signal, () => {});
    });
    const { signal: itself } = new AbortController();
    const one = time(() => {
      for (let index = 0; index < COUNT / 4; index++) itself.addEventListener("abort", () => {});
    });
    // A quarter of them: four times as many take sixteen times as long.
    expect(one / many).toBeGreaterThan(1);
  });
});

function time(work: () => void): number {
  const begun = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(begun);
  return user + system;
}
