import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { delimiter } from "node:path";
import { text } from "node:stream/consumers";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigSchema } from "../../gen/restart/config/v1/config_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import manifest from "../../package.json" with { type: "json" };
import { sandboxWorld } from "../../src/targets/kubernetes/simulator.ts";
import { createAuthority } from "../cluster/certificates.ts";
import { send } from "../server/fixture.ts";
import { run } from "../support/command.ts";
import { temporaryFolder } from "../support/folder.ts";
import type { LogLine } from "../support/log.ts";
import { type Program, runProgram, startProgram } from "../support/program.ts";
import { startSimulatorBackend } from "../support/simulator-backend.ts";
import { CHECKOUT, PAUSED, SERVICE, WEB } from "./calls.ts";

/** What a configuration may have at its top. */
const SECTIONS = ConfigSchema.fields.map(({ name }) => name).join(", ");

const clientOf = (url: string) => createClient(WorkloadService, createGrpcTransport({ baseUrl: url }));

const JSON_CALL = { "content-type": "application/json" };

const VERSION_LINE = new RegExp(
  `^restartd ${manifest.version.replaceAll(".", "\\.")} \\(from its sources, Node v24\\.\\d+\\.\\d+\\)\n$`,
);

describe("first run", () => {
  it("serves the sandbox, and says so in one line", async () => {
    await using program = await startProgram();
    process.stderr.write(`\n  restartd was ready after ${Math.round(program.readyMs)} ms\n`);
    expect(program.readyMs).toBeLessThan(15_000);
    await program.line(({ msg }) => msg === "ready");
    const { clusters } = await clientOf(program.url).listClusters({});
    expect(clusters).toMatchObject([{ name: "sandbox", reachable: true, serverVersion: "v1.36.3" }]);
    await clientOf(program.url).restart(WEB);
    expect(await program.stop()).toBe(0);
    expect(program.stdout).toEqual([`restartd listening on ${program.url}`, `console: ${program.url}/console/`]);
    expect(program.log[0]).toMatchObject({ level: "info", source: "sandbox", url: program.url, msg: "ready" });
    expect(program.log[0]?.try).toMatch(
      /^npx buf curl -d '\{.*\}' http:\/\/127.0.0.1:\d+\/restart\.kubernetes\.v1\.\S+$/,
    );
    expect(program.log.at(-1)).toMatchObject({ signal: "SIGTERM", msg: "shutting down" });
  });

  it("leaves no file behind", async () => {
    await using folder = await temporaryFolder();
    await using program = await startProgram(["--listen", "127.0.0.1:0"], { TMPDIR: folder.path });
    expect(await readdir(folder.path)).toHaveLength(1);
    expect(await program.stop("SIGINT")).toBe(0);
    expect(await readdir(folder.path)).toEqual([]);
  });

  it("runs by npm, whatever Node npm runs on", async () => {
    // npm itself puts node_modules/.bin into the PATH of its scripts.
    const { PATH = "" } = process.env;
    const outside = PATH.split(":").filter((folder) => !folder.endsWith("node_modules/.bin"));
    const { code, stdout, stderr } = await run("npm", ["start", "--silent", "--", "--version"], {
      env: { PATH: outside.join(":") },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(VERSION_LINE);
  });
});

/** A call, and the line that the log has for it: with `code` and `reason`. */
interface LoggedCall {
  readonly what: string;
  readonly http?: 1 | 2;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly line: LogLine;
}

const RESTART = `/${SERVICE}/Restart`;
const REFUSED = { method: `${SERVICE}/Restart`, outcome: "not_applied" };
const TARGET = "clusters/sandbox/apps/v1/namespaces/shop/deployments";

const LOGGED: readonly LoggedCall[] = [
  {
    what: "one that is applied",
    path: RESTART,
    body: JSON.stringify(WEB),
    line: { method: `${SERVICE}/Restart`, outcome: "applied", code: "ok", target: `${TARGET}/web` },
  },
  {
    what: "one over HTTP/2",
    http: 2,
    path: `/${SERVICE}/GetRollout`,
    body: JSON.stringify(WEB),
    line: { method: `${SERVICE}/GetRollout`, http: "2.0", outcome: "not_applied", code: "ok", target: `${TARGET}/web` },
  },
  {
    what: "one that is refused",
    path: RESTART,
    body: JSON.stringify(CHECKOUT),
    line: { ...REFUSED, code: "failed_precondition", reason: "PAUSED", target: `${TARGET}/checkout` },
  },
  {
    what: "one with a wrong field",
    path: RESTART,
    body: JSON.stringify({ ...WEB, name: "a/b" }),
    line: { ...REFUSED, code: "invalid_argument", reason: "INVALID_ARGUMENT" },
  },
  {
    what: "one with a field that nobody knows",
    path: RESTART,
    body: JSON.stringify({ ...WEB, validateonly: true }),
    line: { ...REFUSED, code: "invalid_argument", reason: "INVALID_ARGUMENT" },
  },
  {
    what: "one that cannot be read",
    path: RESTART,
    body: "{",
    line: { ...REFUSED, code: "invalid_argument", reason: "MALFORMED_REQUEST" },
  },
  {
    what: "one that is too large",
    path: RESTART,
    body: JSON.stringify({ ...WEB, reason: "x".repeat(100_000) }),
    line: { ...REFUSED, code: "resource_exhausted", reason: "REQUEST_TOO_LARGE" },
  },
  {
    what: "one with a wrong content type",
    path: RESTART,
    headers: { "content-type": "text/plain" },
    body: "hello",
    line: { ...REFUSED, code: "unimplemented", reason: "UNSUPPORTED_PROTOCOL" },
  },
  {
    what: "one with a wrong method",
    method: "PUT",
    path: RESTART,
    body: "{}",
    line: { ...REFUSED, code: "unimplemented", reason: "UNSUPPORTED_PROTOCOL" },
  },
  {
    what: "one of an rpc that is not there",
    path: `/${SERVICE}/Restrat`,
    body: "{}",
    line: { method: `/${SERVICE}/Restrat`, outcome: "not_applied", code: "unimplemented", reason: "UNKNOWN_PROCEDURE" },
  },
  {
    what: "one that names us by a rebound name",
    path: RESTART,
    headers: { ...JSON_CALL, host: "rebound.example" },
    body: JSON.stringify(WEB),
    line: { ...REFUSED, code: "permission_denied", reason: "HOST_NOT_ALLOWED" },
  },
  {
    what: "one whose deadline has passed",
    path: RESTART,
    headers: { ...JSON_CALL, "connect-timeout-ms": "0" },
    body: JSON.stringify(WEB),
    line: { ...REFUSED, code: "deadline_exceeded", reason: "DEADLINE_EXCEEDED" },
  },
];

describe("log", () => {
  let program: Program;

  beforeAll(async () => {
    program = await startProgram();
    await program.line(({ msg }) => msg === "ready");
  });

  afterAll(() => program[Symbol.asyncDispose]());

  const calls = () => program.log.filter(({ msg }) => msg === "call");

  it.each(LOGGED)("has one line for $what", async ({ http = 1, line, headers = JSON_CALL, what: _, ...request }) => {
    const before = calls();
    await send(http, program.url, { headers, ...request });
    await program.line((entry) => entry.msg === "call" && !before.includes(entry));
    expect(calls().slice(before.length)).toEqual([
      expect.objectContaining({
        level: "info",
        http: "1.1",
        ...line,
        request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        duration_ms: expect.any(Number),
      }),
    ]);
  });

  it("has one line for what is no HTTP", async () => {
    const before = calls();
    const socket = connect(Number(new URL(program.url).port), "127.0.0.1");
    socket.write("HELO example.com\r\n\r\n");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 /);
    await program.stop();
    expect(calls().slice(before.length)).toMatchObject([
      { code: "invalid_argument", reason: "MALFORMED_REQUEST", outcome: "not_applied" },
    ]);
    expect(before).toHaveLength(LOGGED.length);
  });
});

describe("command line", () => {
  it("explains itself", async () => {
    const help = await runProgram(["--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    for (const option of ["--config FILE", "--kubeconfig FILE", "--listen HOST:PORT", "--version", "--help"]) {
      expect(help.stdout).toContain(`\n  ${option} `);
    }
    expect(await runProgram(["-h"])).toEqual(help);
  });

  it("tells its version", async () => {
    const { code, stdout, stderr } = await runProgram(["--version"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(VERSION_LINE);
    const commit = "0123456789abcdef0123456789abcdef01234567";
    const built = await runProgram(["--version"], { RESTARTD_COMMIT: commit });
    expect(built.stdout).toBe(stdout.replace("from its sources", `commit ${commit}`));
  });

  it.each([
    [["--verbose"], "Unknown option '--verbose'"],
    [["restrt", "deployment/web"], 'there is no command "restrt"; did you mean restart?'],
    [["sandbox"], 'there is no command "sandbox"'],
    [["--listen"], "Option '--listen <value>' argument missing"],
    [["--config="], "--config needs a value"],
    [["--version=1"], "Option '--version' does not take an argument"],
    [
      ["--config", "a", "--kubeconfig", "b"],
      "--config and --kubeconfig exclude each other: a configuration can name kubeconfig files itself",
    ],
  ])("refuses %j", async (args, message) => {
    expect(await runProgram(args)).toMatchObject({
      code: 2,
      stdout: "",
      stderr: `restartd: ${message}\nTry: npm start -- --help\n`,
    });
  });

  it.each([
    [
      ["--listen", "0.0.0.0:0"],
      '--listen: must be a loopback address (127.0.0.0/8, [::1] or localhost) as long as calls are not authenticated, but is "0.0.0.0:0"',
    ],
    [["--listen", "8080"], '--listen: must be HOST:PORT, such as 127.0.0.1:8080, but is "8080"'],
    [["--config", "no/such/file.yaml"], "no/such/file.yaml: cannot be read: no such file or directory"],
    [["--kubeconfig", "no/such/file"], "no/such/file: cannot be read: no such file or directory"],
  ])("refuses %j as a configuration", async (args, message) => {
    expect(await runProgram(args)).toMatchObject({
      code: 2,
      stdout: "",
      stderr: `1 mistake in the configuration:\n  ${message}\n`,
    });
  });

  it("ends when its port is taken", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const { code, stdout, stderr } = await runProgram(["--listen", `127.0.0.1:${port}`]);
    other.close();
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(JSON.parse(stderr)).toMatchObject({
      level: "fatal",
      msg: "cannot start",
      detail: "the port is taken; choose another by --listen HOST:PORT, or by admin.listen where it is that one's",
      cause: { message: `listen EADDRINUSE: address already in use 127.0.0.1:${port}` },
    });
  });
});

const TEN_MISTAKES = `listen: 10.0.0.1:8080
cros:
  allowed_origins: [http://localhost:5173]
cors: { allowed_origins: [http://localhost:5173, https://a/b] }
deadline: { default: 60, max: 100000s }
kubernetes:
  field_manager: ""
  clusters:
    - { name: prod, kubeconfig: prod.kubeconfig, context: admin@prod }
    - name: prod 2
      in_cluster: yes
log_level: debug
`;

describe("--config", () => {
  it("reports ten mistakes at once and starts nothing", async () => {
    await using folder = await temporaryFolder();
    const file = await folder.write("restartd.yaml", TEN_MISTAKES);
    const { code, stdout, stderr } = await runProgram(["--config", file]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.replaceAll(folder.path, "").split("\n")).toEqual([
      "10 mistakes in the configuration:",
      '  /restartd.yaml:1:9: listen: must be a loopback address (127.0.0.0/8, [::1] or localhost) as long as calls are not authenticated, but is "10.0.0.1:8080"',
      `  /restartd.yaml:2:1: cros: is not a known key; known here: ${SECTIONS}`,
      '  /restartd.yaml:4:50: cors.allowed_origins[1]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "https://a/b"',
      "  /restartd.yaml:5:22: deadline.default: must be a duration, such as 60s or 1h30m, but is 60",
      '  /restartd.yaml:5:31: deadline.max: must be greater than or equal to 0.001s and less than or equal to 86400s, but is "100000s"',
      '  /restartd.yaml:7:18: kubernetes.field_manager: must be 1 to 128 printable ASCII characters, but is ""',
      "  /restartd.yaml:9:33: kubernetes.clusters[0].kubeconfig: /prod.kubeconfig cannot be read: no such file or directory",
      '  /restartd.yaml:10:13: kubernetes.clusters[1].name: must be a configured cluster\'s name: printable ASCII characters without spaces, at most 253, but is "prod 2"',
      '  /restartd.yaml:11:19: kubernetes.clusters[1].in_cluster: must be true or false, but is "yes"',
      `  /restartd.yaml:12:1: log_level: is not a known key; known here: ${SECTIONS}`,
      "",
    ]);
  });

  it("serves what a file in the published form says", async () => {
    await using backend = await startSimulatorBackend({ world: sandboxWorld });
    await using folder = await temporaryFolder();
    await folder.write("prod.kubeconfig", backend.simulator.kubeconfig());
    const file = await folder.write(
      "restartd.yaml",
      `listen: 127.0.0.1:0
cors: { allowed_origins: [http://localhost:5173] }
deadline: { default: 60s, max: 600s }           # a longer one is shortened to max; streams have none
kubernetes:
  field_manager: restartd                       # default
  clusters:
    - { name: prod, kubeconfig: prod.kubeconfig, context: patcher }   # context: default the file's current one
    - { name: here, in_cluster: true }
`,
    );
    // As in a pod whose API server is away.
    await using program = await startProgram(["--config", file], {
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: "1",
    });
    const { clusters } = await clientOf(program.url).listClusters({});
    expect(clusters).toMatchObject([
      { name: "here", reachable: false, serverVersion: "" },
      { name: "prod", reachable: true, serverVersion: "v1.36.3" },
    ]);
    await clientOf(program.url).restart({ ...WEB, cluster: "prod" });
    const written = backend.simulator.requests.find(({ method }) => method === "PATCH");
    expect(written).toMatchObject({ user: "patcher", path: expect.stringContaining("fieldManager=restartd&") });
  });
});

describe("--kubeconfig", () => {
  it("serves every context as a cluster", async () => {
    await using backend = await startSimulatorBackend();
    await using program = await startProgram(["--kubeconfig", backend.kubeconfig, "--listen", "127.0.0.1:0"]);
    const { clusters } = await clientOf(program.url).listClusters({});
    expect(clusters.map(({ name, reachable }) => `${name} ${reachable}`)).toEqual([
      "admin true",
      "blind true",
      "intruder false",
      "nobody true",
      "patcher true",
      "reader true",
    ]);
    await program.line(({ msg }) => msg === "ready");
    expect(program.log[0]).toMatchObject({ source: "kubeconfig" });
    expect(program.log[0]).not.toHaveProperty("try");
  });

  it("serves what several files say together, by the system's authorities where they name none", async () => {
    await using folder = await temporaryFolder();
    const authority = createAuthority("system");
    const { key, cert } = authority.issue({ commonName: "api", usage: "server", hosts: ["127.0.0.1"] });
    await using backend = await startSimulatorBackend({ tls: { key, cert: cert + authority.cert } });
    const { clusters, users } = JSON.parse(backend.simulator.kubeconfig());
    const { server } = clusters[0].cluster;
    const a = await folder.write(
      "a",
      JSON.stringify({ users, contexts: [{ name: "a", context: { cluster: "c", user: "admin" } }] }),
    );
    const b = await folder.write("b", JSON.stringify({ clusters: [{ name: "c", cluster: { server } }] }));
    const args = ["--kubeconfig", [a, b, `${a}-missing`].join(delimiter), "--listen", "127.0.0.1:0"];
    const env = { NODE_EXTRA_CA_CERTS: "", SSL_CERT_FILE: await folder.write("ca.pem", authority.cert) };
    const reachable = async (more: Record<string, string>): Promise<unknown> => {
      await using program = await startProgram(args, more);
      return (await clientOf(program.url).listClusters({})).clusters.map((cluster) => [
        cluster.name,
        cluster.reachable,
      ]);
    };
    expect(await reachable(env)).toEqual([["a", true]]);
    expect(await reachable({ ...env, SSL_CERT_FILE: "" })).toEqual([["a", false]]);
  });

  it("refuses a file of which nothing can be used, with line and field", async () => {
    await using folder = await temporaryFolder();
    const file = await folder.kubeconfig({ server: "https://10.0.0.1" }, { token: "T", "as-groups": ["g"] });
    const { code, stderr } = await runProgram(["--kubeconfig", file]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/:\d+:\d+: users\[0\]\.user\.as-groups: must have as beside it/);
  });
});

describe("Host and Origin", () => {
  const call = { path: RESTART, body: JSON.stringify(CHECKOUT) };
  let program: Program;

  beforeAll(async () => {
    program = await startProgram();
  });

  afterAll(() => program[Symbol.asyncDispose]());

  it.each([
    [1, "rebound.example"],
    [1, "127.0.0.1.rebound.example"],
    [2, "rebound.example"],
    [2, "[::2]:80"],
  ] as const)("over HTTP/%d a page that reached us through the name %s gets nothing", async (http, host) => {
    const { status, headers, body } = await send(http, program.url, { ...call, headers: { ...JSON_CALL, host } });
    expect(status).toBe(403);
    expect(JSON.parse(body.toString())).toMatchObject({
      code: "permission_denied",
      message: `the request has Host ${JSON.stringify(host)}: use 127.0.0.1, [::1] or localhost, this server answers on loopback only`,
    });
    expect(headers).not.toHaveProperty("access-control-allow-origin");
  });

  it.each([
    [1, "http://127.0.0.1:5173"],
    [2, "null"],
    [1, "https://rebound.example"],
  ] as const)("over HTTP/%d a page of %s gets nothing", async (http, origin) => {
    const { status, body } = await send(http, program.url, { ...call, headers: { ...JSON_CALL, origin } });
    expect(status).toBe(403);
    expect(JSON.parse(body.toString())).toMatchObject({
      code: "permission_denied",
      message: `origin "${origin}" is not allowed: add it to cors.allowed_origins`,
    });
  });

  it.each(["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:80"])("a call to %s is served", async (host) => {
    const { body } = await send(1, program.url, { ...call, headers: { ...JSON_CALL, host } });
    expect(JSON.parse(body.toString())).toMatchObject({ message: PAUSED });
  });
});
