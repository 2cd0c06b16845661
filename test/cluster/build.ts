/**
 * Builds the programs that tests against a real control plane run: `node test/cluster/build.ts [MODULE...]`.
 *
 * Needs nothing but Go and its module proxy. What is there already is not built again; progress goes to stderr.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { builtFolder, cacheFolder, type GoModule, goModules, goTarget, isBuilt, sourceFolder } from "./modules.ts";

const heartbeatMs = 10_000;

/** Builds the named modules (default: all) that are not built yet. Rejects with what to do when Go is missing, too old or fails. */
export async function build(names: readonly string[] = []): Promise<void> {
  const unknown = names.filter((name) => !goModules.some((module) => module.name === name));
  if (unknown.length > 0) {
    throw new Error(
      `unknown module ${unknown.join(", ")}: there are ${goModules.map((module) => module.name).join(", ")}`,
    );
  }
  const todo = goModules.filter((module) => (names.length === 0 || names.includes(module.name)) && !isBuilt(module));
  if (todo.length === 0) {
    say(`everything is built already in ${cacheFolder()}`);
    return;
  }
  const version = await checkGo();
  say(`building ${todo.map((module) => module.name).join(", ")} with ${version} into ${cacheFolder()}`);
  say("the first time this takes 10 to 15 minutes on two cores, nearly all of it compiling");
  for (const [index, module] of todo.entries()) {
    await buildModule(module, `[${index + 1}/${todo.length}] ${module.name}`);
  }
}

async function buildModule(module: GoModule, label: string): Promise<void> {
  const started = performance.now();
  mkdirSync(cacheFolder(), { recursive: true });
  const folder = mkdtempSync(join(cacheFolder(), `.building-${module.name}-`));
  try {
    const seen = { compiled: 0, downloaded: 0, last: "" };
    const beat = setInterval(() => {
      const doing = seen.last ? `, now ${seen.last}` : "";
      say(
        `${label}: ${seconds(started)}, ${seen.downloaded} modules downloaded, ${seen.compiled} packages compiled${doing}`,
      );
    }, heartbeatMs);
    say(`${label}: started`);
    try {
      await compile(module, folder, (line) => {
        if (line.startsWith("go: downloading ")) seen.downloaded += 1;
        else seen.compiled += 1;
        seen.last = line.replace("go: ", "");
      });
      await copyAssets(module, folder);
    } finally {
      clearInterval(beat);
    }
    publish(module, folder);
    say(`${label}: done in ${seconds(started)} (${seen.compiled} packages compiled)`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compile(module: GoModule, folder: string, onLine: (line: string) => void): Promise<void> {
  const programs = Object.entries(module.programs);
  const [first] = programs;
  // Go names a program after its package's folder: right for several at once, and said explicitly for one.
  const output = programs.length === 1 && first ? join(folder, first[0]) : `${folder}/`;
  const flags = ["-v", "-trimpath", "-buildvcs=false", `-ldflags=${module.ldflags}`, "-o", output];
  await go(["build", ...flags, ...programs.map(([, path]) => path)], sourceFolder(module), onLine);
}

async function copyAssets(module: GoModule, folder: string): Promise<void> {
  if (module.assets === undefined) return;
  // A dependency that no program imports is not there yet.
  await go(["mod", "download", module.assets.module], sourceFolder(module));
  const source = await go(["list", "-m", "-f", "{{.Dir}}", module.assets.module], sourceFolder(module));
  for (const [to, from] of Object.entries(module.assets.files)) {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    copyFileSync(join(source.trim(), from), join(folder, to));
  }
}

/** Renames the finished folder into place: whoever looks sees all of it or nothing. */
function publish(module: GoModule, folder: string): void {
  try {
    renameSync(folder, builtFolder(module));
  } catch (error) {
    // Another build of the same sources was quicker: its result is as good as ours.
    if (!isBuilt(module)) throw error;
  }
}

/** The version of the Go found, when it is new enough for every go.mod. */
async function checkGo(): Promise<string> {
  const needed = goModules.map(goLine).reduce((newest, line) => (compareVersions(line, newest) > 0 ? line : newest));
  let found: string;
  try {
    found = (await go(["env", "GOVERSION"], import.meta.dirname)).trim();
  } catch (error) {
    throw new Error(
      `Go ${needed} or newer is needed to build the control plane, and \`go\` could not be run: install it and put it in PATH`,
      { cause: error },
    );
  }
  if (compareVersions(found.replace(/^go/, ""), needed) < 0) {
    throw new Error(`Go ${needed} or newer is needed to build the control plane; the \`go\` in PATH is ${found}`);
  }
  return found;
}

function goLine(module: GoModule): string {
  const text = readFileSync(join(sourceFolder(module), "go.mod"), "utf8");
  return /^go (\S+)$/m.exec(text)?.[1] ?? "1.26.0";
}

function compareVersions(left: string, right: string): number {
  const parts = (version: string) => version.split(".").map((part) => Number.parseInt(part, 10) || 0);
  const [a, b] = [parts(left), parts(right)];
  for (let index = 0; index < 3; index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Runs Go and answers its stdout; `onLine` gets each line of stderr, whose end is in the error when Go fails. */
async function go(args: string[], folder: string, onLine: (line: string) => void = () => {}): Promise<string> {
  const options: SpawnOptions = {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      CGO_ENABLED: "0",
      GOOS: goTarget().os,
      GOARCH: goTarget().arch,
      // The result depends on the go.mod alone: no workspace around it, no flags of the user, no other Go than the one checked.
      GOWORK: "off",
      GOFLAGS: "",
      GOTOOLCHAIN: "local",
    },
  };
  const child = spawn("go", args, options);
  const tail: string[] = [];
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  if (child.stderr) {
    createInterface({ input: child.stderr }).on("line", (line) => {
      tail.push(line);
      if (tail.length > 30) tail.shift();
      onLine(line);
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("close", resolve);
  });
  if (code !== 0) throw new Error(`go ${args[0]} in ${basename(folder)} failed:\n${tail.join("\n")}`);
  return output;
}

function seconds(since: number): string {
  return `${Math.round((performance.now() - since) / 1000)} s`;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

if (import.meta.main) {
  try {
    await build(process.argv.slice(2));
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
