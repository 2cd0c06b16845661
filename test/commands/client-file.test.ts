import { chmod, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ClientContext } from "../../src/commands/client.ts";
import { defaultsOf } from "../../src/commands/client-file.ts";
import { runClient } from "../../src/commands/index.ts";
import { run as runProcess } from "../support/command.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";

let folder: Folder;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

async function run(args: readonly string[], env: Record<string, string> = {}) {
  let [stdout, stderr] = ["", ""];
  const context: ClientContext = {
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    now: () => 0,
    newId: () => "",
    env: { RESTARTD_CLIENT_CONFIG: join(folder.path, "client.yaml"), ...env },
    interrupted: new AbortController().signal,
    sleep: async () => {},
    colors: false,
  };
  return { code: await runClient(args, context), stdout, stderr };
}

const FILE = `# servers
current_context: test # for now
contexts:
  - name: test
    address: http://127.0.0.1:1
  - { name: prod, address: "https://restartd.example.com", cluster: prod, namespace: shop, token: { file: token } } # care
`;

describe("the client's file", () => {
  it("has contexts, of which one is current", async () => {
    await folder.write("client.yaml", FILE);
    expect((await run(["config", "get-contexts"])).stdout).toBe(
      [
        "CURRENT  NAME  ADDRESS                       CLUSTER  NAMESPACE",
        "*        test  http://127.0.0.1:1",
        "         prod  https://restartd.example.com  prod     shop",
        "",
      ].join("\n"),
    );
    expect((await run(["config", "current-context"])).stdout).toBe("test\n");
    expect((await run(["config", "view"])).stdout).toBe(FILE);
  });

  it("is changed in one line, and keeps its comments", async () => {
    const path = await folder.write("client.yaml", FILE);
    expect(await run(["config", "use-context", "prod"])).toMatchObject({ code: 0 });
    expect(await readFile(path, "utf8")).toBe(FILE.replace("current_context: test", "current_context: prod"));
    const without = FILE.replace(/^current_context.*\n/m, "");
    await folder.write("client.yaml", without);
    expect(await run(["config", "use-context", "prod"])).toMatchObject({ code: 0 });
    expect(await readFile(path, "utf8")).toBe(`current_context: prod\n${without}`);
  });

  it.each([
    [["config", "use-context", "prd"]],
    [["version", "--context", "prd"]],
    [["operations", "list", "--context", "prd"]],
  ])("knows no context that it does not have: %j", async (args) => {
    await folder.write("client.yaml", FILE);
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toContain('there is no context "prd": use test, prod');
  });

  it("gives the server's address, which flags and the environment come before", async () => {
    await folder.write("client.yaml", FILE);
    expect((await run(["version"])).stderr).toContain("cannot reach http://127.0.0.1:1:");
    expect((await run(["operations", "list"])).stderr).toContain("cannot reach http://127.0.0.1:1:");
    const env = { RESTARTD_ADDRESS: "http://127.0.0.1:2" };
    expect((await run(["version"], env)).stderr).toContain("cannot reach http://127.0.0.1:2:");
    expect((await run(["version", "--address", "127.0.0.1:3"], env)).stderr).toContain(
      "cannot reach http://127.0.0.1:3:",
    );
  });

  it("gives defaults, and a token whose file others can read is worth a warning", async () => {
    const path = await folder.write("client.yaml", FILE);
    const token = await folder.write("token", "secret\n");
    const warnings: string[] = [];
    const read = () => defaultsOf("prod", { RESTARTD_CLIENT_CONFIG: path }, (text) => warnings.push(text));
    await chmod(token, 0o600);
    expect(read()).toMatchObject({ cluster: "prod", namespace: "shop", token: "secret" });
    expect(warnings).toEqual([]);
    await chmod(token, 0o644);
    read();
    expect(warnings).toEqual([`Warning: others can read the token in ${token}: chmod 600 it\n`]);
  });

  it("has all of its mistakes told at once, with their places", async () => {
    const path = await folder.write(
      "client.yaml",
      "current_context: c\ncontexts:\n  - { name: a, address: 'http://example.com' }\n  - { name: a, tokn: x }\n  - { name: b, token: secret }\n",
    );
    const { code, stdout, stderr } = await run(["get", "clusters"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`${path}:1:18: current_context: there is no context "c"`);
    expect(stderr).toContain(
      `${path}:3:25: contexts[0].address: must be https://HOST[:PORT], or http:// for a loopback host`,
    );
    expect(stderr).toContain(`${path}:4:13: contexts[1].name: "a" stands twice`);
    expect(stderr).toContain("contexts[1].tokn: is not a known key; did you mean token?");
    expect(stderr).toContain("contexts[2].token");
    expect(stderr).not.toContain("secret");
  });

  it("need not be there, unless the environment names it", async () => {
    expect(await run(["config", "get-contexts"])).toMatchObject({ code: 2 });
    const env = { RESTARTD_CLIENT_CONFIG: "", XDG_CONFIG_HOME: folder.path };
    expect(await run(["config", "get-contexts"], env)).toMatchObject({ code: 0, stdout: "" });
    await mkdir(join(folder.path, "restartd"));
    await folder.write("restartd/client.yaml", FILE);
    expect((await run(["config", "current-context"], env)).stdout).toBe("test\n");
  });
});

describe("completion", () => {
  const complete = async (...words: string[]) => {
    await folder.write("client.yaml", FILE);
    const { code, stdout, stderr } = await run(["__complete", ...words]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout.split("\n").flatMap((line) => line.split("\t")[0] || []);
  };

  it("knows commands, flags, their values, types and contexts", async () => {
    expect(await complete("re")).toEqual(["restart", "refresh", "retry"]);
    expect(await complete("rollout", "")).toEqual(["restart", "status"]);
    expect(await complete("restart", "--acknow")).toEqual(["--acknowledge-data-loss"]);
    expect(await complete("restart", "-o", "")).toEqual(["name", "json", "yaml", "wide"]);
    expect(await complete("restart", "de")).toEqual(["deployment/", "deployments/", "deploy/"]);
    expect(await complete("get", "--context", "")).toEqual(["test", "prod"]);
    expect(await complete("config", "use-context", "p")).toEqual(["prod"]);
    expect(await complete("operations", "w")).toEqual(["watch", "wait"]);
  });

  it("is silent where the server cannot be asked", async () => {
    expect(await complete("restart", "deployment/")).toEqual([]);
    expect(await complete("restart", "--cluster", "")).toEqual([]);
  });

  it.each(["bash", "zsh", "fish"])("has a script of at most 15 lines for %s", async (shell) => {
    const { code, stdout } = await run(["completion", shell]);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n").length).toBeLessThanOrEqual(15);
  });

  it("completes in bash", async () => {
    const { stdout } = await run(["completion", "bash"]);
    const bash = `restartd() { "${process.execPath}" src/main.ts "$@"; }
${stdout}
COMP_WORDS=(restartd rollout st) COMP_CWORD=2
_restartd 2>/dev/null
printf '%s\\n' "\${COMPREPLY[@]}"`;
    expect(await runProcess("bash", ["-c", bash])).toMatchObject({ code: 0, stdout: "status\n" });
  });
});
