import { setTimeout as delay } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { openCse } from "../../../src/targets/cse/index.ts";
import { createMemoryDatabase } from "../../support/memory-store.ts";
import { failureOf, serveTarget, settingsFor } from "../../support/served-target.ts";
import { newId, startServedCse } from "./served.ts";

describe("RetryEngine and time", () => {
  it("is followed to its end by the process that takes over", async () => {
    const database = createMemoryDatabase({ now: () => new Date() });
    const first = await startServedCse({ database });
    const { simulator } = first;
    const { id } = simulator.world.add({ id: newId() });
    simulator.world.hold();
    await first.client.retryEngine(first.request(id));
    await first.served[Symbol.asyncDispose]();
    simulator.world.release();
    const { account, url } = simulator.server;
    {
      await using second = await serveTarget((runtime) => openCse(settingsFor(account, url), runtime), {
        database,
        timing: { leaseMs: 100 },
      });
      expect(await second.until("SUCCEEDED", "FAILED")).toMatchObject({ state: "SUCCEEDED" });
    }
    expect(simulator.world.retries(id)).toBe(1);
    await simulator[Symbol.asyncDispose]();
  });

  it("says that the deadline passed before anything was sent, when a read takes too long", async () => {
    await using cse = await startServedCse({ deadlineMs: 100 });
    const { id } = cse.simulator.world.add({ id: newId() });
    cse.simulator.server.inject({ method: "GET", delayBefore: 5_000 });
    expect(await failureOf(cse.client.retryEngine(cse.request(id)))).toMatchObject({
      code: Code.DeadlineExceeded,
      reason: "DEADLINE_EXCEEDED",
      metadata: { outcome: "not_applied" },
    });
    expect(cse.writes()).toEqual([]);
  });

  it("says that the outcome is unknown when the deadline passes after the send, and finds out", async () => {
    await using cse = await startServedCse({ deadlineMs: 3_000 });
    const { id, latestJobId } = cse.simulator.world.add({ id: newId() });
    cse.simulator.server.inject({ method: "PUT", delayAfter: 5_000 });
    expect(await failureOf(cse.client.retryEngine(cse.request(id)))).toMatchObject({
      code: Code.DeadlineExceeded,
      reason: "OUTCOME_UNKNOWN",
      metadata: { outcome: "unknown" },
    });
    expect(await cse.served.until("SUCCEEDED", "FAILED")).toMatchObject({
      state: "SUCCEEDED",
      vendorJob: String(latestJobId),
    });
    expect(cse.writes()).toHaveLength(1);
  });

  it("is not taken for another retry that began and ended since it was checked", async () => {
    await using cse = await startServedCse({ timing: { settleMs: 300 } });
    const { simulator } = cse;
    const { id } = simulator.world.add({ id: newId() });
    simulator.world.script(id, { end: "Error" });
    // What the first call has read of the job is old when it comes.
    simulator.server.inject({ method: "GET", path: /\/jobs\//, delayAfter: 3_000 });
    const held = failureOf(cse.client.retryEngine(cse.request(id)));
    while (!simulator.server.requests.some(({ path, executed }) => path.includes("/jobs/") && executed)) await delay(1);
    await cse.client.retryEngine(cse.request(id));
    await cse.served.until("FAILED");
    simulator.server.inject({ method: "PUT", disconnect: "before-executing" });
    expect(await held).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    expect((await cse.served.allEnded()).map(({ state }) => state)).toEqual(["FAILED", "NOT_OBSERVED"]);
    expect(simulator.world.retries(id)).toBe(1);
  });
});
