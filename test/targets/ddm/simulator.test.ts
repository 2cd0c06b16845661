import { describe, expect, it } from "vitest";
import { type HuaweiRequest, openProjects } from "../../../src/clouds/huawei/project.ts";
import { DdmWorld } from "../../../src/targets/ddm/simulator/world.ts";
import { SANDBOX_INSTANCE_ID, simulate, startDdmSimulator } from "../../../src/targets/ddm/simulator.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { settingsFor } from "../../support/served-target.ts";

describe("DdmWorld", () => {
  const at = (restartMs = 100) => {
    const clock = { ms: 1_763_740_800_000 };
    return { clock, world: new DdmWorld({ now: () => clock.ms, restartMs }) };
  };

  it("restarts an instance, with a job", () => {
    const { clock, world } = at();
    const { id } = world.add({ id: "i1" });
    const job = world.restart(id, "hard");
    const seen = () => [
      world.instance(id)?.status,
      world.job(job?.id ?? "")?.status,
      world.job(job?.id ?? "")?.process,
    ];
    expect(seen()).toEqual(["RESTARTING", "Running", 0]);
    expect(world.restart(id, "soft"), "one at a time").toBeUndefined();
    clock.ms += 60;
    expect(seen()).toEqual(["RESTARTING", "Running", 60]);
    clock.ms += 40;
    expect(seen()).toEqual(["RUNNING", "Completed", 100]);
    expect(world.restarts(id)).toEqual(["hard"]);
  });

  it("shows a restart late, ends it as scripted, and hides its job", () => {
    const { clock, world } = at();
    const { id } = world.add({ id: "i1" });
    world.script(id, { lagMs: 30, end: "ERROR", jobReadable: false });
    const job = world.restart(id, "soft");
    expect(world.instance(id)?.status).toBe("RUNNING");
    clock.ms += 30;
    expect(world.instance(id)?.status).toBe("RESTARTING");
    clock.ms += 100;
    expect(world.instance(id)?.status).toBe("ERROR");
    expect(world.job(job?.id ?? "")).toBeUndefined();
  });

  it("ends no restart while it is held", () => {
    const { clock, world } = at();
    const { id } = world.add({ id: "i1" });
    world.hold();
    world.restart(id, "soft");
    clock.ms += 1_000;
    expect(world.instance(id)?.status).toBe("RESTARTING");
    world.release();
    expect(world.instance(id)?.status).toBe("RUNNING");
  });
});

describe("startDdmSimulator()", () => {
  const HEADERS = { "content-type": "application/json;charset=UTF-8" };

  /** Asks for something that is not quite right. */
  const ask = async (part: Partial<HuaweiRequest>) => {
    await using simulator = await startDdmSimulator();
    const { account, url } = simulator.server;
    simulator.world.add({ id: "i1" });
    await using projects = openProjects(settingsFor(account, url).projects, "ddm", {
      now: () => new Date(),
      monotonic: () => performance.now(),
    });
    const { status, json } = await projects.find(account.projectId).request({
      method: "POST",
      body: { restart: { type: "hard" } },
      headers: HEADERS,
      signal: new AbortController().signal,
      ...part,
      path: `/${(part.path ?? "v1/PROJECT/instances/i1/action").replace("PROJECT", account.projectId)}`,
    });
    return { status, json, restarts: simulator.world.restarts("i1") };
  };

  it("takes what the vendor's documents say, and answers as they say", async () => {
    expect(await ask({})).toEqual({
      status: 200,
      json: { instanceId: "i1", instanceName: "ddm-i1", jobId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
      restarts: ["hard"],
    });
    expect(await ask({ body: {} })).toMatchObject({ status: 200, restarts: ["soft"] });
    expect(await ask({ body: { restart: {} } })).toMatchObject({ status: 200, restarts: ["soft"] });
  });

  it.each([
    ["another content type", { headers: { "content-type": "text/plain" } }, { errCode: "DBS.280001" }],
    ["another type", { body: { restart: { type: "SOFT" } } }, { errCode: "DBS.280001" }],
    ["a further field", { body: { restart: { type: "soft", force: true } } }, { errCode: "DBS.280001" }],
    ["another instance", { path: "v1/PROJECT/instances/i2/action" }, { errCode: "DBS.200002" }],
    ["another project", { path: "v1/other/instances/i1/action" }, { errCode: "DBS.200010" }],
    ["another path", { path: "v1/PROJECT/instances/i1/action/again" }, { error_code: "APIGW.0101" }],
    ["another method", { method: "PUT" }, { error_code: "APIGW.0101" }],
  ] as const)("refuses %s", async (_what, part, json) => {
    expect(await ask(part)).toMatchObject({ json, restarts: [] });
  });

  it.each([{ limit: "129" }, { limit: "0" }, { offset: "-1" }])("refuses a list of %o", async (query) => {
    await using simulator = await startDdmSimulator();
    const { account, url } = simulator.server;
    await using projects = openProjects(settingsFor(account, url).projects, "ddm", {
      now: () => new Date(),
      monotonic: () => performance.now(),
    });
    const path = `/v1/${account.projectId}/instances`;
    const { signal } = new AbortController();
    const answer = await projects.find(account.projectId).request({ method: "GET", path, query, signal });
    expect(answer).toMatchObject({ status: 400, json: { errCode: "DBS.280001" } });
  });
});

describe("simulate()", () => {
  it("is the sandbox's DDM, and adds itself to a section that others share", async () => {
    await using folder = await temporaryFolder();
    await using simulation = await simulate(folder.path, {
      huaweicloud: { projects: [{ projectId: "other", region: "r", endpoints: { dcs: "http://127.0.0.1:1" } }] },
    });
    const projects = simulation.sections.huaweicloud?.projects ?? [];
    expect(projects.map(({ projectId, endpoints }) => [projectId, Boolean(endpoints?.ddm)])).toEqual([
      ["other", false],
      ["5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d", true],
    ]);
    expect(SANDBOX_INSTANCE_ID).toBe("28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09");
  });
});
