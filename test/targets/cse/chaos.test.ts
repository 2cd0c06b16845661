import { describe, expect, it } from "vitest";
import { seeded } from "../../chaos/random.ts";
import { newId, startServedCse } from "./served.ts";

describe("RetryEngine under chaos", () => {
  it("retries each engine at most once, and says truly what became of it", async () => {
    await using cse = await startServedCse({ jobMs: 30, timing: { settleMs: 300 } });
    const ids = Array.from({ length: 30 }, () => cse.simulator.world.add({ id: newId() }).id);
    cse.simulator.server.chaos({ random: seeded(7).next, rate: 0.7 });
    await Promise.allSettled(ids.map((id) => cse.client.retryEngine(cse.request(id))));
    cse.simulator.server.chaos(undefined);
    const ends = await cse.served.allEnded();
    const states = ends.map(({ target, state }) => {
      const id = target.split("/").at(-1) ?? "";
      return { state, retries: cse.simulator.world.retries(id) };
    });
    expect(states).toHaveLength(30);
    for (const { state, retries } of states) {
      expect(retries).toBe(state === "SUCCEEDED" ? 1 : 0);
    }
    expect(cse.served.events().filter((event) => event === "outcome unknown: UNKNOWN").length).toBeGreaterThan(0);
    expect(cse.writes()).toHaveLength(30);
  });
});
