import { describe, expect, it } from "vitest";
import { CLUSTER, failureOf, nameOf, PROJECT, startDcs } from "./support.ts";

const SHOUTED = { projectId: PROJECT.toUpperCase(), instanceIds: [CLUSTER.toUpperCase()], acknowledgeDataLoss: true };
const SAID = { ...SHOUTED, projectId: PROJECT, instanceIds: [CLUSTER] };

describe("an id in another letter case", () => {
  it("is the same target, while the first restart goes on", async () => {
    await using dcs = await startDcs({ pace: { restartMs: 600_000 } });
    const { results } = await dcs.client.restartInstances(SHOUTED);
    expect(results.map(({ instanceId, result }) => [instanceId, result])).toEqual([[CLUSTER, "success"]]);
    const failure = await failureOf(dcs.client.restartInstances(SAID));
    expect(failure).toMatchObject({ reason: "OPERATION_IN_PROGRESS" });
    expect(dcs.puts()).toEqual([{ instances: [CLUSTER], action: "restart" }]);
    expect([...dcs.database.operations.values()].map(({ target }) => target)).toContain(nameOf(CLUSTER));
  });

  it("is the same call under one request_id", async () => {
    await using dcs = await startDcs();
    const requestId = "0F6D0E1A-7C55-4B0C-8E2D-4E0D5A1B2C3D";
    const first = await dcs.client.restartInstances({ ...SAID, requestId });
    const again = await dcs.client.restartInstances({ ...SHOUTED, requestId: requestId.toLowerCase() });
    expect(again).toEqual(first);
    expect(dcs.puts()).toHaveLength(1);
  });

  it("is the same instance twice within one call, which is refused", async () => {
    await using dcs = await startDcs();
    const failure = await failureOf(
      dcs.client.restartInstances({ ...SAID, instanceIds: [CLUSTER, CLUSTER.toUpperCase()] }),
    );
    expect(failure).toMatchObject({ reason: "INVALID_ARGUMENT", violations: 1 });
    expect(dcs.simulator.requests).toEqual([]);
  });

  it("keeps its case where it has not the form of a UUID", async () => {
    await using dcs = await startDcs();
    const failure = await failureOf(dcs.client.getInstance({ projectId: PROJECT, instanceId: "Not-A-Uuid" }));
    expect(failure.message).toContain("Not-A-Uuid");
  });
});
