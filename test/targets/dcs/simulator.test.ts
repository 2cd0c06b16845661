import { describe, expect, it } from "vitest";
import { createAccount, issueToken } from "../../../src/clouds/huawei/simulator/account.ts";
import { Instances, SANDBOX_INSTANCES, type Simulator, startSimulator } from "../../../src/targets/dcs/simulator.ts";
import { CLUSTER, idOf, NOBODY, PROJECT, SINGLE } from "./support.ts";

/** A simulator, and a request to it with a good token. */
async function start() {
  const account = createAccount();
  const { value } = issueToken(account);
  const simulator = await startSimulator({ account, pace: { restartMs: 60_000 } });
  const ask = async (method: string, path: string, body?: unknown, type = "application/json") => {
    const response = await fetch(`${simulator.url}${path}`, {
      method,
      headers: { "x-auth-token": value, ...(type !== "" && { "content-type": type }) },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const json: unknown = await response.json();
    return [response.status, json];
  };
  return { simulator, ask, [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose]() };
}

const STATUS = `/v2/${PROJECT}/instances/status`;
const refused = (status: number, code: string) => [status, expect.objectContaining({ error_code: code })];
const executed = (simulator: Simulator, id: string) => simulator.instances.get(id)?.done;

describe("the simulated DCS", () => {
  it.each([
    ["", "DCS.4004"],
    ["{", "DCS.4005"],
    ["[]", "DCS.4005"],
    [{ action: "restart" }, "DCS.4065"],
    [{ action: "restart", instances: null }, "DCS.4065"],
    [{ action: "restart", instances: [] }, "DCS.4065"],
    [{ action: "restart", instances: CLUSTER }, "DCS.4065"],
    [{ action: "restart", instances: Array.from({ length: 51 }, (_, at) => idOf(at)) }, "DCS.4100"],
    [{ action: "restart", instances: ["e3a7019c"] }, "DCS.4061"],
    [{ action: "restart", instances: [7] }, "DCS.4061"],
    [{ instances: [CLUSTER] }, "DCS.4064"],
    [{ action: "hard", instances: [CLUSTER] }, "DCS.4064"],
    [{ action: "restart", instances: [CLUSTER], force: true }, "DCS.4063"],
  ])("refuses the body %j with %s", async (body, code) => {
    await using it = await start();
    expect(await it.ask("PUT", STATUS, body)).toEqual(refused(400, code));
    expect(executed(it.simulator, CLUSTER)).toEqual({ restart: 0, soft_restart: 0, flush: 0 });
  });

  it("refuses another content type, another project, another method, another path, and nobody's request", async () => {
    await using it = await start();
    const body = { action: "restart", instances: [CLUSTER] };
    expect(await it.ask("PUT", STATUS, body, "text/plain")).toEqual(refused(400, "DCS.4005"));
    expect(await it.ask("PUT", "/v2/00000000000000000000000000000000/instances/status", body)).toEqual(
      refused(401, "DCS.1004"),
    );
    expect(await it.ask("PUT", "/v2/short/instances/status", body)).toEqual(refused(400, "DCS.4002"));
    expect(await it.ask("POST", STATUS, body)).toEqual(refused(405, "DCS.5001"));
    expect(await it.ask("PUT", `/v2/${PROJECT}/elsewhere`, body)).toEqual(refused(404, "APIGW.0101"));
    const response = await fetch(`${it.simulator.url}${STATUS}`, { method: "PUT", body: JSON.stringify(body) });
    expect(response.status).toBe(401);
    expect(executed(it.simulator, CLUSTER)).toEqual({ restart: 0, soft_restart: 0, flush: 0 });
  });

  it("does what it is asked, and refuses what an instance does not take", async () => {
    await using it = await start();
    const put = (action: string, ...instances: string[]) => it.ask("PUT", STATUS, { action, instances });
    expect(await put("restart", NOBODY)).toEqual(refused(404, "DCS.3022"));
    expect(await put("restart", CLUSTER)).toEqual([200, { results: [{ instance: CLUSTER, result: "success" }] }]);
    expect(await put("flush", CLUSTER)).toEqual(refused(400, "DCS.4111"));
    expect(await put("soft_restart", CLUSTER, SINGLE)).toEqual([
      200,
      {
        results: [
          { instance: CLUSTER, result: "failed" },
          { instance: SINGLE, result: "success" },
        ],
      },
    ]);
    expect(executed(it.simulator, CLUSTER)).toEqual({ restart: 1, soft_restart: 0, flush: 0 });
    expect(executed(it.simulator, SINGLE)).toEqual({ restart: 0, soft_restart: 1, flush: 0 });
  });

  it("counts a request that comes twice before its status shows", async () => {
    await using it = await start();
    it.simulator.instances.hold("all");
    for (const _ of [1, 2]) await it.ask("PUT", STATUS, { action: "flush", instances: [CLUSTER] });
    expect(executed(it.simulator, CLUSTER)?.flush).toBe(2);
  });

  it("lists ten by default, and says older errors when told to", async () => {
    await using it = await start();
    for (let at = 0; at < 12; at++) it.simulator.instances.add({ instanceId: idOf(at) });
    const count = async (query: string) => {
      const [, json] = await it.ask("GET", `/v2/${PROJECT}/instances${query}`);
      return json;
    };
    expect(await count("")).toMatchObject({ instance_num: 14, instances: { length: 10 } });
    expect(await count("?offset=10&limit=1000")).toMatchObject({ instances: { length: 4 } });
    expect(await count("?limit=1001")).toMatchObject({ error_code: "DCS.4062" });
    it.simulator.sayErrors("numeric");
    expect(await count(`/${NOBODY}`)).toMatchObject({ error_code: "111404022" });
    it.simulator.sayErrors("v1.0");
    expect(await count(`/${NOBODY}`)).toMatchObject({ error: { code: "111404022" } });
  });
});

describe("Instances", () => {
  it("take their time", () => {
    let now = 0;
    const instances = new Instances(SANDBOX_INSTANCES, () => now, { lagMs: 10, restartMs: 100, taskMs: 20 });
    const at = (ms: number) => {
      now = ms;
      const { status, task } = instances.get(SINGLE) ?? {};
      return [status, task];
    };
    instances.act(SINGLE, "restart");
    expect([0, 9, 10, 109, 110, 129, 130].map(at)).toEqual([
      ["RUNNING", null],
      ["RUNNING", null],
      ["RESTARTING", null],
      ["RESTARTING", null],
      ["RUNNING", "RESTARTING"],
      ["RUNNING", "RESTARTING"],
      ["RUNNING", null],
    ]);
    expect(instances.get(SINGLE)?.keys).toBe(0);
  });

  it("end as they are told", () => {
    let now = 0;
    const instances = new Instances(SANDBOX_INSTANCES, () => now);
    instances.act(CLUSTER, "flush");
    instances.endAs(CLUSTER, "ERROR");
    now = 60_000;
    expect(instances.get(CLUSTER)).toMatchObject({ status: "ERROR", task: null });
    expect(instances.refusal(CLUSTER, "flush")).toBe("DCS.4049");
    expect(instances.refusal(CLUSTER, "restart")).toBeUndefined();
  });
});
