import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/**
 * Compares proto/ with an earlier revision by `buf breaking`: `node scripts/breaking.ts [REVISION]`.
 *
 * Without REVISION: where the branch left origin's default branch; on that branch itself, or without a remote, HEAD when proto/ has
 * changes that are not committed, else HEAD~1. Passes, saying so, where there is nothing to compare with: a first commit, a
 * shallow clone, a base without protos.
 *
 * buf cannot compare with `.git#ref=...` here: the imports come out of node_modules, which no revision holds. So the base's
 * proto/ is built in a folder of its own beside a link to node_modules, and the image of that is compared.
 */
function main(): number {
  const base = revision(process.argv[2]);
  if (base === undefined) return pass("there is no earlier revision (a first commit, or a shallow clone)");
  const files = git("ls-tree", "-r", "-z", "--name-only", base, "--", "proto")
    .split("\0")
    .filter((path) => path.endsWith(".proto"));
  if (files.length === 0) return pass(`${describe(base)} has no protos`);
  const folder = mkdtempSync(join(tmpdir(), "restartd-breaking-"));
  try {
    for (const path of files) {
      mkdirSync(join(folder, dirname(path)), { recursive: true });
      writeFileSync(join(folder, path), git("cat-file", "blob", `${base}:${path}`));
    }
    copyFileSync("buf.yaml", join(folder, "buf.yaml"));
    symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
    const image = join(folder, "base.binpb");
    const status = buf(folder, "build", "proto", "-o", image) || buf(".", "breaking", "proto", "--against", image);
    console.log(`buf breaking: ${status === 0 ? "nothing breaks" : "FAILED"} against ${describe(base)}`);
    return status;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function revision(wanted: string | undefined): string | undefined {
  if (wanted !== undefined) return git("rev-parse", "--verify", `${wanted}^{commit}`).trim();
  const head = commit("HEAD");
  const fork = tryGit("merge-base", "HEAD", "origin/HEAD") ?? tryGit("merge-base", "HEAD", "origin/main");
  if (fork !== undefined && fork !== head) return fork;
  return git("status", "--porcelain", "--", "proto") === "" ? commit("HEAD~1") : head;
}

function commit(name: string): string | undefined {
  return tryGit("rev-parse", "--verify", "--quiet", `${name}^{commit}`);
}

function describe(base: string): string {
  return git("log", "-1", "--format=%h (%s)", base).trim();
}

function pass(reason: string): number {
  console.log(`buf breaking: passed, nothing to compare with: ${reason}`);
  return 0;
}

function buf(cwd: string, ...args: string[]): number {
  const { status, error } = spawnSync("buf", args, { cwd, stdio: "inherit" });
  if (error !== undefined) throw error;
  return status ?? 1;
}

function git(...args: string[]): string {
  return execFileSync("git", args, { encoding: "utf8" });
}

/** The answer of git without its line end; nothing where git says that there is none. */
function tryGit(...args: string[]): string | undefined {
  const { status, stdout, error } = spawnSync("git", args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  return status === 0 ? stdout.trim() : undefined;
}

process.exitCode = main();
