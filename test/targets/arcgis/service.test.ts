import { randomUUID } from "node:crypto";
import { toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { DeploymentSchema, JobSchema } from "../../../gen/restart/arcgis/v1/deployment_pb.ts";
import { ListDeploymentsResponseSchema } from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { FEATURES, STORE, type Started, type StartOptions, SYSTEM, startSite, told } from "./site.ts";

const started: Started[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server[Symbol.asyncDispose]();
});
const start = async (options: StartOptions = {}): Promise<Started> => {
  const server = await startSite(options);
  started.push(server);
  return server;
};
const features = { site: "gis", deploymentId: FEATURES };

describe("the reads of DeploymentService", () => {
  it.each([
    ["two hours behind ours", -2],
    ["two hours ahead of ours", 2],
  ])("one token serves all reads of a site whose clock is %s", async (_how, hours) => {
    const { simulator, client } = await start({ now: () => Date.now() + hours * 3_600_000 });
    for (let count = 0; count < 3; count += 1) await client.listDeployments({ site: "gis" });
    expect(simulator.requests.filter(({ path }) => path.endsWith("/generateToken"))).toHaveLength(1);
  });

  it("list what is configured, by name", async () => {
    const { client, simulator } = await start();
    const { sites } = await client.listSites({});
    expect(sites.map(({ name, adminUrl }) => [name, adminUrl])).toEqual([
      ["another", simulator.adminUrl],
      ["gis", simulator.adminUrl],
    ]);
    expect(simulator.requests).toEqual([]);
  });

  it("list a site's deployments", async () => {
    const { client } = await start();
    expect(toJson(ListDeploymentsResponseSchema, await client.listDeployments({ site: "gis" }))).toEqual({
      deployments: [
        {
          deploymentId: FEATURES,
          name: "shared-featureserver",
          type: "FeatureServer",
          mode: "Shared",
          provider: "ArcObjects11",
        },
        {
          deploymentId: STORE,
          name: "relational-store-primary",
          type: "RelationalStore",
          mode: "Primary",
          provider: "Postgres",
        },
        {
          deploymentId: SYSTEM,
          name: "enterprise-admin-api",
          type: "System",
          mode: "Undefined",
          provider: "Undefined",
        },
      ],
    });
  });

  it("tell what a deployment is and how it does", async () => {
    const { client } = await start();
    expect(toJson(DeploymentSchema, await client.getDeployment(features))).toEqual({
      deploymentId: FEATURES,
      name: "shared-featureserver",
      type: "FeatureServer",
      mode: "Shared",
      provider: "ArcObjects11",
      currentState: "STARTED",
      readyReplicas: 2,
      totalReplicas: 2,
    });
  });

  it("tell how far a job has come", async () => {
    const { client, simulator } = await start({ jobMs: 60_000, now: () => 1_795_000_000_000 });
    const { jobId } = await client.refreshDeployment({ ...features, async: true });
    expect(toJson(JobSchema, await client.getJob({ site: "gis", jobId }))).toEqual({
      jobId,
      status: "SUBMITTED",
      operationUri: `/context/admin/system/deployments/${FEATURES}/refresh`,
      username: "siteadmin",
      startTime: "2026-11-18T11:06:40Z",
      updateTime: expect.any(String),
    });
    simulator.inject({ path: /jobs/, times: 99, answer: (real) => ({ ...real, body: ended(jobId) }) });
    expect(toJson(JobSchema, await client.getJob({ site: "gis", jobId }))).toMatchObject({
      status: "COMPLETED",
      endTime: "2026-11-18T11:06:40.001Z",
      result: { status: "success", nested: [1, { a: null }] },
    });
  });

  it.each([
    ["a site", { site: "other" }, "SITE_NOT_FOUND"],
    ["a deployment", { site: "gis", deploymentId: "nope" }, "TARGET_NOT_FOUND"],
    ["a path", { site: "gis", deploymentId: "a/../b" }, "INVALID_ARGUMENT"],
  ])("say that there is no such thing as %s", async (_what, request, reason) => {
    const { client } = await start();
    const call = client.getDeployment({ deploymentId: FEATURES, ...request });
    expect(await told(call)).toMatchObject({ reason, outcome: "not_applied" });
  });

  it("say that there is no such job", async () => {
    const { client } = await start();
    expect(await told(client.getJob({ site: "gis", jobId: "j1" }))).toMatchObject({ reason: "JOB_NOT_FOUND" });
  });

  it.each([
    ["a list without deployments", /deployments\?/, { status: "success" }],
    ["deployments that are no list", /deployments\?/, { deployments: "one" }],
    ["another deployment", /kvyxph9w5h3o9vgk8dixn\?/, { deploymentId: "kother" }],
    ["another deployment's status", /status\?/, { id: "kother", currentState: "STARTED" }],
    ["a status without a state", /status\?/, { id: FEATURES }],
  ])("do not take %s for an answer", async (_what, path, body) => {
    const { client, simulator } = await start();
    simulator.inject({ path, answer: { status: 200, body } });
    const call = path.source.startsWith("deployments")
      ? client.listDeployments({ site: "gis" })
      : client.getDeployment(features);
    expect(await told(call)).toMatchObject({ reason: "VENDOR_BAD_RESPONSE" });
  });

  it.each([
    [null, []],
    [[{ name: "odd" }, null, 7, { deploymentId: "k9", name: "one" }], ["k9"]],
  ])("list what can be understood of %o", async (deployments, ids) => {
    const { client, simulator } = await start();
    simulator.inject({ path: /deployments\?/, answer: { status: 200, body: { deployments } } });
    const listed = await client.listDeployments({ site: "gis" });
    expect(listed.deployments.map(({ deploymentId }) => deploymentId)).toEqual(ids);
  });
});

const ended = (jobid: string) => ({
  jobid,
  status: "COMPLETED",
  starttime: 1_795_000_000_000,
  updatedtime: 1_795_000_000_001,
  endtime: 1_795_000_000_001,
  result: { status: "success", nested: [1, { a: null }] },
});

describe("RefreshDeployment", () => {
  it("waits for the end, as the site does", async () => {
    const { client, simulator, until } = await start({ jobMs: 30 });
    expect(await client.refreshDeployment(features)).toMatchObject({ status: "success", jobId: "", jobsUrl: "" });
    expect(await until("SUCCEEDED")).toMatchObject({
      target: `sites/gis/deployments/${FEATURES}`,
      action: "refresh",
      blocks: false,
    });
    expect(simulator.refreshes.get(FEATURES)).toBe(1);
  });

  it("leaves the end in the operation when the caller's time is over", async () => {
    const { client, simulator, until } = await start({ deadlineMs: 2_000, jobMs: 10 });
    simulator.hold();
    const requestId = randomUUID();
    const first = await told(client.refreshDeployment({ ...features, requestId }));
    const { name } = await until("SENT");
    const goesOn = { code: Code.DeadlineExceeded, reason: "OUTCOME_UNKNOWN", outcome: "unknown", operation: name };
    expect(first).toMatchObject(goesOn);
    expect(await told(client.refreshDeployment({ ...features, requestId }))).toMatchObject(goesOn);
    const again = client.refreshDeployment({ ...features, requestId }, { timeoutMs: 60_000 });
    simulator.release();
    expect(await until("SUCCEEDED")).toMatchObject({ name, response: '{"status":"success"}' });
    expect(await again).toMatchObject({ status: "success", jobId: "" });
    expect(simulator.refreshes.get(FEATURES)).toBe(1);
  });

  it("follows the job of an asynchronous one, which nobody else may refresh meanwhile", async () => {
    const { client, simulator, until } = await start({ jobMs: 10 });
    simulator.hold();
    const requestId = randomUUID();
    const first = await client.refreshDeployment({ ...features, async: true, requestId });
    expect(first).toMatchObject({ status: "", jobStatus: "SUBMITTED" });
    expect(await until("SENT")).toMatchObject({ vendorJob: first.jobId, blocks: true });
    expect(await told(client.refreshDeployment(features))).toMatchObject({ reason: "OPERATION_IN_PROGRESS" });
    expect(await client.refreshDeployment({ ...features, async: true, requestId })).toEqual(first);
    simulator.release();
    expect(await until("SUCCEEDED")).toMatchObject({ blocks: false });
    expect(simulator.refreshes.get(FEATURES)).toBe(1);
  });

  it("is told how its job ended badly, as by the operation", async () => {
    const { client, simulator, until } = await start({ jobMs: 20 });
    simulator.endWith(FEATURES, "FAILED");
    expect(await told(client.refreshDeployment(features))).toMatchObject({
      reason: "VENDOR_JOB_FAILED",
      outcome: "applied",
    });
    await until("FAILED");
  });

  it("fails with its job", async () => {
    const { client, simulator, until } = await start();
    simulator.endWith(FEATURES, "COMPLETED_WITH_NESTED_ERROR");
    await client.refreshDeployment({ ...features, async: true });
    const { error } = await until("FAILED");
    expect(error).toContain("VENDOR_JOB_FAILED");
  });

  it("is never repeated by us, and leaves what nobody can know to an operator", async () => {
    const { client, simulator, until } = await start();
    simulator.inject({ path: /refresh$/, disconnect: "after-executing" });
    expect(await told(client.refreshDeployment({ ...features, async: true }))).toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      outcome: "unknown",
    });
    expect(await until("UNRESOLVED")).toMatchObject({ blocks: true });
    expect(await told(client.refreshDeployment(features))).toMatchObject({ reason: "OPERATION_IN_PROGRESS" });
    expect(simulator.refreshes.get(FEATURES)).toBe(1);
  });

  it("survives that the site refreshes its own API", async () => {
    const { client, simulator, until } = await start({ jobMs: 1_500 });
    await client.refreshDeployment({ site: "gis", deploymentId: SYSTEM, async: true, acknowledgeOutage: true });
    await until("SUCCEEDED");
    expect(simulator.requests.filter(({ status }) => status === 503).length).toBeGreaterThan(0);
  });

  it("makes every check and sends nothing for validate_only", async () => {
    const { client, simulator, list } = await start();
    await client.refreshDeployment({ ...features, validateOnly: true });
    expect(
      await told(client.refreshDeployment({ ...features, deploymentId: STORE, validateOnly: true })),
    ).toMatchObject({ reason: "OUTAGE_NOT_ACKNOWLEDGED" });
    expect([simulator.refreshes.size, (await list()).length]).toEqual([0, 0]);
  });

  it("is refused for sure where the site cannot be reached", async () => {
    const { client, simulator, list } = await start();
    await client.getDeployment(features);
    await simulator[Symbol.asyncDispose]();
    expect(await told(client.refreshDeployment(features))).toMatchObject({
      reason: "VENDOR_UNREACHABLE",
      outcome: "not_applied",
    });
    expect(await list()).toEqual([]);
  });
});
