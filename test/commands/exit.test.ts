import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { EXIT, exitOf } from "../../src/commands/exit.ts";

it.each([
  ["not_applied", EXIT.REFUSED],
  ["applied", EXIT.TIMED_OUT],
  ["unknown", EXIT.UNKNOWN],
] as const)("a deadline that passed while the outcome was %s exits with %i", (outcome, exit) => {
  expect(exitOf({ reason: "DEADLINE_EXCEEDED", outcome, code: Code.DeadlineExceeded })).toBe(exit);
});
