/**
 * Installs what tests need that is not from npm, clients and PostgreSQL: `node test/e2e/setup.ts`.
 *
 * grpcurl is built from the Go module proxy and Python's packages go into the cache folder. curl, Chromium, PostgreSQL, shells and
 * Python's venv come from Debian's packages, for root only. What is there already is not installed again.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "../cluster/build.ts";
import { findProgram, pythonFolder, pythonMarker, requirements, type Tool, tools } from "./tools.ts";

/** Which of Debian's packages brings a program. */
const PACKAGES: readonly (readonly [Tool, string])[] = [
  ["curl", "curl"],
  ["chromium", "chromium"],
  ["postgres", "postgresql"],
  ["pgbouncer", "pgbouncer"],
  ["promtool", "prometheus"],
  ["runc", "runc"],
  ["zsh", "zsh"],
  ["fish", "fish"],
];

/** Installs everything that is not there. Rejects with what to do where it cannot. */
export async function setup(): Promise<void> {
  await build(["grpcurl", "conformance", "helm"]);
  const packages = PACKAGES.filter(([tool]) => tools[tool]() === undefined).map(([, name]) => name);
  if (tools.python() === undefined && !(await hasVenv())) packages.push("python3-venv");
  if (packages.length > 0) await installPackages(packages);
  if (tools.python() === undefined) await installPython();
  for (const [name, find] of Object.entries(tools)) {
    const path = find();
    if (path === undefined) throw new Error(`${name} is still not there`);
    say(`${name}: ${path}`);
  }
}

/** Debian's python3 alone can make no virtual environment with pip in it. */
async function hasVenv(): Promise<boolean> {
  return findProgram("python3") !== undefined && (await call("python3", ["-c", "import ensurepip, venv"])) === 0;
}

async function installPackages(packages: readonly string[]): Promise<void> {
  if (process.getuid?.() !== 0 || findProgram("apt-get") === undefined) {
    throw new Error(`${packages.join(" and ")} cannot be installed from here: do it by your system's packages`);
  }
  say(`installing ${packages.join(", ")} from Debian's packages`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await must("apt-get", ["update", "-qq"], env);
  await must("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], env);
}

async function installPython(): Promise<void> {
  const folder = pythonFolder();
  say(`installing Python's packages into ${folder}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await must("python3", ["-m", "venv", folder]);
  const options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--no-deps"];
  await must(join(folder, "bin/python"), ["-m", "pip", "install", ...options, "--requirement", requirements]);
  writeFileSync(pythonMarker(), "");
}

async function must(program: string, args: readonly string[], env: Record<string, string> = {}): Promise<void> {
  const code = await call(program, args, env);
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 3).join(" ")} failed (${code})`);
}

/** Runs a program whose output is progress: stdout stays empty. */
async function call(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<number | null> {
  const child = spawn(program, args, { stdio: ["ignore", 2, 2], env: { ...process.env, ...env } });
  const [code] = await once(child, "close");
  return code;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

if (import.meta.main) {
  try {
    await setup();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
