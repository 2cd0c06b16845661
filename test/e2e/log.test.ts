import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { NODE, ROOT } from "../support/command.ts";
import { temporaryFolder } from "../support/folder.ts";
import { readLine } from "../support/log.ts";
import { startProgram } from "../support/program.ts";

interface Started extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
}

/** The sandbox with other streams than startProgram gives it. */
async function start(stdout: "pipe" | number, stderr: "pipe" | number, args: readonly string[] = []): Promise<Started> {
  const folder = await temporaryFolder();
  const child = spawn(NODE, [join(ROOT, "src/main.ts"), "--listen", "127.0.0.1:0", ...args], {
    cwd: folder.path,
    env: { ...process.env, TMPDIR: folder.path },
    stdio: ["ignore", stdout, stderr],
  });
  const ended = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  return {
    child,
    ended,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function firstLine({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error("stdout is not a pipe");
  const [line] = await once(createInterface({ input: stdout }), "line");
  return String(line);
}

const urlOf = async (child: ChildProcess): Promise<string> => (await firstLine(child)).replace(/.* /, "");

const statusOf = async (url: string, agent?: Agent): Promise<number | undefined> => {
  const [response] = await once(get(url, agent ? { agent } : {}), "response");
  response.resume();
  await once(response, "end");
  return response.statusCode;
};

const full = (): number => openSync("/dev/full", "w");

describe("a log that cannot be written", () => {
  it("does not keep calls from being answered, nor the program from ending: a full disk", async () => {
    await using program = await start("pipe", full());
    const url = await urlOf(program.child);
    for (let calls = 0; calls < 20; calls++) expect(await statusOf(`${url}/nothing`)).toBe(404);
    program.child.kill("SIGTERM");
    expect(await program.ended).toEqual({ code: 0, signal: null });
  });

  it("does not keep calls from being answered, nor the program from ending: a pipe that nobody reads", async () => {
    await using program = await start("pipe", "pipe");
    const { child } = program;
    child.stderr?.pause();
    const url = await urlOf(child);
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    // More than a pipe, and what is kept beside, can hold.
    const path = `/${"x".repeat(300)}`;
    let answered = 0;
    for (let round = 0; round < 250; round++) {
      const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOf(url + path, agent)));
      answered += statuses.filter((status) => status === 404).length;
    }
    agent.destroy();
    expect(answered).toBe(5000);
    child.kill("SIGTERM");
    expect(await program.ended).toEqual({ code: 0, signal: null });
  });

  it("does not keep the program from ending when it cannot start", async () => {
    await using program = await start("pipe", full(), ["--config", "nowhere.yaml"]);
    expect(await program.ended).toEqual({ code: 2, signal: null });
  });

  it("says how many lines it dropped once somebody reads again", async () => {
    await using program = await start("pipe", "pipe");
    const { child } = program;
    child.stderr?.pause();
    const url = await urlOf(child);
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    for (let round = 0; round < 250; round++) {
      await Promise.all(Array.from({ length: 20 }, () => statusOf(`${url}/${"x".repeat(300)}`, agent)));
    }
    agent.destroy();
    if (child.stderr === null) throw new Error("stderr is not a pipe");
    let calls = 0;
    for await (const line of createInterface({ input: child.stderr })) {
      const { msg, lines } = readLine(line);
      if (msg === "call") calls++;
      if (msg === "the log could not be written: lines were dropped") {
        expect(calls + Number(lines)).toBe(5000);
        return;
      }
    }
    throw new Error("the log ended without a word about what is missing");
  });
});

it("says on stderr where it listens when stdout is full", async () => {
  await using program = await start(full(), "pipe");
  const { child } = program;
  if (child.stderr === null) throw new Error("stderr is not a pipe");
  for await (const line of createInterface({ input: child.stderr })) {
    const { msg, url } = readLine(line);
    if (msg !== "ready") continue;
    expect(await statusOf(`${url}/nothing`)).toBe(404);
    child.kill("SIGTERM");
    expect(await program.ended).toEqual({ code: 0, signal: null });
    return;
  }
  throw new Error("it never became ready");
});

it("has what Node and libraries warn of as JSON too", async () => {
  const warning = "process.on('SIGUSR2', () => process.emitWarning('a library is deprecated'))";
  await using program = await startProgram(undefined, {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(warning)}`,
  });
  program.process.kill("SIGUSR2");
  expect(await program.line(({ msg }) => msg === "a warning of Node or a library")).toMatchObject({
    level: "warn",
    detail: "Warning: a library is deprecated",
  });
  expect(await program.stop()).toBe(0);
});
