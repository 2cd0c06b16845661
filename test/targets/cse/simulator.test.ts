import { describe, expect, it } from "vitest";
import { type HuaweiRequest, openProjects } from "../../../src/clouds/huawei/project.ts";
import { CseWorld } from "../../../src/targets/cse/simulator/world.ts";
import { SANDBOX_ENGINE_ID, simulate, startCseSimulator } from "../../../src/targets/cse/simulator.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { settingsFor } from "../../support/served-target.ts";

describe("CseWorld", () => {
  const at = (jobMs = 100) => {
    const clock = { ms: 1_763_740_800_000 };
    return { clock, world: new CseWorld({ now: () => clock.ms, jobMs }) };
  };

  it("runs the same job again, from Init over Executing to its end", () => {
    const { clock, world } = at();
    const { id, latestJobId } = world.add({ id: "e1" });
    const seen = () => {
      const { status, endTime } = world.job(id, latestJobId) ?? {};
      return [world.engine(id)?.status, status, endTime === 0 ? "" : endTime];
    };
    const before = world.job(id, latestJobId)?.endTime;
    expect(seen()).toEqual(["UpgradeFailed", "Error", before]);
    expect(world.retry(id)?.id).toBe(latestJobId);
    expect(seen()).toEqual(["Upgrading", "Init", ""]);
    clock.ms += 50;
    expect(seen()).toEqual(["Upgrading", "Executing", ""]);
    expect(world.retry(id), "one at a time").toBeUndefined();
    clock.ms += 50;
    expect(seen()).toEqual(["Available", "Finished", clock.ms]);
    expect(world.retry(id), "nothing is left to retry").toBeUndefined();
    expect(world.retries(id)).toBe(1);
  });

  it("shows a retry late, fails as scripted, and can be retried again", () => {
    const { clock, world } = at();
    const { id, latestJobId } = world.add({ id: "e1" });
    world.script(id, { lagMs: 30, end: "Timeout" });
    world.retry(id);
    expect(world.job(id, latestJobId)?.status).toBe("Error");
    clock.ms += 30;
    expect(world.job(id, latestJobId)?.status).toBe("Init");
    clock.ms += 100;
    expect([world.job(id, latestJobId)?.status, world.engine(id)?.status]).toEqual(["Timeout", "UpgradeFailed"]);
    expect(world.retry(id)?.id).toBe(latestJobId);
  });

  it("ends no job while it is held, and deletes with a Delete job", () => {
    const { clock, world } = at();
    const { id } = world.add({ id: "e1", jobType: "Delete" });
    world.hold();
    world.retry(id);
    clock.ms += 1_000;
    expect(world.engine(id)?.status).toBe("Deleting");
    world.release();
    expect(world.engine(id)).toBeUndefined();
  });

  it("fails again on demand", () => {
    const { clock, world } = at(0);
    const { id, latestJobId } = world.add({ id: "e1" });
    world.retry(id);
    expect(world.engine(id)?.status).toBe("Available");
    clock.ms += 5;
    world.fail(id);
    expect(world.job(id, latestJobId)).toMatchObject({ status: "Error", endTime: clock.ms });
    expect(world.retry(id)?.id).toBe(latestJobId);
  });
});

describe("startCseSimulator()", () => {
  const HEADERS = { "content-type": "application/json;charset=UTF-8", accept: "application/json" };
  /** Asks for something that is not quite right. */
  const ask = async (part: Partial<HuaweiRequest>) => {
    await using simulator = await startCseSimulator();
    const { account, url } = simulator.server;
    simulator.world.add({ id: "e1" });
    await using projects = openProjects(settingsFor(account, url).projects, "cse", {
      now: () => new Date(),
      monotonic: () => performance.now(),
    });
    const { status, json } = await projects.find(account.projectId).request({
      method: "PUT",
      body: { action: "Retry" },
      headers: HEADERS,
      signal: new AbortController().signal,
      ...part,
      path: `/v2/${account.projectId}/enginemgr/engines${part.path ?? "/e1/actions"}`,
    });
    return { status, json, retries: simulator.world.retries("e1") };
  };

  it("takes what the vendor's documents say, and answers as they say", async () => {
    expect(await ask({})).toEqual({ status: 200, json: { id: "e1", name: "cse-e1", jobId: 18_638 }, retries: 1 });
  });

  it.each([
    ["another content type", { headers: { ...HEADERS, "content-type": "text/plain" } }, "SVCSTG.00500400"],
    ["another Accept", { headers: { ...HEADERS, accept: "text/html" } }, "SVCSTG.00500400"],
    ["another action", { body: { action: "Delete" } }, "SVCSTG.00500400"],
    ["a further field", { body: { action: "Retry", force: true } }, "SVCSTG.00500400"],
    ["another enterprise project", { headers: { ...HEADERS, "x-enterprise-project-id": "1" } }, "SVCSTG.00501116"],
    ["another engine", { path: "/e2/actions" }, "SVCSTG.00501116"],
    ["another path", { path: "/e1/actions/again" }, "APIGW.0101"],
    ["another method", { method: "POST" }, "APIGW.0101"],
  ] as const)("refuses %s", async (_what, part, code) => {
    expect(await ask(part)).toMatchObject({ json: { error_code: code }, retries: 0 });
  });

  it("wants offset and limit of a list, and spells the errors of reads in the other way", async () => {
    await using simulator = await startCseSimulator();
    const { account, url } = simulator.server;
    await using projects = openProjects(settingsFor(account, url).projects, "cse", {
      now: () => new Date(),
      monotonic: () => performance.now(),
    });
    const path = `/v2/${account.projectId}/enginemgr/engines`;
    const { signal } = new AbortController();
    const asked = { method: "GET", path, query: { offset: "0" }, headers: HEADERS, signal } as const;
    const answer = await projects.find(account.projectId).request(asked);
    expect(answer).toMatchObject({ status: 400, json: { errorCode: "SVCSTG.00500400" } });
  });

  it("refuses a secret key that is not the account's", async () => {
    await using simulator = await startCseSimulator();
    const { account, url } = simulator.server;
    const settings = settingsFor(
      { ...account, keys: [{ accessKey: "SANDBOXACCESSKEY0001", secretKey: "wrong" }] },
      url,
    );
    await using projects = openProjects(settings.projects, "cse", {
      now: () => new Date(),
      monotonic: () => performance.now(),
    });
    const path = `/v2/${account.projectId}/enginemgr/engines/e1`;
    const { signal } = new AbortController();
    const answer = await projects.find(account.projectId).request({ method: "GET", path, headers: HEADERS, signal });
    expect(answer).toMatchObject({ status: 401, json: { error_code: "APIGW.0301" } });
  });
});

describe("simulate()", () => {
  it("is the sandbox's CSE, and adds itself to a section that others share", async () => {
    await using folder = await temporaryFolder();
    await using simulation = await simulate(folder.path, {
      huaweicloud: { projects: [{ projectId: "other", region: "r", endpoints: { dcs: "http://127.0.0.1:1" } }] },
    });
    const projects = simulation.sections.huaweicloud?.projects ?? [];
    expect(projects.map(({ projectId, endpoints }) => [projectId, Boolean(endpoints?.cse)])).toEqual([
      ["other", false],
      ["5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d", true],
    ]);
    expect(SANDBOX_ENGINE_ID).toBe("4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98");
  });
});
