import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunOptions, run } from "../support/command.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { descriptorSet } from "../support/descriptor-set.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { type Program, startProgram } from "../support/program.ts";
import {
  CHECKOUT,
  PAUSED,
  PAUSED_INFO,
  PAUSED_PRECONDITION,
  readMessages,
  SERVICE,
  SERVICES,
  WEB,
  WEB_DONE,
  workload,
} from "./calls.ts";
import { need } from "./tools.ts";

const buf = need("buf");

interface Wire {
  readonly name: string;
  readonly flags: readonly string[];
  /** The schema comes from a file. */
  readonly schema?: boolean;
  readonly protocol: string;
  readonly http: string;
}

const PRIOR = "--http2-prior-knowledge";

/** How buf speaks, and what our log calls it. It reflects over HTTP/2 alone, and then calls by that too: over HTTP/1.1 it needs a schema. */
const WIRES: readonly Wire[] = [
  { name: "connect over HTTP/1.1", flags: ["--protocol", "connect"], schema: true, protocol: "connect", http: "1.1" },
  { name: "connect over HTTP/2", flags: ["--protocol", "connect", PRIOR], protocol: "connect", http: "2.0" },
  { name: "grpc", flags: ["--protocol", "grpc"], protocol: "grpc", http: "2.0" },
  {
    name: "grpc without reflection",
    flags: ["--protocol", "grpc", PRIOR],
    schema: true,
    protocol: "grpc",
    http: "2.0",
  },
  { name: "grpcweb over HTTP/1.1", flags: ["--protocol", "grpcweb"], schema: true, protocol: "grpc-web", http: "1.1" },
  { name: "grpcweb over HTTP/2", flags: ["--protocol", "grpcweb", PRIOR], protocol: "grpc-web", http: "2.0" },
];

let program: Program;
/** A cluster whose rollouts wait for the test. */
let configured: Configured;
let folder: Folder;
let schema: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  schema = join(folder.path, "schema.binpb");
  await writeFile(schema, descriptorSet());
  [program, configured] = await Promise.all([startProgram(), startConfigured()]);
});

afterAll(async () => {
  await program[Symbol.asyncDispose]();
  await configured[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const callOf = (one: Program, rpc: string, message: object, flags: readonly string[], options: RunOptions = {}) =>
  run(buf.path, ["curl", ...flags, "-d", JSON.stringify(message), `${one.url}/${SERVICE}/${rpc}`], options);

const call = (rpc: string, message: object, flags: readonly string[]) => callOf(program, rpc, message, flags);

describe.skipIf(buf.missing).each(WIRES)("buf curl: $name", (wire) => {
  const { protocol, http } = wire;
  const flags = () => (wire.schema ? [...wire.flags, "--schema", schema] : wire.flags);
  const curl = (rpc: string, message: object) => call(rpc, message, flags());

  it("restarts, and watches until it is complete", async () => {
    const { program: one, backend } = configured;
    const before = one.log.length;
    const web = (rpc: string, options: RunOptions = {}) => callOf(one, rpc, WEB, flags(), options);
    const logged = (rpc: string) =>
      one.line((line) => one.log.indexOf(line) >= before && line.method === `${SERVICE}/${rpc}` && line.msg === "call");
    await backend.controllers.pause(); // until the watch is there, however long its client takes to start
    expect(await web("Restart")).toMatchObject({ code: 0, stdout: "{}\n", stderr: "" });
    expect(await logged("Restart")).toMatchObject({ protocol, http, outcome: "applied" });

    const watched = await web("WatchRollout", { began: () => void backend.controllers.resume() });
    expect(watched).toMatchObject({ code: 0, stderr: "" });
    const states = readMessages(watched.stdout);
    expect(states.length).toBeGreaterThan(1);
    expect(states.at(-1)).toMatchObject({ ...WEB, state: "STATE_COMPLETE", message: WEB_DONE, updated: 3 });
    expect(await logged("WatchRollout")).toMatchObject({
      protocol: protocol === "connect" ? "connect-stream" : protocol,
      http,
    });

    const rollout = await web("GetRollout");
    expect(rollout).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(rollout.stdout)).toMatchObject({ ...WEB, desired: 3, restartedAt: expect.stringMatching(/Z$/) });
    expect(await logged("GetRollout")).toMatchObject({ protocol, http });
  });

  it("lists clusters and workloads", async () => {
    const clusters = await curl("ListClusters", {});
    expect(JSON.parse(clusters.stdout)).toEqual({
      clusters: [{ name: "sandbox", reachable: true, serverVersion: "v1.36.3" }],
    });
    const { stdout } = await curl("ListWorkloads", { cluster: "sandbox", pageSize: 500 });
    const { workloads } = JSON.parse(stdout);
    expect(workloads.map(({ resource, name }: Record<string, string>) => `${resource}/${name}`)).toEqual([
      "deployments/checkout",
      "deployments/legacy",
      "deployments/stuck",
      "deployments/web",
      "statefulsets/archive",
      "statefulsets/db",
      "daemonsets/agent",
      "rollouts/canary",
    ]);
  });

  it("shows errors with their details", async () => {
    const { code, stdout, stderr } = await curl("Restart", CHECKOUT);
    expect({ code, stdout }).toEqual({ code: 72, stdout: "" }); // FAILED_PRECONDITION is 9, times 8
    const error = JSON.parse(stderr);
    expect(error).toMatchObject({ code: "failed_precondition", message: PAUSED });
    expect(error.details.map(({ type }: { type: string }) => type)).toEqual([
      "google.rpc.ErrorInfo",
      "google.rpc.PreconditionFailure",
    ]);
    if (protocol === "connect") {
      expect(error.details).toMatchObject([{ debug: PAUSED_INFO }, { debug: PAUSED_PRECONDITION }]);
    }
  });

  it("shows the error that ends a stream", async () => {
    const { code, stderr } = await curl("WatchRollout", workload("nothing"));
    expect(code).toBe(40);
    expect(JSON.parse(stderr)).toMatchObject({
      code: "not_found",
      details: [{ type: "google.rpc.ErrorInfo" }, { type: "google.rpc.ResourceInfo" }],
    });
  });
});

describe.skipIf(buf.missing)("buf curl by reflection", () => {
  it.each([
    ["grpc-v1", []],
    ["grpc-v1", ["--http2-prior-knowledge"]],
    ["grpc-v1alpha", []],
  ])("lists services: %s %j", async (reflection, flags) => {
    const args = ["curl", "--list-services", "--reflect-protocol", reflection, ...flags, program.url];
    expect(await run(buf.path, args)).toMatchObject({ code: 0, stdout: `${SERVICES.join("\n")}\n`, stderr: "" });
  });

  it.each(["grpc-v1", "grpc-v1alpha"])("lists methods: %s", async (reflection) => {
    const args = ["curl", "--list-methods", "--reflect-protocol", reflection, program.url];
    const { code, stdout } = await run(buf.path, args);
    expect(code).toBe(0);
    expect(stdout.split("\n").filter((line) => line.startsWith(SERVICE))).toEqual(
      ["GetRollout", "ListClusters", "ListWorkloads", "Restart", "WatchRollout"].map((rpc) => `${SERVICE}/${rpc}`),
    );
  });

  it("calls by v1alpha alone", async () => {
    expect(await call("GetRollout", WEB, ["--reflect-protocol", "grpc-v1alpha"])).toMatchObject({
      code: 0,
      stderr: "",
    });
  });

  it("knows a mistyped field before it calls", async () => {
    const { code, stderr } = await call("Restart", { ...WEB, validateonly: true }, []);
    expect(code).not.toBe(0);
    expect(stderr).toContain("validateonly");
  });
});
