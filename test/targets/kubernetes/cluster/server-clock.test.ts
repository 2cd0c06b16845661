import { describe, expect, test } from "vitest";
import { createServerClock } from "../../../../src/targets/kubernetes/cluster/server-clock.ts";

const NOON = Date.parse("2026-05-04T12:00:00Z");

/** A clock of a server, with our own two, which are turned by hand. */
function turned(wall = NOON) {
  const ours = { monotonic: 1_000, wall };
  const warnings: string[] = [];
  const clock = createServerClock({
    cluster: "prod",
    monotonic: () => ours.monotonic,
    now: () => new Date(ours.wall),
    warn: (message) => warnings.push(message),
  });
  /** Time passes for both. */
  const pass = (ms: number) => {
    ours.monotonic += ms;
    ours.wall += ms;
  };
  /** An answer that says a Date after so many ms. */
  const answered = (date: string | undefined, ms = 0) => {
    const sent = clock.moment();
    pass(ms);
    clock.learn(date, sent);
  };
  return { ours, warnings, clock, pass, answered };
}

describe("createServerClock()", () => {
  test("shows our own time until it has learned the server's", () => {
    const { clock, answered } = turned();
    expect(clock.latest()).toBe(NOON);
    answered(undefined);
    answered("garbage");
    expect(clock.latest()).toBe(NOON);
  });

  test("is never before the server's: a Date is cut to seconds, and its answer was on its way", () => {
    const { clock, answered, pass } = turned();
    // It was noon and 999 ms when the server wrote it, at once, and the way back took 300 ms.
    answered("Mon, 04 May 2026 12:00:00 GMT", 300);
    expect(clock.latest()).toBe(NOON + 1_300);
    pass(5_000);
    expect(clock.latest()).toBe(NOON + 6_300);
  });

  test("does not follow our wall clock when that is set", () => {
    const { clock, answered, ours } = turned();
    answered("Mon, 04 May 2026 12:00:00 GMT");
    ours.wall += 3_600_000;
    expect(clock.latest()).toBe(NOON + 1_000);
  });

  test.each([
    ["behind", -120_000, "our clock is 120 s behind the API server's: one of the two machines needs its time set"],
    ["ahead", 90_000, "our clock is 89 s ahead of the API server's: one of the two machines needs its time set"],
  ])("tells once of a clock that is %s, and again after it was set", (_how, skew, sentence) => {
    const { answered, warnings, ours } = turned(NOON + skew);
    const date = "Mon, 04 May 2026 12:00:00 GMT";
    answered(date);
    answered(date);
    expect(warnings).toEqual([sentence]);
    ours.wall = NOON;
    answered(date);
    expect(warnings).toHaveLength(1);
    ours.wall = NOON + skew;
    answered(date);
    expect(warnings).toEqual([sentence, sentence]);
  });

  test("does not take a slow answer for a skew", () => {
    const { answered, warnings } = turned();
    answered("Mon, 04 May 2026 12:00:00 GMT", 60_000);
    answered("Mon, 04 May 2026 12:01:05 GMT");
    expect(warnings).toEqual([]);
  });
});
