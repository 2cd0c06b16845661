import { describe, expect, test } from "vitest";
import { createTurns } from "../../src/core/turns.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("createTurns()", () => {
  test("does what is little at once", () => {
    const inTurn = createTurns(3);
    const done: number[] = [];
    for (let index = 0; index < 3; index++) inTurn(() => done.push(index));
    expect(done).toEqual([0, 1, 2]);
  });

  test("does what is much in order, so much in a turn, and lets others have theirs in between", async () => {
    const inTurn = createTurns(3);
    const done: number[] = [];
    for (let index = 0; index < 8; index++) inTurn(() => done.push(index));
    expect(done).toEqual([0, 1, 2]);
    await turn();
    expect(done).toEqual([0, 1, 2, 3, 4, 5]);
    inTurn(() => done.push(8));
    expect(done).toEqual([0, 1, 2, 3, 4, 5]);
    await turn();
    expect(done).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("is as before once everything is done", async () => {
    const inTurn = createTurns(2);
    const done: number[] = [];
    for (let index = 0; index < 5; index++) inTurn(() => done.push(index));
    for (let index = 0; index < 5; index++) await turn();
    inTurn(() => done.push(5));
    expect(done).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
