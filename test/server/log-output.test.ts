import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createLogOutput, type LogOutput } from "../../src/server/log-output.ts";

/** A disk, terminal or pipe that does with each write what it is told. */
let pending: { text: string; done: (error: Error | null, written: number) => void }[];
let written: string;
let output: LogOutput;
beforeEach(() => {
  vi.useFakeTimers();
  pending = [];
  written = "";
  output = createLogOutput(
    (bytes, done) => pending.push({ text: bytes.toString(), done }),
    () => new Date(Date.UTC(2026, 0, 31, 12)),
    100,
  );
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets the write under way succeed, for so many bytes of it. */
function succeed(bytes?: number): void {
  const { text, done } = pending.shift() ?? { text: "", done: () => {} };
  const part = Buffer.from(text).subarray(0, bytes);
  written += part.toString();
  done(null, part.length);
}

const fail = (): void => pending.shift()?.done(new Error("ENOSPC"), 0);

const DROPPED = (lines: number) =>
  `{"level":"warn","time":"2026-01-31T12:00:00.000Z","lines":${lines},"msg":"the log could not be written: lines were dropped"}\n`;

it("writes one piece at a time, and what came meanwhile together", () => {
  for (const line of ["a\n", "b\n", "c\n"]) output.write(line);
  expect(pending.map(({ text }) => text)).toEqual(["a\n"]);
  succeed();
  expect(pending.map(({ text }) => text)).toEqual(["b\nc\n"]);
  succeed();
  output.write("d\n");
  succeed();
  expect(written).toBe("a\nb\nc\nd\n");
});

it("goes on where a write stopped", () => {
  output.write("äöü\n");
  succeed(2);
  succeed(2);
  succeed();
  expect(written).toBe("äöü\n");
});

it("keeps at most so much, and says how many lines it dropped as soon as it can write", () => {
  const line = `${"x".repeat(39)}\n`;
  for (let count = 0; count < 1000; count++) output.write(line);
  succeed();
  expect(pending.map(({ text }) => text)).toEqual([line + DROPPED(998)]);
  output.write(line);
  succeed();
  expect(written).toBe(line + line + DROPPED(998));
});

it("tries again what failed, no sooner than after half a second, and loses nothing of it", async () => {
  output.write("a\n");
  for (let tries = 0; tries < 10; tries++) {
    fail();
    output.write("b\n");
    expect(pending).toEqual([]);
    await vi.advanceTimersByTimeAsync(500);
  }
  succeed();
  succeed();
  expect(written).toBe(`a\n${"b\n".repeat(10)}`);
});

it("ends when all is written", async () => {
  expect(await output.end(1000)).toBe(true);
  output.write("a\n");
  output.write("b\n");
  const ended = output.end(1000);
  succeed();
  succeed();
  expect(await ended).toBe(true);
});

it("ends when nobody reads, after the time that it was given", async () => {
  output.write("a\n");
  const ended = output.end(1000);
  await vi.advanceTimersByTimeAsync(1000);
  expect(await ended).toBe(false);
});

it("ends at the first failure", async () => {
  output.write("a\n");
  const ended = output.end(1000);
  fail();
  expect(await ended).toBe(false);
  expect(await output.end(1000)).toBe(false);
});
