import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../support/command.ts";
import { descriptorSet } from "../support/descriptor-set.ts";
import { temporaryFolder } from "../support/folder.ts";
import { type Program, startProgram } from "../support/program.ts";
import { HEALTHY, PAUSED, PAUSED_INFO, PAUSED_PRECONDITION, WEB, WEB_DONE } from "./calls.ts";
import { need } from "./tools.ts";

const python = need("python");
const SCRIPT = join(import.meta.dirname, "python/client.py");

const typed = (type: string, fields: object) => ({ "@type": `type.googleapis.com/${type}`, ...fields });

describe.skipIf(python.missing)("Python's grpcio", () => {
  let program: Program;
  /** What the client printed. */
  let told: Record<string, unknown>;

  beforeAll(async () => {
    await using folder = await temporaryFolder();
    const schema = join(folder.path, "schema.binpb");
    await writeFile(schema, descriptorSet());
    program = await startProgram();
    const { code, stdout, stderr } = await run(python.path, [SCRIPT, program.address, schema], {
      env: { PYTHONDONTWRITEBYTECODE: "1" },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    told = JSON.parse(stdout);
  });

  afterAll(() => program[Symbol.asyncDispose]());

  it("restarts", () => {
    expect(told.restart).toEqual({});
    expect(told.warned).toEqual({ answer: {}, warning: "RECREATE_DOWNTIME" });
    expect(told.compressed).toEqual({});
  });

  it("watches until it is complete", () => {
    expect(told.watch).toMatchObject(expect.arrayContaining([expect.objectContaining({ state: "STATE_PROGRESSING" })]));
    expect(Array.isArray(told.watch) && told.watch.at(-1)).toMatchObject({
      ...WEB,
      state: "STATE_COMPLETE",
      message: WEB_DONE,
    });
  });

  it("reads", () => {
    expect(told.rollout).toMatchObject({ ...WEB, state: "STATE_COMPLETE", generation: "2", desired: 3 });
    expect(told.clusters).toEqual({ clusters: [{ name: "sandbox", reachable: true, serverVersion: "v1.36.3" }] });
    expect(told.many).toBe(50);
  });

  it("gets error details", () => {
    expect(told.paused).toEqual({
      code: "FAILED_PRECONDITION",
      message: PAUSED,
      details: [
        typed("google.rpc.ErrorInfo", PAUSED_INFO),
        typed("google.rpc.PreconditionFailure", PAUSED_PRECONDITION),
      ],
    });
    expect(told.invalid).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "cluster: value is required, and 4 more",
      details: [
        typed("google.rpc.ErrorInfo", { reason: "INVALID_ARGUMENT", metadata: { outcome: "not_applied" } }),
        typed("google.rpc.BadRequest", {
          fieldViolations: ["cluster", "version", "resource", "namespace", "name"].map((field) => ({ field })),
        }),
        { "@type": "type.googleapis.com/buf.validate.Violations" },
      ],
    });
    expect(told.late).toMatchObject({ code: "DEADLINE_EXCEEDED" });
  });

  it("asks for health", () => {
    expect(told.health).toEqual({ status: "SERVING" });
    expect(told.unknown).toMatchObject({ code: "NOT_FOUND" });
    expect(told.statuses).toEqual({
      statuses: Object.fromEntries(HEALTHY.map((name) => [name, { status: "SERVING" }])),
    });
    expect(told.left).toMatchObject({ first: { status: "SERVING" }, ended: { code: "CANCELLED" } });
  });
});
