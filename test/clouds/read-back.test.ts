import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { abandonedUnsent } from "../../src/clouds/abandoned.ts";
import { NoAnswer } from "../../src/clouds/http.ts";
import { readBack } from "../../src/clouds/read-back.ts";
import { Failure } from "../../src/core/errors.ts";

describe("readBack()", () => {
  const unknown = new Failure("OUTCOME_UNKNOWN", "it may have", {
    outcome: "unknown",
    deadlineExceeded: true,
    cause: 1,
  });

  it("looks, when the outcome is open", async () => {
    expect(await readBack(unknown, async (signal) => signal.aborted)).toBe(false);
  });

  it.each([new Failure("THROTTLED", "too many"), new TypeError("x")])("does not look after %o", async (error) => {
    const look = () => Promise.reject(new Error("looked"));
    await expect(readBack(error, look)).rejects.toBe(error);
  });

  it("keeps the failure, with both causes, when the look fails", async () => {
    const second = new Error("away");
    const failure = await readBack(unknown, () => Promise.reject(second)).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      outcome: "unknown",
      code: Code.DeadlineExceeded,
      message: "it may have",
      cause: { errors: [1, second] },
    });
  });
});

describe("abandoned()", () => {
  const late = AbortSignal.abort(new ConnectError("late", Code.DeadlineExceeded));
  const left = AbortSignal.abort("gone");
  const ending = new NoAnswer(true, "aborted");

  it.each([
    ["a read that its caller left", ending, left, false, "CANCELLED"],
    ["a read that came too late", ending, late, false, "DEADLINE_EXCEEDED"],
    ["a request that did not leave", new NoAnswer(false, "aborted"), left, true, "CANCELLED"],
    ["a request that left", ending, left, true, undefined],
    ["a failure of its own", new Failure("THROTTLED", "-"), left, true, undefined],
    ["a read whose caller waits", ending, new AbortController().signal, false, undefined],
  ] as const)("%s", (_what, error, signal, changes, reason) => {
    expect(abandonedUnsent(error, signal, changes)?.reason).toBe(reason);
  });
});
