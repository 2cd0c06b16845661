import { describe, expect, it } from "vitest";
import { createShared } from "../../../../src/targets/kubernetes/cluster/shared.ts";

describe("createShared()", () => {
  const never = new AbortController().signal;
  const scripted = () => {
    const begun: PromiseWithResolvers<number>[] = [];
    const work = () => {
      const one = Promise.withResolvers<number>();
      begun.push(one);
      return one.promise;
    };
    return { begun, work };
  };

  it("shares one more work among all who ask while one is under way", async () => {
    const { begun, work } = scripted();
    const shared = createShared<number>();
    const first = shared("a", work, never);
    const others = Array.from({ length: 1000 }, () => shared("a", work, never));
    begun[0]?.resolve(1);
    expect(await first).toBe(1);
    await expect.poll(() => begun.length).toBe(2);
    begun[1]?.resolve(2);
    expect(new Set(await Promise.all(others))).toEqual(new Set([2]));
    expect(begun).toHaveLength(2);
  });

  it("begins nothing for whoever has gone, and lets them go meanwhile", async () => {
    const { begun, work } = scripted();
    const shared = createShared<number>();
    await expect(shared("a", work, AbortSignal.abort("gone"))).rejects.toBe("gone");
    expect(begun).toHaveLength(0);
    const leaving = new AbortController();
    const left = shared("a", work, leaving.signal);
    leaving.abort("left");
    await expect(left).rejects.toBe("left");
    begun[0]?.reject(new Error("nobody waits for this"));
  });
});
