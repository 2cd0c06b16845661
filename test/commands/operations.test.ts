import { randomUUID } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { connect } from "../../src/commands/client.ts";
import { runOperations } from "../../src/commands/operations.ts";
import { OPERATIONS_HELP } from "../../src/commands/usage.ts";
import { createOperationRoutes } from "../../src/operations/rpc/service.ts";
import type { Store } from "../../src/operations/store/store.ts";
import { insert, NOON, openStore, UNRESOLVED } from "../operations/support.ts";
import { type Fixture, serve } from "../server/fixture.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";

let store: Store;
let folder: Folder;
let fixture: Fixture;
beforeEach(async () => {
  store = await openStore();
  folder = await temporaryFolder();
  fixture = await serve({}, { routes: routesOf(store) });
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const routesOf = (served: Store) =>
  createOperationRoutes({
    store: served,
    now: () => new Date(NOON + 5000),
    output: () => WorkloadService.method.restart,
  });

/** Runs a command against the server, and answers its exit code and what it said. */
async function run(
  args: readonly string[],
  address = fixture.server.url,
  told: (text: string) => void = () => {},
  interrupted = new AbortController().signal,
) {
  let stdout = "";
  let stderr = "";
  const code = await runOperations([...args, ...(address === "" ? [] : ["--address", address])], {
    out: (text) => {
      stdout += text;
      told(text);
    },
    err: (text) => {
      stderr += text;
    },
    now: () => NOON + 5000,
    connect: (flags) => connect(flags, { env: {} }, {}),
    services: [WorkloadService],
    interrupted,
    retryMs: 10,
  });
  return { code, stdout, stderr };
}

const ID = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9";
const NAME = `operations/${ID}`;

describe("operations list", () => {
  it("prints a table, newest first", async () => {
    await insert(store, { name: NAME, target: "t/1", state: "SENT" });
    await insert(store, {
      ...UNRESOLVED,
      name: `operations/${ID.replace("0b", "1b")}`,
      target: "t/22",
      principal: "ann",
      createTime: NOON - 7_200_000,
    });
    expect(await run(["list"])).toEqual({
      code: 0,
      stderr: "",
      stdout: [
        "NAME                                             STATE       OUTCOME  TARGET  ACTION   AGE  PRINCIPAL",
        "operations/0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9  SENT        applied  t/1     restart  5s   anonymous",
        "operations/1b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9  UNRESOLVED  unknown  t/22    restart  2h   ann",
        "",
      ].join("\n"),
    });
  });

  it("prints JSON, one document a line, and filters", async () => {
    await insert(store, { name: NAME, ...UNRESOLVED });
    await insert(store);
    const { stdout, code } = await run(["list", "--json", "--filter", "state = UNRESOLVED"]);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      name: NAME,
      done: true,
      metadata: { state: "STATE_UNRESOLVED", outcome: "OUTCOME_UNKNOWN" },
      error: { code: 2, message: "nobody can tell", details: [{ reason: "OUTCOME_UNRESOLVED" }] },
    });
  });

  it("goes through pages up to the limit, and says when there is more", async () => {
    for (let index = 0; index < 5; index++) await insert(store);
    const paged: Store = { ...store, list: (query) => store.list({ ...query, limit: Math.min(query.limit, 3) }) };
    await fixture[Symbol.asyncDispose]();
    fixture = await serve({}, { routes: routesOf(paged) });
    const { stdout, stderr } = await run(["list", "--limit", "2"]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(3);
    expect(stderr).toBe("the newest 2; there are more: raise --limit, or narrow them down by --filter\n");
    expect((await run(["list", "--limit", "2", "--json"])).stderr).toBe("");
  });

  it("says what is wrong with a filter", async () => {
    const { code, stdout, stderr } = await run(["list", "--filter", "stat = SENT"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^restartd operations: invalid_argument INVALID_ARGUMENT: filter: position 1: there is no field "stat"; did you mean state\? \(.*\)\n$/,
    );
  });
});

describe("operations show", () => {
  it.each([NAME, ID])("prints everything readable of %s", async (name) => {
    await insert(store, {
      ...UNRESOLVED,
      name: NAME,
      target: "t",
      warnings: ["NO_REPLICAS"],
      progress: "1 of 3\u001b[2J\u202e",
      reason: "new\nkeys",
      vendorJob: "job-7",
      sendTime: NOON + 1,
      cancelRequested: true,
    });
    expect((await run(["show", name])).stdout).toBe(
      [
        `name:       ${NAME}`,
        "state:      UNRESOLVED",
        "outcome:    unknown",
        "target:     t",
        "action:     restart",
        "progress:   1 of 3\\u001b[2J\\u202e; asked to cancel: what was sent cannot be recalled",
        "principal:  anonymous",
        "reason:     new keys",
        "vendor_job: job-7",
        "created:    2026-01-31T12:00:00.000Z",
        "sent:       2026-01-31T12:00:00.001Z",
        "updated:    2026-01-31T12:00:00.000Z",
        "ended:      2026-01-31T12:00:00.000Z",
        "cancel:     requested",
        "warning:    NO_REPLICAS: There is no pod to restart; the next ones will be new.",
        "error:      UNKNOWN OUTCOME_UNRESOLVED: nobody can tell",
        "            outcome: unknown",
        "",
      ].join("\n"),
    );
  });

  it("says when there is none, and when the name is none", async () => {
    expect(await run(["show", ID])).toEqual({
      code: 1,
      stdout: "",
      stderr: `restartd operations: not_found OPERATION_NOT_FOUND: there is no ${NAME}: it never was, or it was deleted after its end; ListOperations names those that are\n`,
    });
    expect((await run(["show", "x"])).stderr).toBe(
      'restartd operations: invalid_argument INVALID_ARGUMENT: name must be operations/{UUID in lower case}: got "operations/x"\n',
    );
  });
});

describe("operations watch", () => {
  it("prints each step, and exits 0 when it succeeded", async () => {
    const record = await insert(store, { name: NAME, state: "SENT" });
    const first = Promise.withResolvers<string>();
    const watching = run(["watch", ID], undefined, first.resolve);
    expect(await first.promise).toBe("2026-01-31T12:00:00.000Z  SENT  applied\n");
    await store.change(record, { state: "SUCCEEDED", endTime: NOON, progress: "rolled out" }, { event: "succeeded" });
    const { code, stdout } = await watching;
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe("2026-01-31T12:00:00.000Z  SUCCEEDED  applied  rolled out");
  });

  it("is left by a signal with the name of what goes on", async () => {
    await insert(store, { name: NAME, state: "SENT" });
    const signal = new AbortController();
    const { code, stderr } = await run(["watch", ID], undefined, () => signal.abort(130), signal.signal);
    expect({ code, stderr }).toEqual({
      code: 130,
      stderr: `${NAME}: it goes on\nrestartd operations watch ${NAME}\n`,
    });
  });

  it("goes on when its server ends and another one takes its place", async () => {
    const record = await insert(store, { name: NAME, state: "SENT" });
    const first = Promise.withResolvers<string>();
    const address = fixture.server.url;
    const watching = run(["watch", ID], address, first.resolve);
    await first.promise;
    await fixture[Symbol.asyncDispose]();
    await store.change(record, { state: "SUCCEEDED", endTime: NOON, progress: "rolled out" }, { event: "succeeded" });
    fixture = await serve({}, { routes: routesOf(store), port: Number(new URL(address).port) });
    expect(await watching).toEqual({
      code: 0,
      stdout: "2026-01-31T12:00:00.000Z  SENT  applied\n2026-01-31T12:00:00.000Z  SUCCEEDED  applied  rolled out\n",
      stderr: `the stream ended before ${NAME} did; asking again\n`,
    });
  });

  it("exits 5 when nobody knows how it ended, with the reason in its last line", async () => {
    await insert(store, { name: NAME, ...UNRESOLVED });
    expect(await run(["watch", ID])).toEqual({
      code: 5,
      stdout: "2026-01-31T12:00:00.000Z  UNRESOLVED  unknown  nobody can tell\n",
      stderr: "",
    });
  });
});

describe("operations cancel and resolve", () => {
  it("cancel what was not sent", async () => {
    await insert(store, { name: NAME });
    const { code, stdout } = await run(["cancel", ID]);
    expect(code).toBe(0);
    expect(stdout).toContain("state:      CANCELLED\n");
  });

  it("resolve what is in doubt, once", async () => {
    await insert(store, { name: NAME, ...UNRESOLVED });
    const resolve = (outcome: string) => run(["resolve", ID, "--outcome", outcome, "--note", "asked"]);
    const { code, stdout } = await resolve("applied");
    expect(code).toBe(0);
    expect(stdout).toContain("state:      SUCCEEDED\n");
    expect((await store.audit(NAME)).at(-1)).toMatchObject({ event: "resolved", detail: "asked" });
    expect(await resolve("not_applied")).toEqual({
      code: 1,
      stdout: "",
      stderr: `restartd operations: failed_precondition OPERATION_NOT_UNRESOLVED: ${NAME} is SUCCEEDED: an operator has resolved it already\n`,
    });
  });
});

describe("operations backup", () => {
  it("writes a new file that its owner alone can read", async () => {
    await insert(store, { name: NAME });
    const file = join(folder.path, "copy.db");
    const { code, stdout } = await run(["backup", file]);
    const bytes = await readFile(file);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${file}: ${bytes.length} bytes\n` });
    expect(bytes.includes(NAME)).toBe(true);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it("overwrites nothing", async () => {
    const file = await folder.write("copy.db", "mine");
    expect(await run(["backup", file])).toEqual({
      code: 1,
      stdout: "",
      stderr: `restartd operations: ${file} exists already: nothing is overwritten; name another file\n`,
    });
    expect(await readFile(file, "utf8")).toBe("mine");
  });

  it("leaves no file of a copy that did not come", async () => {
    const { backup: _, ...rest } = store;
    await fixture[Symbol.asyncDispose]();
    fixture = await serve({}, { routes: routesOf(rest) });
    const file = join(folder.path, "copy.db");
    const { code, stderr } = await run(["backup", file]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/OPERATION_UNSUPPORTED_BY_TARGET: .* use pg_dump.*\n.*https:\/\/www\.postgresql\.org\//);
    await expect(stat(file)).rejects.toThrow("ENOENT");
    await expect(stat(`${file}.partial`)).rejects.toThrow("ENOENT");
  });

  it("says when the file cannot be made", async () => {
    const file = join(folder.path, "none", "copy.db");
    const { code, stderr } = await run(["backup", file]);
    expect(code).toBe(1);
    expect(stderr).toContain(`ENOENT: no such file or directory, open '${file}.partial'`);
    await writeFile(join(folder.path, "half.db.partial"), "");
    expect((await run(["backup", join(folder.path, "half.db")])).stderr).toContain(
      "half.db.partial is left from a copy that did not end, or one is being made: remove it first",
    );
  });
});

describe("operations without its server", () => {
  it("says that nobody listens, and what to do", async () => {
    const { url } = fixture.server;
    await fixture[Symbol.asyncDispose]();
    for (const command of [["list"], ["show", ID], ["watch", ID], ["backup", join(folder.path, randomUUID())]]) {
      expect(await run(command, url)).toEqual({
        code: 6,
        stdout: "",
        stderr: `restartd operations: cannot reach ${url}: nobody listens there (ECONNREFUSED); is restartd running? Name its address by --address\n`,
      });
    }
  });

  it("says that somebody else listens", async () => {
    const other = createServer((_, response) => void response.writeHead(404).end("<html>"));
    await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const { code, stderr } = await run(["list"], url);
    other.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^restartd operations: what answers on .* is no restartd that knows operations: /);
  });
});

describe("operations' command line", () => {
  it("has its own help", async () => {
    expect(await run(["--help"], "")).toEqual({ code: 0, stdout: OPERATIONS_HELP, stderr: "" });
    expect((await run(["resolve", "-h"], "")).stdout).toBe(OPERATIONS_HELP);
  });

  it.each([
    [[], "a command is missing: use one of list, show, watch, wait, cancel, resolve, backup"],
    [["lst"], "there is no command lst: use one of list, show, watch, wait, cancel, resolve, backup"],
    [["toString"], "there is no command toString: use one of list, show, watch, wait, cancel, resolve, backup"],
    [["list", "x"], 'list does not take "x"'],
    [["list", "--note", "x"], "list does not take --note"],
    [["backup", "f", "--json"], "backup does not take --json"],
    [["list", "--limit", "0"], '--limit "0" is not a number from 1'],
    [["list", "--limit", "1e3"], '--limit "1e3" is not a number from 1'],
    [["list", "--address", "ftp://x"], '--address "ftp://x" is not a URL such as http://127.0.0.1:8080'],
    [["show"], "show needs a NAME: operations show NAME"],
    [["show", "a", "b"], 'show does not take "b"'],
    [["resolve", "a", "--note", "n"], "--outcome is missing: say applied or not_applied, as you found out"],
    [
      ["resolve", "a", "--note", "n", "--outcome", "unknown"],
      '--outcome "unknown" is unknown: say applied or not_applied, as you found out',
    ],
    [["resolve", "a", "--outcome", "applied"], "--note is missing: say how you found out, for the audit trail"],
    [["backup"], "backup needs a FILE: operations backup FILE"],
  ])("refuses %j", async (args, message) => {
    expect(await run(args, "")).toEqual({
      code: 2,
      stdout: "",
      stderr: `restartd operations: ${message}\nTry: restartd operations --help\n`,
    });
  });

  it("refuses an option that nobody knows", async () => {
    const { code, stderr } = await run(["list", "--fliter", "x"], "");
    expect(code).toBe(2);
    expect(stderr).toContain("Unknown option '--fliter'");
  });
});
