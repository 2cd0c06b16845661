import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import schema from "../../docs/operations/log.schema.json" with { type: "json" };
import { ConfigSchema } from "../../gen/restart/config/v1/config_pb.ts";
import { createMetrics } from "../../src/admin/metrics.ts";
import { MIGRATIONS, MIN_PROGRAM } from "../../src/operations/store/migrations.ts";
import { MESSAGES } from "../../src/server/log-messages.ts";
import { ROOT, run } from "../support/command.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { wrongLine } from "../support/log-schema.ts";

const FOLDER = join(ROOT, "docs/operations");
const PAGES = readdirSync(FOLDER).filter((name) => name.endsWith(".md"));
const textOf = (page: string): string => readFileSync(join(FOLDER, page), "utf8");
const blocks = (page: string, language: string): string[] =>
  [...textOf(page).matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(
    ([, code]) => code?.trim() ?? "",
  );

/** Commands that other tests run, since they take their time or need what is not everywhere, and which. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "npm run image": "test/e2e/image.test.ts",
  "helm template": "test/deploy/chart.test.ts",
  "kubectl kustomize": "test/cluster/chart.test.ts",
  "kubectl patch": "test/cluster/chart.test.ts",
  "npx buf curl": "test/telemetry/tracing.test.ts",
  "npx restartd operations backup": "test/deploy/commands.test.ts",
  "node src/main.ts store verify": "test/deploy/commands.test.ts",
  "rm -f /var/lib/restartd": "test/deploy/commands.test.ts",
  "node src/main.ts --config": "test/deploy/commands.test.ts",
  "sha256sum --check": "test/e2e/release.test.ts",
};

let folder: Folder;
let file: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  const kubeconfig = await folder.kubeconfig({ server: "https://127.0.0.1:6443" }, { token: "tok" });
  // As the example of systemd has it, with a kubeconfig that is there.
  const example = readFileSync(join(ROOT, "deploy/systemd/restartd.yaml.example"), "utf8");
  file = await folder.write(
    "restartd.yaml",
    example
      .replace("/run/credentials/restartd.service/prod.kubeconfig", kubeconfig)
      .replace("/var/lib/restartd", folder.path),
  );
});
afterAll(() => folder[Symbol.asyncDispose]());

describe.each(PAGES)("docs/operations/%s", (page) => {
  it("has commands that work", async () => {
    for (const command of blocks(page, "sh")) {
      const [, where] = Object.entries(ELSEWHERE).find(([begins]) => command.startsWith(begins)) ?? [];
      if (where !== undefined) expect(existsSync(join(ROOT, where)), where).toBe(true);
      else {
        const line = command.replace("/etc/restartd/restartd.yaml", file);
        expect(await run("sh", ["-c", line], { timeoutMs: 120_000 }), command).toMatchObject({ code: 0 });
      }
    }
  });

  it("has no commands where no test looks for them", () => {
    expect(textOf(page)).not.toMatch(/^ {4,}(?:npm|npx|node|restartd|kubectl|helm) /m);
  });

  it("has links that lead somewhere", () => {
    for (const [, link = ""] of textOf(page).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      expect(existsSync(join(dirname(join(FOLDER, page)), link)), link).toBe(true);
    }
  });

  it("has YAML that can be read", () => {
    for (const text of blocks(page, "yaml"))
      for (const { errors } of parseAllDocuments(text)) expect(errors).toEqual([]);
  });
});

describe("docs/operations", () => {
  it("names every metric of ours, and no other", async () => {
    const now = () => new Date(0);
    const summary = async () => ({ id: "", open: [], schemaVersion: 0, sizeBytes: 0, lastBackup: undefined });
    const build = { version: "", node: "", commit: "" };
    const { render } = createMetrics({ build, configSha256: "", summary, now, monotonic: () => 0 });
    const { body } = await render(false);
    const served = [...body.matchAll(/^# TYPE restartd_(\S+)/gm)].map(([, name]) => name);
    const table = textOf("metrics.md")
      .split("\n")
      .filter((line) => /^\| `/.test(line) && !line.startsWith("| `restartd_..."));
    const named = table.flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name));
    expect(named.sort()).toEqual(served.sort());
  });

  it("has the store's versions in CHANGELOG.md", () => {
    const said = /^Schema (\d+), min_program (\d+):/m.exec(readFileSync(join(ROOT, "CHANGELOG.md"), "utf8"));
    expect(said?.slice(1).map(Number)).toEqual([MIGRATIONS.length, MIN_PROGRAM]);
  });

  it("tells of every section of the configuration", () => {
    const sections = [...textOf("configuration.md").matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    expect(sections.sort()).toEqual(ConfigSchema.fields.map(({ name }) => name).sort());
  });

  it("has every message of the log in its schema, and on its page none that there is not", () => {
    expect(schema.properties.msg.enum).toEqual(MESSAGES);
    const told = [...textOf("log.md").matchAll(/^\| (`.*?) \|/gm)].flatMap(
      ([, cell = ""]) => cell.match(/(?<=`)[^`,]+(?=`)/g) ?? [],
    );
    expect(schema.properties.msg.enum).toEqual(expect.arrayContaining(told.filter((word) => word !== "msg")));
  });

  it.each([
    [{}, "has no level"],
    [{ msg: "hello" }, '"hello" is not one of those'],
    [{ time: "yesterday" }, "is not ^"],
    [{ token: "t" }, "the schema has no token"],
    [{ constructor: "t" }, "the schema has no constructor"],
    [{ duration_ms: "1" }, "is no number"],
    [{ duration_ms: -1 }, "is below 0"],
    [{ cause: { message: "m", cause: { message: "m", body: "b" } } }, "the schema has no body"],
    [{ cause: { message: "m", stack: [1] } }, "is no string"],
  ])("has a schema that refuses %j", (fields, why) => {
    const line = { level: "info", time: "2026-01-31T12:00:00.000Z", msg: "call" };
    expect(wrongLine(line)).toBeUndefined();
    expect(wrongLine(Object.keys(fields).length === 0 ? fields : { ...line, ...fields })).toContain(why);
  });
});
