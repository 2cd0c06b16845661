import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { CLIENT_COMMANDS } from "../../src/commands/table.ts";
import { NODE, ROOT, run } from "../support/command.ts";
import { type Program, startProgram } from "../support/program.ts";
import { need } from "./tools.ts";

const BIN = join(ROOT, "bin/restartd.js");
const script = need("script");
const SHOWN = "\x1b[?25h"; // the cursor is there again

let program: Program;
let env: Record<string, string>;
beforeAll(async () => {
  program = await startProgram();
  env = {
    RESTARTD_ADDRESS: program.url,
    RESTARTD_NAMESPACE: "shop",
    RESTARTD_CLIENT_CONFIG: "",
    CI: "",
    TERM: "xterm",
  };
});
afterAll(() => program[Symbol.asyncDispose]());

const restartd = (...args: string[]) => run(NODE, [BIN, ...args], { env });

/** In a terminal; `typed` is what a person types. */
const inTerminal = (args: string, typed = "") =>
  run(script.path, ["-qec", `stty cols 100; ${NODE} ${BIN} ${args}`, "/dev/null"], { env, input: typed });

describe("restartd in pipes", () => {
  it("says each change once, in kubectl's words, without a control character", async () => {
    const { code, stdout, stderr } = await restartd("restart", "deployment/web", "--wait");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toBe("deployment.apps/web restarted");
    expect(lines.at(-1)).toBe('deployment "web" successfully rolled out');
    expect(new Set(lines).size).toBe(lines.length);
    expect(stdout).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it("refuses with the reason, and says that nothing was changed", async () => {
    expect(await restartd("restart", "deployment/checkout")).toMatchObject({
      code: 1,
      stdout: "",
      stderr:
        "error: deployment.apps/checkout: PAUSED: can't restart paused deployment (run rollout resume first)\nnothing was changed\n",
    });
  });

  it("never asks: what may be lost is refused, and so is a list", async () => {
    for (const args of [
      ["restart", "dcs/dcs-cache"],
      ["refresh", "arcgis/relational-store-primary"],
      ["flush", "dcs/dcs-cache", "-y"],
    ]) {
      const { code, stderr } = await restartd(...args);
      expect({ args, code }).toEqual({ args, code: 1 });
      expect(stderr).toMatch(/_NOT_ACKNOWLEDGED: .* say --acknowledge-(data-loss|outage)\nnothing was changed\n$/s);
    }
    const { code, stderr } = await restartd("restart", "sts", "--all");
    expect(code).toBe(1);
    expect(stderr).toContain("say --yes");
  });

  it.each([
    ["restart dcs/dcs-sessions --soft", "dcs/dcs-sessions soft restarted\n"],
    ["restart ddm/ddm-sandbox", "ddm/ddm-sandbox soft restarted\n"],
    ["refresh arcgis/shared-featureserver", "arcgis/shared-featureserver refreshed\n"],
    ["flush dcs/dcs-cache --acknowledge-data-loss", "dcs/dcs-cache flushed\n"],
  ])("%s", async (line, stdout) => {
    expect(await restartd(...line.split(" "))).toMatchObject({ code: 0, stdout });
  });

  it("retries a failed job, and exits 7 while it runs", async () => {
    // At once: one after the other, a busy machine could begin the second when the job has ended.
    const both = await Promise.all([restartd("retry", "cse/cse-sandbox"), restartd("retry", "cse/cse-sandbox")]);
    const retried = both.find(({ code }) => code === 0);
    expect(retried?.stdout).toMatch(/^cse\/cse-sandbox retried \(job \d+\)\n$/);
    expect(both.map(({ code }) => code).sort()).toEqual([0, 7]);
  });

  it("lists what there is", async () => {
    const { stdout } = await restartd("get", "workloads", "-A", "-o", "name");
    expect(stdout.trimEnd().split("\n")).toEqual(
      expect.arrayContaining([
        "deployment.apps/web",
        "statefulset.apps/db",
        "daemonset.apps/agent",
        "rollout.argoproj.io/canary",
      ]),
    );
    for (const what of ["clusters", "sites", "projects", "arcgis", "cse", "dcs", "ddm"]) {
      const { code, stdout: table } = await restartd("get", what);
      expect({ what, code }).toEqual({ what, code: 0 });
      expect(table.split("\n").length).toBeGreaterThan(2);
    }
  });

  it("does not mind whoever reads no further", async () => {
    const line = `${NODE} ${BIN} get workloads -A | head -n 1; echo "\${PIPESTATUS[0]}"`;
    expect((await run("bash", ["-c", line], { env })).stdout).toMatch(/^NAMESPACE .*\n0\n$/);
  });

  it("exits 130 when it is interrupted while waiting, and names what goes on", async () => {
    const child = spawn(NODE, [BIN, "restart", "deployment/stuck", "--wait"], { env: { ...process.env, ...env } });
    const stderr = text(child.stderr);
    await once(child.stdout, "data");
    child.kill("SIGINT");
    const [code] = await once(child, "exit");
    expect(code).toBe(130);
    expect(await stderr).toMatch(/it goes on as (operations\/\S+)\nrestartd operations watch \1\n$/);
  });

  it("exits 6 where there is no server", async () => {
    const gone = { ...env, RESTARTD_ADDRESS: "http://127.0.0.1:1" };
    expect(await run(NODE, [BIN, "restart", "deployment/web"], { env: gone })).toMatchObject({ code: 6, stdout: "" });
  });
});

describe.skipIf(script.missing)("restartd in a terminal", () => {
  it("rewrites one line, and gives the cursor back", async () => {
    const { code, stdout } = await inTerminal("restart deployment/web --wait");
    expect(code).toBe(0);
    expect(stdout).toContain("\x1b[?25l");
    expect(stdout.lastIndexOf(SHOWN)).toBeGreaterThan(stdout.lastIndexOf("\x1b[?25l"));
    expect(stdout).toMatch(/deployment\.apps\/web {2}\[#*\.*\] /);
    expect(stdout).toMatch(/deployment "web" successfully rolled out {2}\(\d+s\)\r+\n/);
  });

  it("asks about a list, and takes no for an answer", async () => {
    const { code, stdout } = await inTerminal("restart sts db archive", "n\n");
    expect(code).toBe(8);
    expect(stdout).toContain("Restart these 2? [y/N] ");
    expect(stdout).toContain("nothing was changed");
  });

  it("wants the name of what loses its data", async () => {
    const { code, stdout } = await inTerminal("restart dcs/dcs-cache", "dcs-other\n");
    expect(code).toBe(8);
    expect(stdout).toContain("Type the name, dcs-cache, to go on: ");
  });
});

describe("bin/restartd.js", () => {
  it("gives the client what is the client's, and the server the rest", async () => {
    const [, words = ""] = /\^\(([\w|]+)\)\$/.exec(readFileSync(BIN, "utf8")) ?? [];
    expect(words.split("|").sort()).toEqual([...CLIENT_COMMANDS].sort());
    expect((await restartd("version")).stdout).toBe(`client ${manifest.version}\nserver ${manifest.version}\n`);
    expect((await restartd("--version")).stdout).toContain(`restartd ${manifest.version}`);
    expect((await restartd("--config", "/nowhere")).code).toBe(2);
  });
});
