import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { NODE, ROOT, run } from "../support/command.ts";
import { type Program, startProgram } from "../support/program.ts";

const BIN = join(ROOT, "bin/restartd.js");

/** CPU seconds that a program takes, five times over: a machine that does other things meanwhile makes it wait, and little dearer. */
async function cpuOf(...command: readonly string[]): Promise<number> {
  const line = `for i in 1 2 3 4 5; do ${command.join(" ")} >/dev/null; done; times`;
  const { stdout } = await run("bash", ["-c", line], { timeoutMs: 50_000 });
  const [, children = ""] = stdout.trimEnd().split("\n");
  return [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, min, sec]) => sum + Number(min) * 60 + Number(sec),
    0,
  );
}

describe("the client's start", () => {
  it("is a quarter of a second where Node's own is a twentieth", async () => {
    const ratios: number[] = [];
    for (let round = 0; round < 6; round++) {
      const bare = await cpuOf(NODE, "-e", "0");
      ratios.push((await cpuOf(NODE, BIN, "version", "--client")) / bare);
    }
    expect(Math.min(...ratios)).toBeLessThan(5);
    // What it is compared with: the server's modules, which the client leaves alone.
    const all = (await cpuOf(NODE, join(ROOT, "src/main.ts"), "--version")) / (await cpuOf(NODE, "-e", "0"));
    expect(all).toBeGreaterThan(5);
  });
});

/** Node 20, where this machine has it beside the one that the package brings. */
const NODE_20 = ["/usr/bin/node", "/usr/local/bin/node"].find((path) => {
  try {
    return execFileSync(path, ["--version"], { encoding: "utf8" }).startsWith("v20.");
  } catch {
    return false; // there is none
  }
});
if (NODE_20 === undefined) process.stderr.write("\n  SKIPPED: the client on Node 20: this machine has none\n\n");

describe.skipIf(NODE_20 === undefined)("the client on Node 20", () => {
  let program: Program;
  beforeAll(async () => {
    program = await startProgram();
  });
  afterAll(() => program[Symbol.asyncDispose]());

  const restartd = (...args: string[]) =>
    run(NODE_20 ?? "", [BIN, ...args], { env: { RESTARTD_ADDRESS: program.url, RESTARTD_NAMESPACE: "shop" } });

  it.each([
    ["version", `client ${manifest.version}\nserver ${manifest.version}\n`],
    ["restart deployment/web --wait", "deployment.apps/web restarted\n"],
    ["restart deployment/legacy sts/db --yes --wait -q", "statefulset.apps/db restarted\n"], // over HTTP/2
    ["rollout status deployment/web", 'deployment "web" successfully rolled out\n'],
    ["get workloads -A", "deployment.apps/web"],
    ["operations list -o json", '"state":"STATE_SUCCEEDED"'],
    ["help exit-codes", "124  --timeout passed"],
    ["completion zsh", "#compdef restartd\n"],
    ["__complete restart deplo", "deployment/\t\n"],
  ])("does %s", async (line, said) => {
    const { code, stdout, stderr } = await restartd(...line.split(" "));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(said);
  });

  it("says what is wrong, and exits so", async () => {
    expect(await restartd("restart", "deployment/checkout")).toMatchObject({ code: 1 });
    expect(await restartd("restart", "podz/x")).toMatchObject({ code: 2 });
  });
});
