import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunOptions, run } from "../support/command.ts";
import { startConfigured } from "../support/configured.ts";
import { type Program, startProgram } from "../support/program.ts";
import {
  CHECKOUT,
  HEALTHY,
  PAUSED,
  PAUSED_INFO,
  PAUSED_PRECONDITION,
  readMessages,
  SERVICE,
  SERVICES,
  WEB,
  WEB_DONE,
} from "./calls.ts";
import { need } from "./tools.ts";

const tool = need("grpcurl");

let program: Program;

beforeAll(async () => {
  program = await startProgram();
});

afterAll(() => program[Symbol.asyncDispose]());

const grpcurl = (...args: readonly string[]) => run(tool.path, ["-plaintext", ...args]);

const call = (rpc: string, message: object, ...flags: readonly string[]) =>
  grpcurl(...flags, "-d", JSON.stringify(message), program.address, rpc);

const typed = (type: string, fields: object) => ({ "@type": `type.googleapis.com/${type}`, ...fields });

describe.skipIf(tool.missing)("grpcurl", () => {
  it("lists services and methods", async () => {
    expect(await grpcurl(program.address, "list")).toMatchObject({ code: 0, stdout: `${SERVICES.join("\n")}\n` });
    const methods = ["GetRollout", "ListClusters", "ListWorkloads", "Restart", "WatchRollout"];
    expect(await grpcurl(program.address, "list", SERVICE)).toMatchObject({
      code: 0,
      stdout: `${methods.map((method) => `${SERVICE}.${method}`).join("\n")}\n`,
    });
  });

  it("describes with rules and idempotency", async () => {
    const method = await grpcurl(program.address, "describe", `${SERVICE}.GetRollout`);
    expect(method.stdout).toContain("option idempotency_level = NO_SIDE_EFFECTS;");
    const request = await grpcurl(program.address, "describe", "restart.kubernetes.v1.RestartRequest");
    expect(request.stdout).toMatch(/string name = 6 \[\s+\(\.buf\.validate\.field\) = \{/);
    expect(request.stdout).toContain("[.restart.kubernetes.v1.object_name]: true");
    expect(request.stdout).toContain("bool validate_only = 8;");
  });

  // What a detail or an Any may hold, though no rpc names it.
  it.each(["google.rpc.ErrorInfo", "google.rpc.PreconditionFailure", "google.rpc.Help", "buf.validate.Violations"])(
    "describes %s",
    async (message) => {
      const { code, stdout } = await grpcurl(program.address, "describe", message);
      expect(code).toBe(0);
      expect(stdout).toContain(`${message} is a message:`);
    },
  );

  it("restarts, and watches until it is complete", async () => {
    await using configured = await startConfigured();
    const { controllers } = configured.backend;
    const curl = (rpc: string, options: RunOptions = {}) =>
      run(
        tool.path,
        ["-plaintext", "-d", JSON.stringify(WEB), configured.program.address, `${SERVICE}/${rpc}`],
        options,
      );
    await controllers.pause(); // until the watch is there, however long its client takes to start
    expect(await curl("Restart")).toMatchObject({ code: 0, stdout: "{}\n", stderr: "" });
    const { code, stdout } = await curl("WatchRollout", { began: () => void controllers.resume() });
    expect(code).toBe(0);
    const states = readMessages(stdout);
    expect(states.length).toBeGreaterThan(1);
    expect(states.at(-1)).toMatchObject({ state: "STATE_COMPLETE", message: WEB_DONE });
  });

  it("shows warnings among the headers", async () => {
    const { code, stdout } = await call(`${SERVICE}/Restart`, { ...WEB, name: "legacy" }, "-v");
    expect(code).toBe(0);
    expect(stdout).toContain("\nrestart-warning: RECREATE_DOWNTIME\n");
  });

  it("decodes error details", async () => {
    const { code, stdout, stderr } = await call(`${SERVICE}/Restart`, CHECKOUT, "-format-error");
    expect({ code, stdout }).toEqual({ code: 64 + 9, stdout: "" });
    expect(JSON.parse(stderr)).toEqual({
      code: 9,
      message: PAUSED,
      details: [
        typed("google.rpc.ErrorInfo", PAUSED_INFO),
        typed("google.rpc.PreconditionFailure", PAUSED_PRECONDITION),
      ],
    });
  });

  it("decodes the details of a wrong field", async () => {
    const { code, stderr } = await call(`${SERVICE}/Restart`, { ...WEB, name: "a/b" }, "-format-error");
    expect(code).toBe(64 + 3);
    expect(JSON.parse(stderr)).toMatchObject({
      code: 3,
      details: [
        typed("google.rpc.ErrorInfo", { reason: "INVALID_ARGUMENT" }),
        typed("google.rpc.BadRequest", { fieldViolations: [{ field: "name", reason: "KUBERNETES_OBJECT_NAME" }] }),
        typed("buf.validate.Violations", { violations: [{ ruleId: "kubernetes.object_name" }] }),
      ],
    });
  });

  it("asks for health: Check, List and Watch", async () => {
    const serving = { status: "SERVING" };
    const whole = await call("grpc.health.v1.Health/Check", {});
    expect(JSON.parse(whole.stdout)).toEqual(serving);
    const one = await call("grpc.health.v1.Health/Check", { service: SERVICE });
    expect(JSON.parse(one.stdout)).toEqual(serving);
    const all = await call("grpc.health.v1.Health/List", {});
    expect(JSON.parse(all.stdout)).toEqual({ statuses: Object.fromEntries(HEALTHY.map((name) => [name, serving])) });
    const unknown = await call("grpc.health.v1.Health/Check", { service: "nobody" }, "-format-error");
    expect(JSON.parse(unknown.stderr)).toMatchObject({ code: 5, message: 'no service "nobody" is served here' });
    const watch = await call("grpc.health.v1.Health/Watch", {}, "-max-time", "5");
    expect(JSON.parse(watch.stdout)).toEqual(serving);
    expect(watch.code).toBe(64 + 4); // it lasts until the deadline
  });
});
