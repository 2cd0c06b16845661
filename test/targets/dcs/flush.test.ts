import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { CLUSTER, failureOf, idOf, nameOf, PROJECT, SINGLE, startDcs } from "./support.ts";

const ask = (...instanceIds: string[]) => ({ projectId: PROJECT, instanceIds });

describe("FlushInstances", () => {
  it("is refused without an acknowledgement, whatever the instance, and names every one", async () => {
    await using dcs = await startDcs();
    const failure = await failureOf(dcs.client.flushInstances(ask(CLUSTER, SINGLE)));
    expect(failure).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "DATA_LOSS_NOT_ACKNOWLEDGED",
      operation: "",
    });
    expect(failure.preconditions).toEqual([
      ["DATA_LOSS_NOT_ACKNOWLEDGED", nameOf(CLUSTER)],
      ["DATA_LOSS_NOT_ACKNOWLEDGED", nameOf(SINGLE)],
    ]);
    expect(dcs.simulator.requests.map(({ method }) => method)).toEqual(["GET", "GET"]);
    expect(dcs.database.operations.size).toBe(0);
  });

  it("clears the data once, and is followed to its end", async () => {
    await using dcs = await startDcs();
    const { results } = await dcs.client.flushInstances({ ...ask(CLUSTER), acknowledgeDataLoss: true });
    expect(results).toMatchObject([{ instanceId: CLUSTER, result: "success" }]);
    const part = await dcs.until(results[0]?.operation ?? "", "SUCCEEDED");
    expect(part).toMatchObject({ action: "flush", target: nameOf(CLUSTER) });
    expect(dcs.puts()).toEqual([{ instances: [CLUSTER], action: "flush" }]);
    expect(dcs.simulator.instances.get(CLUSTER)).toMatchObject({ done: { restart: 0, flush: 1 }, keys: 0 });
  });

  it.each([
    ["Redis", "3.0"],
    ["Memcached", "1.5"],
    ["Redis", ""],
    ["", "5.0"],
  ])("is refused for %s %s, before anything is sent", async (engine, engineVersion) => {
    await using dcs = await startDcs({ instances: [{ instanceId: idOf(1), engine, engineVersion }] });
    const failure = await failureOf(dcs.client.flushInstances({ ...ask(idOf(1)), acknowledgeDataLoss: true }));
    expect(failure).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "OPERATION_UNSUPPORTED_BY_TARGET",
      preconditions: [["OPERATION_UNSUPPORTED_BY_TARGET", nameOf(idOf(1))]],
      helps: true,
    });
    expect(dcs.puts()).toEqual([]);
  });

  it.each(["4.0", "5.0", "6.0", "10.1"])("is sent to Redis %s", async (engineVersion) => {
    await using dcs = await startDcs({ instances: [{ instanceId: idOf(1), engineVersion }] });
    await dcs.client.flushInstances({ ...ask(idOf(1)), acknowledgeDataLoss: true });
    expect(dcs.simulator.instances.get(idOf(1))?.done.flush).toBe(1);
  });

  it("is not sent to a faulty instance, unlike a restart", async () => {
    await using dcs = await startDcs();
    dcs.simulator.instances.put(CLUSTER, { status: "ERROR" });
    const failure = await failureOf(dcs.client.flushInstances({ ...ask(CLUSTER), acknowledgeDataLoss: true }));
    expect(failure).toMatchObject({ code: Code.FailedPrecondition, reason: "TARGET_STATE_FORBIDS" });
    expect(dcs.puts()).toEqual([]);
  });
});
