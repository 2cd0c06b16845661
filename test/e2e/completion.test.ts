import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NODE, ROOT, run } from "../support/command.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { type Program, startProgram } from "../support/program.ts";
import { need } from "./tools.ts";

const script = need("script");
const bash = need("bash");
const zsh = need("zsh");
const fish = need("fish");

let program: Program;
let folder: Folder;
let env: Record<string, string>;
beforeAll(async () => {
  program = await startProgram();
  folder = await temporaryFolder();
  const command = await folder.write("restartd", `#!/bin/sh\nexec ${NODE} ${ROOT}/bin/restartd.js "$@"\n`);
  await chmod(command, 0o755);
  env = {
    PATH: `${folder.path}:${process.env.PATH}`,
    HOME: folder.path,
    TERM: "xterm",
    RESTARTD_ADDRESS: program.url,
    RESTARTD_NAMESPACE: "shop",
  };
});
afterAll(async () => {
  await program?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

/** What a Tab makes of the words before it, where there is one way to go on. */
const WAYS = [
  ["restartd resta", "restartd restart "],
  ["restartd restart deployments", "restartd restart deployments/"],
  ["restartd restart deployment/we", "restartd restart deployment/web "],
  ["restartd restart sts d", "restartd restart sts db "],
  ["restartd restart deployment/web --sel", "restartd restart deployment/web --selector "],
  ["restartd restart deployment/web --cluster s", "restartd restart deployment/web --cluster sandbox "],
  ["restartd rollout st", "restartd rollout status "],
  ["restartd operations res", "restartd operations resolve "],
] as const;

/** Prepares a shell: Ctrl+T shows the line as it stands, and READY that all of this was read. */
const SHELLS = {
  bash: {
    command: () => `${bash.path} --norc --noprofile -i`,
    prepare: `PS1=; source <(restartd completion bash); bind -x '"\\C-t": echo "LINE<$READLINE_LINE>"'; echo READ''Y\n`,
  },
  zsh: {
    command: () => `${zsh.path} -f -i`,
    prepare:
      "PS1=; autoload -Uz compinit; compinit -u -D; source <(restartd completion zsh); " +
      "show() { print -r -- \"LINE<$BUFFER>\" }; zle -N show; bindkey '^T' show; print READ''Y\n",
  },
  "zsh by fpath": {
    command: () => `${zsh.path} -f -i`,
    prepare:
      'PS1=; mkdir -p "$HOME/fpath"; restartd completion zsh >"$HOME/fpath/_restartd"; fpath=("$HOME/fpath" $fpath); ' +
      "autoload -Uz compinit; compinit -u -D; " +
      "show() { print -r -- \"LINE<$BUFFER>\" }; zle -N show; bindkey '^T' show; print READ''Y\n",
  },
} as const;

/** Types words and a Tab into a shell in a terminal; answers the line as it then stands, and all that the terminal showed since. */
async function typed(shell: keyof typeof SHELLS, words: string): Promise<{ line: string; shown: string }> {
  const { command, prepare } = SHELLS[shell];
  const child = spawn(script.path, ["-qec", command(), "/dev/null"], { env: { ...process.env, ...env } });
  const signal = AbortSignal.timeout(50_000);
  try {
    let shown = "";
    const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (;;) {
        const found = pattern.exec(shown);
        if (found) return found;
        const [chunk] = await once(child.stdout, "data", { signal });
        shown += chunk;
      }
    };
    child.stdin.write(prepare);
    await until(/READY\r?\n/);
    shown = "";
    child.stdin.write(`${words}\t\x14`);
    const [, line = ""] = await until(/LINE<([^>]*)>/);
    return { line, shown };
  } finally {
    child.kill("SIGKILL");
  }
}

// Names come within a second or not at all: on a machine that is busy just then a Tab is pressed again.
const again = { retry: 2 };

describe.skipIf(script.missing || bash.missing)("completion in bash", again, () => {
  it.each(WAYS)("makes of %j %j", async (words, line) => {
    expect((await typed("bash", words)).line).toBe(line);
  });
});

describe.skipIf(script.missing || zsh.missing)("completion in zsh", again, () => {
  it.each(WAYS)("makes of %j %j", async (words, line) => {
    expect((await typed("zsh", words)).line).toBe(line);
  });

  it("is found by its name in fpath, at the first Tab", async () => {
    expect((await typed("zsh by fpath", "restartd restart deployment/we")).line).toBe(
      "restartd restart deployment/web ",
    );
  });

  it("describes what there is", async () => {
    const { line, shown } = await typed("zsh", "restartd re");
    expect(line).toBe("restartd re");
    expect(shown).toMatch(/restart +-- restart workloads and instances/);
    expect(shown).toMatch(/retry +-- run the failed job/);
  });
});

describe.skipIf(fish.missing)("completion in fish", again, () => {
  const complete = async (words: string): Promise<string[]> => {
    const line = `restartd completion fish | source; complete -C ${JSON.stringify(words)}`;
    const { stdout, stderr } = await run(fish.path, ["--no-config", "-c", line], { env });
    expect(stderr).toBe("");
    return stdout.trimEnd().split("\n");
  };

  it.each(WAYS)("makes of %j %j", async (words, line) => {
    const [candidate = "", ...more] = await complete(words);
    expect(more).toEqual([]);
    // fish itself puts a blank behind what does not end in a slash.
    const word = candidate.split("\t")[0] ?? "";
    expect(`${words.slice(0, words.lastIndexOf(" "))} ${word}${word.endsWith("/") ? "" : " "}`).toBe(line);
  });

  it("describes what there is", async () => {
    expect(await complete("restartd re")).toEqual(expect.arrayContaining(["restart\trestart workloads and instances"]));
  });
});

describe("completion where no server is", () => {
  it("is silent, and still knows the words", async () => {
    const gone = { ...env, RESTARTD_ADDRESS: "http://127.0.0.1:1" };
    const ask = (...words: string[]) =>
      run(NODE, [join(ROOT, "bin/restartd.js"), "__complete", ...words], { env: gone });
    expect(await ask("restart", "deployment/w")).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect((await ask("restart", "dep")).stdout).toContain("deployment/\t");
  });
});
