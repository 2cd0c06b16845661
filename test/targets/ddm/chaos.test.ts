import { describe, expect, it } from "vitest";
import { seeded } from "../../chaos/random.ts";
import { newId, startServedDdm } from "./served.ts";

describe("RestartInstance under chaos", () => {
  it("restarts each instance at most once, and never says that it did what it did not", async () => {
    await using ddm = await startServedDdm({ restartMs: 300, timing: { settleMs: 600 } });
    const ids = Array.from({ length: 30 }, () => ddm.simulator.world.add({ id: newId() }).id);
    ddm.simulator.server.chaos({ random: seeded(7).next, rate: 0.7 });
    await Promise.allSettled(ids.map((instanceId) => ddm.client.restartInstance(ddm.request(instanceId))));
    ddm.simulator.server.chaos(undefined);
    const ends = await ddm.served.allEnded();
    const states = ends.map(({ target, state }) => {
      const id = target.split("/").at(-1) ?? "";
      return { state, restarts: ddm.simulator.world.restarts(id).length };
    });
    expect(states).toHaveLength(30);
    for (const { state, restarts } of states) {
      // Nothing shows that a restart did not happen: UNRESOLVED may be either, and leaves the verdict to an operator.
      expect(restarts, state).toBeLessThanOrEqual(1);
      if (state !== "UNRESOLVED") expect(restarts, state).toBe(state === "SUCCEEDED" ? 1 : 0);
    }
    expect(ddm.served.events().filter((event) => event === "outcome unknown: UNKNOWN").length).toBeGreaterThan(0);
    expect(ddm.writes()).toHaveLength(30);
  });
});
