import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Operation, OperationSchema, Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema, PreconditionFailureSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { InstanceService } from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { ProjectService } from "../../gen/restart/huaweicloud/v1/project_service_pb.ts";
import { Rollout_State } from "../../gen/restart/kubernetes/v1/workload_pb.ts";
import { type RestartRequest, WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import {
  RestartMetadata_Outcome as Outcome,
  RestartMetadataSchema,
  RestartMetadata_State as State,
} from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import type { ClientContext } from "../../src/commands/client.ts";
import { runClient } from "../../src/commands/index.ts";
import { CLIENT_COMMANDS } from "../../src/commands/table.ts";

const ID = "6f0a4c1e-9f0b-4a55-8a0e-0d7b5c1f2e11";
const NAME = `operations/${ID}`;
const PROJECT = "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";
const TARGET = "clusters/sandbox/apps/v1/namespaces/default/deployments/web";

/** A server whose answers a test makes up. */
interface World {
  restart(request: RestartRequest, context: HandlerContext): void;
  watch(signal: AbortSignal): AsyncIterable<Operation>;
}

let world: World;
let server: Server;
let restarts: RestartRequest[];
let acknowledged: boolean[];
let gotten: Operation | undefined;
let instances: { instanceId: string; name: string }[];
let address: string;

const failure = (
  reason: string,
  code: Code,
  outcome: string,
  message = "no",
  preconditions: string[] = [],
  more: Record<string, string> = {},
) =>
  new ConnectError(message, code, {}, [
    { desc: ErrorInfoSchema, value: { reason, domain: "restartd", metadata: { outcome, ...more } } },
    ...(preconditions.length === 0
      ? []
      : [
          {
            desc: PreconditionFailureSchema,
            value: { violations: preconditions.map((description) => ({ description })) },
          },
        ]),
  ]);

function operation(state: State, outcome: Outcome, reason = "", progress = "", warnings: string[] = []): Operation {
  const error = create(StatusSchema, {
    code: 9,
    message: "it went wrong",
    details: [
      anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: "restartd", metadata: { outcome: "x" } })),
    ],
  });
  return create(OperationSchema, {
    name: NAME,
    done: state >= State.SUCCEEDED && state !== State.UNKNOWN,
    metadata: anyPack(
      RestartMetadataSchema,
      create(RestartMetadataSchema, { target: TARGET, state, outcome, progress, warnings }),
    ),
    result: reason === "" ? { case: undefined } : { case: "error", value: error },
  });
}

const routes = (router: ConnectRouter): void => {
  router.service(WorkloadService, {
    restart(request, context) {
      restarts.push(request);
      world.restart(request, context);
      context.responseHeader.set("operation-name", NAME);
      return {};
    },
    listClusters: () => ({ clusters: [{ name: "sandbox", reachable: true }] }),
    async *watchRollout() {
      yield { state: Rollout_State.COMPLETE, message: "done" };
    },
    listWorkloads: () => ({
      workloads: ["a", "b"].map((name) => ({
        group: "apps",
        version: "v1",
        resource: "deployments",
        namespace: "default",
        name,
        restartedAt: name === "a" ? "1969-12-31T23:55:00Z" : "by hand",
      })),
    }),
  });
  router.service(Operations, {
    getOperation() {
      if (gotten === undefined) throw new ConnectError("nobody knows", Code.Unavailable);
      return gotten;
    },
  });
  router.service(OperationService, { watchOperation: (_, { signal }) => world.watch(signal) });
  router.service(ProjectService, {
    listProjects: ({ pageToken }) =>
      pageToken === ""
        ? { projects: [{ projectId: "another", services: ["cse"] }], nextPageToken: "more" }
        : { projects: [{ projectId: PROJECT, services: ["dcs"] }] },
  });
  router.service(InstanceService, {
    listInstances: () => ({ instances }),
    flushInstances({ acknowledgeDataLoss }) {
      acknowledged.push(acknowledgeDataLoss);
      if (!acknowledgeDataLoss) {
        const sentence = "it loses everything";
        throw failure("DATA_LOSS_NOT_ACKNOWLEDGED", Code.FailedPrecondition, "not_applied", "no", [sentence]);
      }
      return { results: [{ instanceId: "i-1", result: "success", operation: NAME }] };
    },
  });
};

beforeEach(async () => {
  restarts = [];
  acknowledged = [];
  gotten = undefined;
  instances = [{ instanceId: "i-1", name: "dcs-cache" }];
  world = {
    restart: () => {},
    async *watch() {
      yield operation(State.SUCCEEDED, Outcome.APPLIED, "", 'deployment "web" successfully rolled out; 1 left');
    },
  };
  server = createServer(connectNodeAdapter({ routes }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function run(args: readonly string[], context: Partial<ClientContext> = {}) {
  let [stdout, stderr] = ["", ""];
  const waits: number[] = [];
  const code = await runClient(args, {
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    now: () => 0,
    newId: () => crypto.randomUUID(),
    env: { RESTARTD_ADDRESS: address },
    interrupted: new AbortController().signal,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      waits.push(ms);
    },
    colors: false,
    ...context,
  });
  return { code, stdout, stderr, waits };
}

const WEB = ["restart", "deployment/web"];

describe("exit codes", () => {
  it("0 when it was applied, without and with the wait for its end", async () => {
    expect(await run(WEB)).toMatchObject({ code: 0, stdout: "deployment.apps/web restarted\n", stderr: "" });
    expect(await run([...WEB, "--wait"])).toMatchObject({
      code: 0,
      stdout: 'deployment.apps/web restarted\ndeployment "web" successfully rolled out\n',
    });
    expect((await run([...WEB, "--dry-run"])).stdout).toBe("deployment.apps/web restarted (server dry run)\n");
    expect(restarts.map(({ validateOnly }) => validateOnly)).toEqual([false, false, true]);
  });

  it.each([
    ["PAUSED", Code.FailedPrecondition, "not_applied", 1],
    ["TARGET_NOT_FOUND", Code.NotFound, "not_applied", 1],
    ["RBAC_DENIED", Code.PermissionDenied, "not_applied", 1],
    ["PROGRESS_DEADLINE_EXCEEDED", Code.FailedPrecondition, "applied", 3],
    ["VENDOR_JOB_FAILED", Code.Internal, "applied", 3],
    ["UNAUTHENTICATED", Code.Unauthenticated, "not_applied", 4],
    ["PERMISSION_DENIED", Code.PermissionDenied, "not_applied", 4],
    ["OUTCOME_UNKNOWN", Code.Unknown, "unknown", 5],
    ["OPERATION_IN_PROGRESS", Code.Aborted, "not_applied", 7],
    ["THROTTLED", Code.ResourceExhausted, "not_applied", 7],
    ["RATE_LIMITED", Code.ResourceExhausted, "not_applied", 7],
    ["FROZEN", Code.FailedPrecondition, "not_applied", 1],
    ["QUEUE_FULL", Code.ResourceExhausted, "not_applied", 7],
    ["CONFLICT", Code.Aborted, "not_applied", 7],
    ["CLUSTER_UNREACHABLE", Code.Unavailable, "not_applied", 7],
    ["STORE_UNAVAILABLE", Code.Unavailable, "not_applied", 7],
    ["SHUTTING_DOWN", Code.Unavailable, "not_applied", 7],
  ])("of a call that fails with %s", async (reason, code, outcome, exit) => {
    world.restart = () => {
      throw failure(reason, code, outcome, "no\u001b[2J");
    };
    const { code: got, stdout, stderr } = await run(WEB);
    expect({ got, stdout }).toEqual({ got: exit, stdout: "" });
    expect(stderr).toContain(`error: deployment.apps/web: ${reason}: no\\u001b[2J\n`);
    expect(stderr.includes("nothing was changed\n")).toBe(outcome === "not_applied");
    expect(restarts).toHaveLength(1);
  });

  it.each([
    ["SUCCEEDED", "APPLIED", "", 0],
    ["FAILED", "APPLIED", "PROGRESS_DEADLINE_EXCEEDED", 3],
    ["FAILED", "APPLIED", "ROLLOUT_SUPERSEDED", 3],
    ["FAILED", "NOT_APPLIED", "ADMISSION_DENIED", 1],
    ["CANCELLED", "NOT_APPLIED", "CANCELLED", 1],
    ["NOT_OBSERVED", "NOT_APPLIED", "RESTART_NOT_OBSERVED", 1],
    ["UNRESOLVED", "UNKNOWN", "OUTCOME_UNRESOLVED", 5],
  ] as const)("of an operation that ends %s, %s, %s", async (state, outcome, reason, exit) => {
    world.watch = async function* () {
      yield operation(State[state], Outcome[outcome], reason);
    };
    const { code, stderr } = await run([...WEB, "--wait"]);
    expect(code).toBe(exit);
    expect(stderr.includes(`restartd operations resolve ${NAME} `)).toBe(state === "UNRESOLVED");
  });

  it.each([
    [["restart"], "a TARGET is missing"],
    [["restart", "deployment/web", "--timeout", "5s"], "--timeout needs --wait"],
    [["restart", "deployment/web", "--wait", "--timeout", "-5s"], "'--timeout' argument is ambiguous"],
    [["restart", "deploymnt/web"], "did you mean deployment?"],
    [["version", "extra"], "takes nothing"],
    [["restart", "deployment/web", "--wait", "--timeout", "soon"], '--timeout "soon" is not a duration'],
    [["restart", "deployment/web", "--request-id", "7"], '--request-id "7" is not a UUID'],
    [["restart", "deployment/web", "-o", "table"], '--output "table" is unknown'],
    [["restart", "deployment/web", "--dry-run=client"], "only the server can tell"],
    [["restart", "deployment/web", "--tiemout", "1"], "did you mean --timeout?"],
    [["restart", "cronjobs/x"], "RESOURCE.VERSION.GROUP"],
    [["restart", "cse/x"], "restartd retry"],
    [["restart", "deployment", "web", "sts/db"], "write TYPE/NAME everywhere"],
    [["restart", "deployment/a", "deployment/b", "--request-id", ID], "--request-id is for one target"],
    [["restart", "https://evil.example/console/clusters/a"], "is of another server"],
    [["rollout", "pause", "deployment/web"], "restart or status"],
    [["get", "podz"], "there is nothing called"],
    [["get", "dcs", "-l", "a=b"], "have no labels"],
    [["version", "--address", "http://example.com"], "http:// is for this machine alone"],
  ])("2 for %j, in at most three lines that name the help", async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr).toContain("--help");
    expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(3);
    expect(restarts).toEqual([]);
  });

  it("2 for a name that several have, with the ids to choose from; an id is always one", async () => {
    instances = ["i-1", "i-2"].map((instanceId) => ({ instanceId, name: "dcs-cache" }));
    const { code, stderr } = await run(["flush", "dcs/dcs-cache", "--acknowledge-data-loss"]);
    expect(code).toBe(2);
    expect(stderr).toContain("several are called dcs/dcs-cache: write the id, one of i-1, i-2");
    expect(acknowledged).toEqual([]);
    expect((await run(["flush", "dcs/i-1", "--acknowledge-data-loss"])).code).toBe(0);
  });

  it("6 where nobody listens, at once", async () => {
    const env = { RESTARTD_ADDRESS: "http://127.0.0.1:1" };
    for (const args of [
      [...WEB, "--cluster", "sandbox"],
      WEB,
      ["get", "clusters"],
      ["operations", "list"],
      ["version"],
    ]) {
      const { code, stderr, waits } = await run(args, { env });
      expect({ args, code, waits }).toEqual({ args, code: 6, waits: [] });
      expect(stderr).toContain("cannot reach http://127.0.0.1:1: nobody listens there");
    }
  });

  it("the worst of several wins, and each is tried", async () => {
    world.restart = ({ name }) => {
      if (name === "a") throw failure("PAUSED", Code.FailedPrecondition, "not_applied");
      if (name === "b") throw failure("THROTTLED", Code.ResourceExhausted, "not_applied");
    };
    const { code, stdout } = await run(["restart", "deploy", "a", "b", "c", "--yes"]);
    expect({ code, stdout }).toEqual({ code: 7, stdout: "deployment.apps/c restarted\n" });
  });
});

describe("warnings", () => {
  it("are said in our words, with a dry run too; what the API server said, in its own", async () => {
    world.restart = (_, { responseHeader }) => responseHeader.set("restart-warning", "RECREATE_DOWNTIME");
    const line = "Warning: RECREATE_DOWNTIME: all pods go before new ones come: there is downtime\n";
    for (const more of [[], ["--dry-run"]]) expect((await run([...WEB, ...more])).stderr).toBe(line);
    const { stdout } = await run([...WEB, "--dry-run", "-o", "json", "-q"]);
    expect(JSON.parse(stdout).warnings).toEqual([
      { token: "RECREATE_DOWNTIME", message: "all pods go before new ones come: there is downtime" },
    ]);
    world.restart = (_, { responseHeader }) => responseHeader.set("restart-warning", "SERVER_WARNING, NEW_ONE");
    gotten = operation(State.SENT, Outcome.APPLIED, "", "", ["SERVER_WARNING: v1 is old", "NEW_ONE: look here"]);
    expect((await run(WEB)).stderr).toBe("Warning: SERVER_WARNING: v1 is old\nWarning: NEW_ONE: look here\n");
    gotten = undefined;
    expect((await run([...WEB, "--dry-run"])).stderr).toBe(
      "Warning: SERVER_WARNING: the API server sent a warning; the operation will show it\nWarning: NEW_ONE\n",
    );
  });
});

describe("an answer that is lost", () => {
  it("is asked for again under the same request id", async () => {
    let calls = 0;
    server.prependListener("request", (request) => {
      if (request.url?.endsWith("/Restart") && calls++ === 0) request.socket.destroy();
    });
    const { code, stdout, waits } = await run(WEB);
    expect({ code, stdout, waits }).toEqual({ code: 0, stdout: "deployment.apps/web restarted\n", waits: [1000] });
    expect(new Set(restarts.map(({ requestId }) => requestId)).size).toBe(1);
    expect(calls).toBe(2);
  });

  it("for about half a minute, then 5 with the request id to ask by", async () => {
    server.prependListener("request", (request) => {
      if (request.url?.endsWith("/Restart")) request.socket.destroy();
    });
    const { code, stderr, waits } = await run([...WEB, "--request-id", ID]);
    expect({ code, waits }).toEqual({ code: 5, waits: [1000, 2000, 4000, 8000, 15_000] });
    expect(stderr).toContain(`ask again with --request-id ${ID}\n`);
    expect(stderr).not.toContain("nothing was changed");
  });

  it("is asked for once more when a signal comes", async () => {
    const interrupted = new AbortController();
    let calls = 0;
    server.prependListener("request", (request) => {
      if (!request.url?.endsWith("/Restart") || calls++ > 0) return;
      interrupted.abort(130);
      request.socket.destroy();
    });
    const { code, stdout } = await run([...WEB, "--wait"], { interrupted: interrupted.signal });
    expect({ code, stdout, calls }).toEqual({ code: 130, stdout: "deployment.apps/web restarted\n", calls: 2 });
  });
});

describe("a signal before the answer", () => {
  it("is told as what it is, and so is what was not tried", async () => {
    const interrupted = new AbortController();
    server.prependListener("request", (request) => {
      if (!request.url?.endsWith("/Restart")) return;
      interrupted.abort(130);
      request.socket.destroy();
    });
    const args = ["restart", "deployment", "a", "b", "--yes"];
    const { code, stderr } = await run(args, { interrupted: interrupted.signal });
    expect(code).toBe(5);
    expect(stderr).not.toContain("canceled: 130");
    expect(stderr).toContain("deployment.apps/b: interrupted before it was sent: nothing was changed\n");
    expect(new Set(restarts.map(({ name }) => name))).toEqual(new Set(["a"]));
  });
});

describe("waiting", () => {
  const forever = async function* (signal: AbortSignal) {
    yield operation(State.SENT, Outcome.APPLIED, "", "1 of 3");
    await once(signal, "abort");
  };

  it("124 when --timeout has passed, with the operation's name", async () => {
    world.watch = forever;
    const { code, stderr } = await run([...WEB, "--wait", "--timeout", "2s"]);
    expect(code).toBe(124);
    expect(stderr).toContain(`it goes on as ${NAME}\nrestartd operations watch ${NAME}\n`);
  });

  it("tells of a target whose turn never came before --timeout how it ended", async () => {
    world.watch = forever;
    const names = Array.from({ length: 17 }, (_, index) => `d-${index}`);
    gotten = operation(State.SUCCEEDED, Outcome.APPLIED, "", "all of it");
    const args = ["restart", "deployment", ...names, "--wait", "--timeout", "3s", "--yes"];
    const { code, stdout, stderr } = await run(args);
    expect(code).toBe(124);
    expect(stdout).toContain("deployment.apps/d-16: all of it\n");
    expect(stderr.match(/timed out after/g)).toHaveLength(16);
  });

  it.each([130, 143])("%i when a signal comes, with the operation's name", async (signal) => {
    const interrupted = new AbortController();
    world.watch = async function* (aborted) {
      yield operation(State.SENT, Outcome.APPLIED);
      interrupted.abort(signal);
      await once(aborted, "abort");
    };
    const { code, stderr } = await run([...WEB, "--wait"], { interrupted: interrupted.signal });
    expect(code).toBe(signal);
    expect(stderr).toContain(`restartd operations watch ${NAME}\n`);
  });

  it("writes the document of a target at its end, in the order given, and keeps none back for those behind it", async () => {
    const second = Promise.withResolvers<void>();
    world.restart = ({ name }) => {
      if (name === "c") throw failure("PAUSED", Code.FailedPrecondition, "not_applied");
    };
    let watched = 0;
    world.watch = async function* () {
      if (watched++ > 0) await second.promise;
      yield operation(State.SUCCEEDED, Outcome.APPLIED);
    };
    const documents: string[] = [];
    const out = (text: string): void => {
      documents.push(/deployments\/(\w+)/.exec(text)?.[1] ?? "");
      second.resolve(); // which ends when the first one's document is there
    };
    const args = ["restart", "deployment", "a", "b", "c", "--wait", "--yes", "-o", "json"];
    expect((await run(args, { out })).code).toBe(1);
    expect(documents).toEqual(["a", "b", "c"]);
  });

  it("goes on when the caller's share of streams is taken for a while", async () => {
    let calls = 0;
    world.watch = async function* () {
      if (calls++ < 2) throw failure("RATE_LIMITED", Code.ResourceExhausted, "not_applied");
      yield operation(State.SUCCEEDED, Outcome.APPLIED);
    };
    expect(await run([...WEB, "--wait"])).toMatchObject({ code: 0, waits: [500, 1000] });
    // What is refused for good is not asked again.
    world.watch = async function* () {
      yield* [];
      throw failure("OPERATION_NOT_FOUND", Code.NotFound, "not_applied");
    };
    expect(await run([...WEB, "--wait"])).toMatchObject({ code: 5, waits: [] });
  });

  it("goes on over a stream that is cut", async () => {
    let calls = 0;
    world.watch = async function* () {
      yield operation(State.SENT, Outcome.APPLIED, "", "1 of 3");
      if (calls++ === 0) throw new ConnectError("cut", Code.Unavailable);
      yield operation(State.SUCCEEDED, Outcome.APPLIED, "", "3 of 3");
    };
    const { code, stdout } = await run([...WEB, "--wait"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "deployment.apps/web restarted\n1 of 3\n3 of 3\n" });
  });

  it("says that there is no proof while nobody knows", async () => {
    world.watch = async function* () {
      yield operation(State.UNKNOWN, Outcome.UNKNOWN);
      yield operation(State.SUCCEEDED, Outcome.APPLIED, "", "done");
    };
    const line = "deployment.apps/web: no proof yet that it happened; it is being looked for and not sent again";
    expect((await run([...WEB, "--wait"])).stdout.split("\n")).toContain(line);
    const several = ["restart", "deployment", "web", "b", "--wait", "--yes"];
    expect((await run(several)).stdout.split("\n")).toContain(line);
  });
});

describe("questions", () => {
  const answers =
    (...given: (string | undefined)[]): NonNullable<ClientContext["ask"]> =>
    async (question) => {
      asked.push(question);
      return given.shift();
    };
  let asked: string[] = [];
  beforeEach(() => {
    asked = [];
  });

  it.each([[["deployment", "-l", "app=x"]], [["deployment", "--all"]], [["deployment", "a", "b"]]])(
    "are asked about %j; where nobody is there --yes is needed",
    async (targets) => {
      const { code, stderr } = await run(["restart", ...targets]);
      expect({ code, sent: restarts.length }).toEqual({ code: 1, sent: 0 });
      expect(stderr).toContain("--yes");
      expect(await run(["restart", ...targets], { ask: answers("n") })).toMatchObject({ code: 8 });
      expect(await run(["restart", ...targets], { ask: answers(undefined) })).toMatchObject({ code: 8 });
      expect(asked[0]).toBe("Restart these 2? [y/N] ");
      expect(restarts).toEqual([]);
      expect((await run(["restart", ...targets], { ask: answers("y") })).code).toBe(0);
      expect(restarts.map(({ name }) => name)).toEqual(["a", "b"]);
    },
  );

  it.each([
    ["DATA_LOSS_NOT_ACKNOWLEDGED", {}, "--acknowledge-data-loss"],
    ["OUTAGE_NOT_ACKNOWLEDGED", {}, "--acknowledge-outage"],
    ["DELETION_NOT_ACKNOWLEDGED", {}, "--acknowledge-deletion"],
    ["FROZEN", { freeze: "incident-7", overridable: "true" }, "--override-freeze"],
  ])("that nobody can be asked are answered by a flag: %s", async (reason, more, flag) => {
    world.restart = () => {
      throw failure(reason, Code.FailedPrecondition, "not_applied", "no", ["it loses much"], more);
    };
    const { code, stderr } = await run(WEB);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `error: deployment.apps/web: ${reason}: no\nto go on in spite of that, say ${flag}\nnothing was changed\n`,
    });
    world.restart = () => {
      throw failure(reason, Code.FailedPrecondition, "not_applied", "no", [], { overridable: "false", freeze: "a" });
    };
    expect((await run(WEB)).stderr.includes("--override-freeze")).toBe(false);
  });

  it("about one target are none", async () => {
    expect((await run(WEB, { ask: answers() })).code).toBe(0);
    expect(asked).toEqual([]);
  });

  it("about what is lost want the name, whatever --yes says", async () => {
    const flush = ["flush", "dcs/i-1", "--yes"];
    expect(await run(flush)).toMatchObject({ code: 1, stdout: "" });
    const wrong = await run(flush, { ask: answers("yes") });
    expect(wrong.code).toBe(8);
    expect(wrong.stderr).toContain("dcs/dcs-cache: it loses everything\n");
    expect(asked).toEqual(["Type the name, dcs-cache, to go on: "]);
    expect(await run(flush, { ask: answers("dcs-cache") })).toMatchObject({
      code: 0,
      stdout: "dcs/dcs-cache flushed\n",
    });
    expect(await run([...flush, "--acknowledge-data-loss"])).toMatchObject({ code: 0 });
    expect(acknowledged).toEqual([false, false, false, true, true]);
  });

  it("about a freeze want its name, of those who may go on in spite of it", async () => {
    let overridable = true;
    world.restart = ({ overrideFreeze }) => {
      if (overrideFreeze) return;
      const more = { freeze: "incident-7", overridable: String(overridable) };
      throw failure("FROZEN", Code.FailedPrecondition, "not_applied", "frozen", ["see INC-7"], more);
    };
    expect(await run([...WEB, "--yes"])).toMatchObject({ code: 1, stdout: "" });
    const wrong = await run(WEB, { ask: answers("web") });
    expect(wrong).toMatchObject({ code: 8, stdout: "" });
    expect(wrong.stderr).toBe("deployment.apps/web is frozen: see INC-7\nnothing was changed\n");
    expect(asked).toEqual(["Type the name of the freeze, incident-7, to go on: "]);
    const done = { code: 0, stdout: "deployment.apps/web restarted\n" };
    expect(await run(WEB, { ask: answers("incident-7") })).toMatchObject(done);
    expect(await run([...WEB, "--override-freeze"])).toMatchObject(done);
    expect(restarts.map(({ overrideFreeze }) => overrideFreeze)).toEqual([false, false, false, true, true]);
    overridable = false;
    expect(await run(WEB, { ask: answers("incident-7") })).toMatchObject({ code: 1 });
    expect(asked).toHaveLength(2);
  });
});

describe("output", () => {
  it("is one document for each target, in the order given, refused ones too", async () => {
    world.restart = ({ name }, { responseHeader }) => {
      if (name === "b") throw failure("PAUSED", Code.FailedPrecondition, "not_applied", "it is paused");
      responseHeader.set("restart-warning", "NO_REPLICAS");
    };
    const args = ["restart", "deploy", "c", "b", "--yes"];
    const { code, stdout } = await run([...args, "-o", "json"]);
    expect(code).toBe(1);
    const documents = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(documents).toMatchObject([
      {
        target: TARGET.replace("web", "c"),
        operation: NAME,
        action: "restart",
        outcome: "applied",
        warnings: [{ token: "NO_REPLICAS" }],
      },
      { target: TARGET.replace("web", "b"), outcome: "not_applied", error: { code: 9, message: "it is paused" } },
    ]);
    expect(documents[1].error.details[0]).toMatchObject({
      "@type": "type.googleapis.com/google.rpc.ErrorInfo",
      reason: "PAUSED",
    });
    const yaml = (await run([...args, "-o", "yaml"])).stdout.split("---\n").map((text) => parse(text));
    expect(yaml).toEqual(documents.map((document) => ({ ...document, operation: document.operation })));
    expect((await run([...args, "-o", "name"])).stdout).toBe("deployment.apps/c\n");
    expect((await run(["restart", "deploy/c", "-o", "wide"])).stdout).toContain(
      `  ${NAME}  ${address}/console/${NAME}\n`,
    );
  });

  it("takes a resource name and the address of its page", async () => {
    for (const target of [TARGET, `${address}/console/${TARGET}/`]) {
      expect((await run(["rollout", "restart", target])).stdout).toBe("deployment.apps/web restarted\n");
    }
    expect(restarts).toMatchObject([{ cluster: "sandbox", namespace: "default", name: "web" }, { name: "web" }]);
  });

  it("lists", async () => {
    expect((await run(["get", "deploy", "-o", "name"])).stdout).toBe("deployment.apps/a\ndeployment.apps/b\n");
    expect((await run(["get", "dcs", "--no-headers"])).stdout).toBe("i-1  dcs-cache\n");
    const table = (await run(["get", "deploy"])).stdout.split("\n"); // at the epoch
    expect(table[1]).toMatch(/^default +deployment\.apps\/a .* 5m$/);
    expect(table[2]).toMatch(/^default +deployment\.apps\/b .* by hand$/);
    expect((await run(["get", "deploy", "a", "-o", "json"])).stdout).toContain("1969-12-31T23:55:00Z");
    expect(await run(["get", "deploy", "b", "c", "-o", "name"])).toEqual({
      code: 1,
      stdout: "deployment.apps/b\n",
      stderr: "error: there is no deploy c\n",
      waits: [],
    });
    expect(JSON.parse((await run(["get", "clusters", "-o", "json"])).stdout)).toEqual({
      name: "sandbox",
      reachable: true,
    });
  });
});

describe("help", () => {
  it("is there for every command, with two examples each", async () => {
    for (const word of CLIENT_COMMANDS.filter((each) => each !== "__complete" && each !== "operations")) {
      const { code, stdout } = await run(["help", word]);
      expect({ word, code }).toEqual({ word, code: 0 });
      expect(stdout.match(/^ {2}(source <\()?restartd /gm)?.length).toBeGreaterThanOrEqual(2);
    }
    expect((await run(["help", "exit-codes"])).stdout).toContain("124  --timeout passed");
  });
});
