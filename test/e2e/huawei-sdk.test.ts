import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HuaweicloudSchema } from "../../gen/restart/config/v1/huaweicloud_pb.ts";
import { type Sandbox, startSandbox } from "../../src/sandbox/sandbox.ts";
import { TARGETS } from "../../src/targets/index.ts";
import { run } from "../support/command.ts";
import { need } from "./tools.ts";

const python = need("python");
const SCRIPT = join(import.meta.dirname, "python/huawei.py");

const DCS_INSTANCE = "e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1";
const DDM_INSTANCE = "28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09";
const ENGINE = "4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98";
const NOBODY = "00000000-0000-4000-8000-000000000000";

type Told = { answer?: Record<string, unknown>; error?: Record<string, unknown> };

describe.skipIf(python.missing)("Huawei's Python SDKs on our simulators", () => {
  let sandbox: Sandbox;
  /** What the SDKs made of each answer. */
  let told: Record<string, Told>;

  beforeAll(async () => {
    sandbox = await startSandbox(TARGETS);
    const { projects } = create(HuaweicloudSchema, sandbox.sections.huaweicloud);
    const { projectId, credentials, endpoints } = projects[0] ?? {};
    const secret = (at: { source: { case: string | undefined; value?: string | undefined } } | undefined) =>
      readFileSync(at?.source.value ?? "", "utf8").trim();
    const asked = {
      projectId,
      endpoints: { cse: endpoints?.cse, dcs: endpoints?.dcs, ddm: endpoints?.ddm },
      accessKey: secret(credentials?.accessKey),
      secretKey: secret(credentials?.secretKey),
      dcsInstance: DCS_INSTANCE,
      ddmInstance: DDM_INSTANCE,
      engine: ENGINE,
      nobody: NOBODY,
    };
    const { code, stdout, stderr } = await run(python.path, [SCRIPT], { input: JSON.stringify(asked) });
    expect(code, stderr).toBe(0);
    told = JSON.parse(stdout);
  }, 120_000);
  afterAll(() => sandbox?.[Symbol.asyncDispose]());

  const refused = (status: number, code: RegExp) => ({
    error: expect.objectContaining({
      status,
      code: expect.stringMatching(code),
      requestId: expect.stringMatching(/./),
    }),
  });

  it("signs as our simulators check, and a wrong key is told as the gateway tells it", () => {
    expect(told["dcs wrong key"]).toEqual(refused(401, /^APIGW?\.0301$/));
  });

  it("lists, shows and configures DCS instances", () => {
    expect(told["dcs list"]).toMatchObject({ answer: { instance_num: 2, instances: [{ status: "RUNNING" }] } });
    expect(told["dcs show"]).toMatchObject({
      answer: { instance_id: DCS_INSTANCE, status: "RUNNING", engine: "Redis", cache_mode: "cluster" },
    });
    expect(told["dcs show nobody"]).toEqual(refused(404, /^(DCS\.3022|111404022)$/));
    expect(told["dcs configs"]?.answer?.redis_config).toContainEqual(
      expect.objectContaining({ param_name: "appendonly", param_value: "yes" }),
    );
  });

  it("restarts a DCS instance once, and is refused while it restarts", () => {
    expect(told["dcs soft_restart"]).toMatchObject({
      answer: { results: [{ instance: DCS_INSTANCE, result: "success" }] },
    });
    expect(told["dcs restart"]).toEqual(refused(400, /^(DCS\.4111|111400111)$/));
    expect(told["dcs stop"]).toEqual(refused(400, /^(DCS\.4064|111400064)$/));
    expect(told["dcs flush nothing"]).toEqual(refused(400, /^(DCS\.4065|111400065)$/));
    expect(told["dcs restarting"]).toMatchObject({ answer: { status: "RESTARTING" } });
  });

  it("restarts a DDM instance once, and reads its job", () => {
    expect(told["ddm list"]).toMatchObject({ answer: { instances: [{ id: DDM_INSTANCE }] } });
    expect(told["ddm show"]).toMatchObject({ answer: { id: DDM_INSTANCE, status: "RUNNING" } });
    expect(told["ddm show nobody"]?.error?.status).toBe(404);
    expect(told["ddm soft"]).toMatchObject({
      answer: { instanceId: DDM_INSTANCE, instanceName: expect.any(String), jobId: expect.stringMatching(/./) },
    });
    expect(told["ddm job"]).toMatchObject({ answer: { job: { status: "Running" } } });
    // The SDK reads error_code alone: DDM's errCode is lost in it (contracts/huaweicloud.md E.6).
    expect(told["ddm hard while busy"]?.error?.status).toBe(409);
    expect(told["ddm v3 while busy"]?.error?.status).toBe(409);
    expect(told["ddm v3"]).toEqual({ answer: { job_id: expect.stringMatching(/./) } });
    expect(told["ddm v3 job"]).toMatchObject({
      answer: { job: { status: "Running", instance: { id: DDM_INSTANCE } } },
    });
  });

  it("retries a CSE engine's failed job once", () => {
    expect(told["cse list"]).toMatchObject({ answer: { total: 1, data: [{ id: ENGINE }] } });
    const latest = told["cse show"]?.answer?.latestJobId;
    expect(told["cse failed job"]).toMatchObject({ answer: { id: latest, status: "Error" } });
    expect(told["cse retry"]).toMatchObject({ answer: { id: ENGINE, jobId: expect.any(Number) } });
    expect(told["cse running job"]).toMatchObject({
      answer: { engineId: ENGINE, status: expect.stringMatching(/^(Init|Executing)$/) },
    });
    expect(told["cse retry nobody"]).toEqual(refused(400, /^SVCSTG\.00501116$/));
  });
});
