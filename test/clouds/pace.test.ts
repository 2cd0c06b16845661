import { describe, expect, it } from "vitest";
import { createPace } from "../../src/clouds/pace.ts";

const never = new AbortController().signal;

function make() {
  const clock = { ms: 0 };
  const pace = createPace(
    () => clock.ms,
    async (ms) => {
      clock.ms += ms;
    },
  );
  /** When (ms) so many turns come, one after the other. */
  const turns = async (count: number): Promise<number[]> => {
    const times: number[] = [];
    for (let at = 0; at < count; at++) {
      expect(await pace.turn(600_000, never)).toBeUndefined();
      times.push(clock.ms);
    }
    return times;
  };
  return { clock, pace, turns };
}

describe("a pace", () => {
  it("holds nobody up until something is refused", async () => {
    expect(await make().turns(100)).toEqual(Array.from({ length: 100 }, () => 0));
  });

  it("waits for as long as the vendor says, and then asks one after the other", async () => {
    const { pace, turns } = make();
    pace.throttled(60_000);
    pace.throttled(60_000); // was under way together, and counts once
    expect(await turns(3)).toEqual([60_000, 60_250, 60_500]);
  });

  it("is slower after each refusal, and comes closer again while nothing is refused", async () => {
    const { clock, pace, turns } = make();
    pace.throttled(1_000);
    await turns(1);
    pace.throttled(1_000);
    const [first = 0, second = 0] = await turns(2);
    expect(second - first).toBe(375);
    for (let count = 0; count < 400; count++) pace.taken();
    await turns(1);
    const at = clock.ms;
    expect(await turns(5)).toEqual([at, at, at, at, at]);
  });

  it("tells how far away a turn is that nobody wants to wait for", async () => {
    const { clock, pace } = make();
    pace.throttled(60_000);
    expect(await pace.turn(59_999, never)).toBe(60_000);
    expect(clock.ms).toBe(0);
  });

  it("ends the wait of whoever leaves", async () => {
    const { pace } = make();
    await expect(pace.turn(1, AbortSignal.abort(new Error("left")))).rejects.toMatchObject({ reason: "CANCELLED" });
  });
});
