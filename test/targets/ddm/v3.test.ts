import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RestartInstanceRequest_Type as Type } from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { gatewayError } from "../../../src/clouds/huawei/simulator/replies.ts";
import { failureOf } from "../../support/served-target.ts";
import { newId, type ServedDdm, startServedDdm } from "./served.ts";

let ddm: ServedDdm;
beforeEach(async () => {
  ddm = await startServedDdm();
});
afterEach(async () => {
  await ddm[Symbol.asyncDispose]();
});

const instance = () => ddm.simulator.world.add({ id: newId() });
const paths = () => ddm.writes().map(({ path }) => path.replace(/^\/(v\d)\/[^/]+\/instances\/[^/]+/, "$1"));

describe("a service that has no restart by v1 any longer", () => {
  it("is asked by v3, with a new permit, and its job followed", async () => {
    ddm.simulator.world.servesV1 = false;
    const { id } = instance();
    const answer = await ddm.client.restartInstance(ddm.request(id));
    expect(answer).toMatchObject({ instanceId: id, instanceName: "", jobId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(paths()).toEqual(["v1/action", "v3/restart"]);
    expect(ddm.writes()[1]?.body).toBe("");
    expect(await ddm.served.until("SUCCEEDED", "FAILED")).toMatchObject({
      state: "SUCCEEDED",
      vendorJob: answer.jobId,
      progress: "Completed",
    });
    expect(ddm.served.events().filter((event) => event.startsWith("permit"))).toHaveLength(2);
    expect(ddm.simulator.world.restarts(id)).toEqual(["v3"]);
  });

  it("makes no soft restart of a hard one", async () => {
    ddm.simulator.world.servesV1 = false;
    const { id } = instance();
    const failure = await failureOf(ddm.client.restartInstance(ddm.request(id, { type: Type.HARD })));
    expect(failure).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "OPERATION_UNSUPPORTED_BY_TARGET",
      metadata: { outcome: "not_applied", vendor: "ddm" },
    });
    expect(paths()).toEqual(["v1/action"]);
    expect(ddm.served.operation()).toMatchObject({ state: "FAILED", blocks: false });
  });

  it("is not asked again where v3 is not served either", async () => {
    const answer = gatewayError(404, "0101", "The API does not exist.");
    ddm.simulator.server.inject({ method: "POST", times: 9, answer });
    const failure = await failureOf(ddm.client.restartInstance(ddm.request(instance().id)));
    expect(failure).toMatchObject({ reason: "API_VERSION_NOT_SERVED", metadata: { outcome: "not_applied" } });
    expect(paths()).toEqual(["v1/action", "v3/restart"]);
  });

  it.each([
    ["cut after it was executed", { path: /v3/, disconnect: "after-executing" }],
    ["answered by nobody", { path: /v3/, execute: true, answer: { status: 504, body: "<html></html>" } }],
  ] as const)("is asked by v3 once: %s", async (_what, fault) => {
    ddm.simulator.world.servesV1 = false;
    ddm.simulator.server.inject(fault);
    const { id } = instance();
    expect(await ddm.client.restartInstance(ddm.request(id))).toMatchObject({ instanceId: id });
    expect(paths()).toEqual(["v1/action", "v3/restart"]);
    expect(ddm.simulator.world.restarts(id)).toEqual(["v3"]);
  });
});

describe("a service whose v1 proves nothing", () => {
  it.each([
    ["a proxy's 404", { status: 404, body: "<html>not found</html>" }],
    ["a gateway that lost its way", gatewayError(404, "0103", "The backend does not exist.")],
    ["a gateway that did not wait", gatewayError(504, "0201", "Backend timeout.")],
    ["a refusal", gatewayError(403, "0302", "The IAM user is not allowed.")],
  ])("is not asked by v3: %s", async (_what, answer) => {
    ddm.simulator.server.inject({ path: /action$/, answer });
    await failureOf(ddm.client.restartInstance(ddm.request(instance().id)));
    expect(paths()).toEqual(["v1/action"]);
  });
});
