import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const SCRIPT = resolve("scripts/breaking.ts");
const GIT_ENV = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_AUTHOR_NAME: "t",
  GIT_AUTHOR_EMAIL: "t@example.com",
  GIT_COMMITTER_NAME: "t",
  GIT_COMMITTER_EMAIL: "t@example.com",
};

let checkout: string;

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), "restartd-breaking-test-"));
  git("init", "-q", "-b", "main");
  symlinkSync(resolve("node_modules"), join(checkout, "node_modules"));
  write(".gitignore", "node_modules\n");
  write("buf.yaml", "version: v2\nmodules:\n  - path: proto\nbreaking:\n  use: [FILE]\n");
});
afterEach(() => rmSync(checkout, { recursive: true }));

describe("breaking", () => {
  it("passes on a first commit and says why", () => {
    writeThing("string name = 1; string other = 2;");
    commitAll("first");
    expect(breaking()).toEqual({
      status: 0,
      output:
        "buf breaking: passed, nothing to compare with: there is no earlier revision (a first commit, or a shallow clone)\n",
    });
  });

  it("passes when the previous revision has no protos and says so", () => {
    const first = commitAll("no protos yet");
    writeThing("string name = 1;");
    commitAll("protos");
    expect(breaking()).toEqual({
      status: 0,
      output: `buf breaking: passed, nothing to compare with: ${first} (no protos yet) has no protos\n`,
    });
  });

  it("lets a new field pass and names a removed one", () => {
    writeThing("string name = 1; string other = 2;");
    commitAll("first");
    writeThing("string name = 1; string other = 2; string third = 3;");
    const second = commitAll("second");
    expect(breaking().status).toBe(0);
    writeThing("string name = 1;");
    expect(breaking()).toEqual({
      status: 100,
      output: [
        `proto/a/v1/a.proto:3:1:Previously present field "2" with name "other" on message "Thing" was deleted.`,
        `proto/a/v1/a.proto:3:1:Previously present field "3" with name "third" on message "Thing" was deleted.`,
        `buf breaking: FAILED against ${second} (second)`,
        "",
      ].join("\n"),
    });
  });

  it("compares a branch with where it left origin's, and a named revision when one is given", () => {
    writeThing("string name = 1; string other = 2;");
    const fork = commitAll("fork");
    git("update-ref", "refs/remotes/origin/main", "HEAD");
    writeThing("string name = 1;");
    commitAll("removed on the branch");
    write("README.md", "x");
    const head = commitAll("unrelated");
    expect(breaking().output).toContain(`FAILED against ${fork} (fork)`);
    expect(breaking("HEAD")).toEqual({
      status: 0,
      output: `buf breaking: nothing breaks against ${head} (unrelated)\n`,
    });
  });
});

function writeThing(fields: string): void {
  write("proto/a/v1/a.proto", `syntax = "proto3";\npackage a.v1;\nmessage Thing { ${fields} }\n`);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(checkout, path)), { recursive: true });
  writeFileSync(join(checkout, path), text);
}

function commitAll(message: string): string {
  git("add", "-A");
  git("commit", "-q", "--allow-empty", "-m", message);
  return git("rev-parse", "--short", "HEAD").trim();
}

function git(...args: string[]): string {
  return execFileSync("git", args, { cwd: checkout, encoding: "utf8", env: { ...process.env, ...GIT_ENV } });
}

function breaking(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], {
    cwd: checkout,
    encoding: "utf8",
    env: { ...process.env, ...GIT_ENV },
  });
  return { status, output: stdout + stderr };
}
