import { readFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import manifest from "../package.json" with { type: "json" };
import { HELP } from "../src/cli.ts";
import { TARGETS } from "../src/targets/index.ts";
import { NODE, ROOT, run } from "./support/command.ts";
import { temporaryFolder } from "./support/folder.ts";
import { type Program, startProgram } from "./support/program.ts";

const README = readFileSync(join(ROOT, "README.md"), "utf8");

/** Where the README says that the sandbox listens. The tests have it somewhere else. */
const ADDRESS = "127.0.0.1:8080";

/** A fenced block, and the text from its end to the next one of the same language. */
interface Block {
  readonly code: string;
  readonly after: string;
}

function blocks(language: string): Block[] {
  const [, ...parts] = README.split(`\`\`\`${language}\n`);
  return parts.map((part) => {
    const end = part.indexOf("\n```\n");
    return { code: part.slice(0, end), after: part.slice(end + 5) };
  });
}

/** What stands `so`, outside of blocks. */
const spans = (text: string): string[] =>
  [...text.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/`([^`\n]+)`/g)].map(([, span]) => span ?? "");

/** Text as the README can be compared with it: JSON's escapes undone. */
const plain = (output: string): string => output.replaceAll('\\"', '"');

describe("README.md", () => {
  let program: Program;

  beforeAll(async () => {
    program = await startProgram();
  });

  afterAll(() => program[Symbol.asyncDispose]());

  const shell = (line: string) =>
    run("sh", ["-c", line.replaceAll(ADDRESS, program.address)], {
      timeoutMs: 60_000,
      env: { RESTARTD_ADDRESS: program.url },
    });

  it("is one that people read to its end", () => {
    expect(README.split("\n").length).toBeLessThanOrEqual(240);
  });

  it("has the calls to try, beside the two commands", () => {
    const first = blocks("sh").map(({ code }) => code.split(/\s/).slice(0, 3).join(" "));
    expect(first).toEqual([
      "npm ci &&",
      "npx buf curl",
      "npx buf curl",
      "npx buf curl",
      "npx buf curl",
      "npx restartd restart",
      "npm ci &&",
    ]);
  });

  it("says what the program says when it is ready", () => {
    const [said] = program.stdout;
    expect(spans(README)).toContain(said?.replace(program.address, ADDRESS));
    expect(HELP).toContain(`default ${ADDRESS}`);
  });

  it.each(
    blocks("sh")
      .filter(({ code }) => code.startsWith("npx "))
      .map(({ code, after }) => [
        /"name":"(\w+)"\S+ .*\/(\w+)$/s.exec(code)?.slice(1).reverse().join(" "),
        code,
        after,
      ]),
  )("shows what one sees: %s", async (_, code = "", after = "") => {
    const { code: exit, stdout, stderr } = await shell(code);
    const [answer] = /^\s*```json\n([\s\S]*?)\n```$/m.exec(after)?.slice(1) ?? [];
    if (answer !== undefined) expect(stdout.trim()).toBe(answer);
    expect(exit === 0).toBe(!/\bfails with\b/.test(after));
    const shown = spans(after);
    expect(shown.length > 0 || answer !== undefined).toBe(true);
    for (const span of shown) expect(plain(stdout + stderr)).toContain(span);
  });

  it.each(
    spans(README)
      .filter((span) => span.startsWith("npx buf curl -d "))
      .map((line) => [/restart\.(\w+)\.v1/.exec(line)?.[1] ?? "", line] as const),
  )("has a line for %s that works in the sandbox", async (_, line) => {
    const { code, stdout, stderr } = await shell(line);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toBeTypeOf("object");
  });

  it("has such a line for every system that there is", () => {
    const named = [...README.matchAll(/^\| .*`npx buf curl -d .*\/restart\.(\w+)\.v1/gm)].map(([, name]) => name);
    expect(named).toEqual(TARGETS.map(({ name }) => name));
  });

  it("lists what is there by reflection", async () => {
    const lines = spans(README).filter((span) => span.startsWith("npx buf curl --"));
    expect(lines).toHaveLength(1);
    const { code, stdout } = await shell(lines[0] ?? "");
    expect(code).toBe(0);
    const rpcs = stdout.split("\n").filter((line) => line.startsWith("restart."));
    const tables = new Map(
      [...README.matchAll(/\| rpc of `(\S+)` \|[\s\S]*?\n\n/g)].map(([table, service = ""]) => [service, table]),
    );
    expect(rpcs.length).toBeGreaterThan(0);
    for (const rpc of rpcs) {
      const [service = "", name] = rpc.split("/");
      // Small services have a sentence in place of a table.
      const sentence = README.split("\n\n").find((paragraph) => paragraph.includes(service));
      if (tables.has(service)) expect(tables.get(service)).toContain(`\`${name}\``);
      else expect(sentence, service).toContain(name);
    }
  });

  it("has a configuration that is served as it stands", async () => {
    const [yaml] = blocks("yaml");
    await using folder = await temporaryFolder();
    const context = { name: "admin@prod", context: { cluster: "prod", user: "admin" } };
    const kubeconfig = {
      contexts: [context],
      clusters: [{ name: "prod", cluster: { server: "http://127.0.0.1:1" } }],
      users: [{ name: "admin", user: { token: "t" } }],
    };
    await folder.write("prod.kubeconfig", JSON.stringify({ apiVersion: "v1", kind: "Config", ...kubeconfig }));
    const file = await folder.write("restartd.yaml", yaml?.code ?? "");
    await folder.write("arcgis.password", "secret");
    const pod = { HW_AK: "ak", HW_SK: "sk", KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "1" };
    await using configured = await startProgram(["--config", file, "--listen", "127.0.0.1:0"], pod);
    expect(configured.stdout).toEqual([
      `restartd listening on ${configured.url}`,
      `console: ${configured.url}/console/`,
    ]);
  });

  it("leads to a server with TLS, a token and three rules, in the five commands of docs/security.md", async () => {
    const security = readFileSync(join(ROOT, "docs/security.md"), "utf8");
    const commands = [...security.matchAll(/```sh\n([\s\S]*?)\n```/g)].map(([, code]) => code ?? "");
    expect(commands).toHaveLength(5);
    const [certificate = "", token = "", configuration = "", start = "", call = ""] = commands;
    await using folder = await temporaryFolder();
    const kubeconfig = await folder.kubeconfig({ server: "http://127.0.0.1:1" });
    await folder.write("prod.kubeconfig", readFileSync(kubeconfig, "utf8"));
    const program = `${NODE} ${join(ROOT, "src/main.ts")}`;
    const here = (line: string) =>
      run("sh", ["-c", `cd ${folder.path} && ${line.replace(/npm (-s )?start --/, program)}`], { timeoutMs: 60_000 });
    for (const command of [certificate, token, configuration]) {
      const { code, stderr } = await here(command);
      expect(code, stderr).toBe(0);
    }
    expect(start).toBe("npm start -- --config restartd.yaml");
    await using secure = await startProgram([
      "--config",
      join(folder.path, "restartd.yaml"),
      "--listen",
      "127.0.0.1:0",
    ]);
    const { code, stdout, stderr } = await here(call.replace("8443", new URL(secure.url).port));
    expect(code, stderr).toBe(0);
    expect(spans(security)).toContain(stdout);
    const asked = spans(security).find((span) => span.startsWith("npm start -- policy test")) ?? "";
    expect(await here(asked)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^allow: /) });
    const database = asked.replace("deployments/web", "statefulsets/db");
    expect(await here(database)).toMatchObject({ code: 1, stdout: expect.stringMatching(/^deny: .*not-the-database/) });
  }, 180_000);

  it("names commands that are there", () => {
    const code = [...spans(README), ...blocks("sh").map((block) => block.code)].join("\n");
    const scripts = [...code.matchAll(/\bnpm (?:run )?([a-z][a-z:]*)/g)].map(([, name]) => name);
    expect(scripts.length).toBeGreaterThan(5);
    for (const script of scripts) {
      if (script !== "ci") expect(Object.keys(manifest.scripts)).toContain(script);
    }
  });

  it("links to files that are there", async () => {
    const links = [...README.matchAll(/\]\(((?!https?:)[^)#]+)\)/g)].map(([, link]) => link ?? "");
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) await access(join(ROOT, link));
  });
});
