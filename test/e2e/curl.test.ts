import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../support/command.ts";
import { type Program, startProgram } from "../support/program.ts";
import { CHECKOUT, PAUSED, PAUSED_INFO, PAUSED_PRECONDITION, SERVICE, WEB, workload } from "./calls.ts";
import { need } from "./tools.ts";

const curl = need("curl");

let program: Program;

beforeAll(async () => {
  program = await startProgram();
});

afterAll(() => program[Symbol.asyncDispose]());

/** What curl got. */
interface Got {
  readonly status: string;
  readonly headers: Headers;
  readonly body: string;
}

async function get(rpc: string, ...args: readonly string[]): Promise<Got> {
  const { code, stdout, stderr } = await run(curl.path, ["-sS", "-i", ...args, `${program.url}/${SERVICE}/${rpc}`]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [head = "", ...rest] = stdout.split("\r\n\r\n");
  const [status = "", ...lines] = head.split("\r\n");
  const fields = lines.map((line): [string, string] => [line.split(":", 1)[0] ?? "", line.replace(/^[^:]*: ?/, "")]);
  return { status: status.trim(), headers: new Headers(fields), body: rest.join("\r\n\r\n") };
}

const post = (rpc: string, message: object | string, ...args: readonly string[]) => {
  const body = typeof message === "string" ? message : JSON.stringify(message);
  return get(rpc, "-H", "content-type: application/json", "-d", body, ...args);
};

/** `?connect=v1&encoding=json&message=...` */
const query = (message: object) => [
  "-G",
  ...["connect=v1", "encoding=json", `message=${JSON.stringify(message)}`].flatMap((part) => [
    "--data-urlencode",
    part,
  ]),
];

const VERSIONS = [
  { http: "HTTP/1.1", flag: "--http1.1", ok: "HTTP/1.1 200 OK" },
  { http: "HTTP/2", flag: "--http2-prior-knowledge", ok: "HTTP/2 200" },
] as const;

describe.skipIf(curl.missing).each(VERSIONS)("curl over $http", ({ flag, ok }) => {
  it("restarts by a POST of JSON", async () => {
    const { status, headers, body } = await post("Restart", WEB, flag);
    expect({ status, body }).toEqual({ status: ok, body: "{}" });
    expect(headers.get("content-type")).toBe("application/json");
    expect(headers.get("operation-name")).toMatch(/^operations\/[0-9a-f-]{36}$/);
    expect(headers.get("restart-warning")).toBeNull();
  });

  it("reads the warnings of a restart", async () => {
    const { status, headers } = await post("Restart", workload("legacy"), flag);
    expect(status).toBe(ok);
    expect(headers.get("restart-warning")).toBe("RECREATE_DOWNTIME");
  });

  it.each([
    ["GetRollout", WEB, { ...WEB, state: expect.stringMatching(/^STATE_/), desired: 3 }],
    ["ListClusters", {}, { clusters: [{ name: "sandbox", reachable: true }] }],
    ["ListWorkloads", { cluster: "sandbox", pageSize: 1 }, { workloads: [{ name: "checkout", paused: true }] }],
  ])("reads by GET: %s", async (rpc, message, answer) => {
    const { status, headers, body } = await get(rpc, flag, ...query(message));
    expect(status).toBe(ok);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(JSON.parse(body)).toMatchObject(answer);
  });

  it("does not restart by GET", async () => {
    const before = JSON.parse((await post("GetRollout", WEB, flag)).body);
    const { status, headers, body } = await get("Restart", flag, ...query(WEB));
    expect(status).toMatch(/ 405\b/);
    expect(headers.get("allow")).toBe("POST");
    expect(JSON.parse(body)).toMatchObject({
      code: "unimplemented",
      message: `${SERVICE}/Restart is not called with GET: use POST`,
      details: [{ type: "google.rpc.ErrorInfo", debug: { reason: "UNSUPPORTED_PROTOCOL" } }],
    });
    const after = JSON.parse((await post("GetRollout", WEB, flag)).body);
    expect(after.generation).toBe(before.generation);
  });

  it("gets an error with its details", async () => {
    const { status, body } = await post("Restart", CHECKOUT, flag);
    expect(status).toMatch(/ 400\b/);
    expect(JSON.parse(body)).toEqual({
      code: "failed_precondition",
      message: PAUSED,
      details: [
        { type: "google.rpc.ErrorInfo", debug: PAUSED_INFO, value: expect.stringMatching(/^[\w+/]+$/) },
        {
          type: "google.rpc.PreconditionFailure",
          debug: PAUSED_PRECONDITION,
          value: expect.stringMatching(/^[\w+/]+$/),
        },
      ],
    });
  });

  it("gets every wrong field at once", async () => {
    const { status, body } = await post("Restart", { resource: "deployments/scale", name: ".." }, flag);
    expect(status).toMatch(/ 400\b/);
    const { code, details } = JSON.parse(body);
    expect(code).toBe("invalid_argument");
    const badRequest = details.find(({ type }: { type: string }) => type === "google.rpc.BadRequest");
    expect(badRequest.debug.fieldViolations.map(({ field }: { field: string }) => field)).toEqual([
      "cluster",
      "version",
      "resource",
      "namespace",
      "name",
    ]);
  });

  it.each([
    [/ 400\b/, "{", "invalid_argument", "MALFORMED_REQUEST"],
    [/ 400\b/, { ...WEB, validateonly: true }, "invalid_argument", "INVALID_ARGUMENT"],
    [/ 404\b/, workload("nothing"), "not_found", "TARGET_NOT_FOUND"],
    [/ 404\b/, { ...WEB, cluster: "sandbx" }, "not_found", "CLUSTER_NOT_FOUND"],
    [/ 400\b/, { ...WEB, requestId: "mine" }, "invalid_argument", "INVALID_ARGUMENT"],
  ])("gets %s for %j", async (status, message, code, reason) => {
    const answer = await post("Restart", message, flag);
    expect(answer.status).toMatch(status);
    expect(JSON.parse(answer.body)).toMatchObject({
      code,
      details: [
        { debug: { reason, metadata: { outcome: "not_applied" } } },
        ...JSON.parse(answer.body).details.slice(1),
      ],
    });
  });
});
