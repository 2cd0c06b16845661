import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { startCollector } from "../support/collector.ts";
import { NODE, ROOT } from "../support/command.ts";

const { version } = manifest;
const architecture = process.arch === "x64" ? "amd64" : process.arch;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);
const list = (archive: string): string[] =>
  execFileSync("tar", ["-tf", at("one", archive)], { encoding: "utf8" })
    .trim()
    .split("\n");
const make = (name: string): void => {
  const env = { ...process.env, SOURCE_DATE_EPOCH: "1700000000" };
  execFileSync(NODE, ["scripts/release.ts", at(name)], { cwd: ROOT, env, stdio: ["ignore", 2, 2] });
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-release-test-"));
  make("one");
  mkdirSync(at("npm"));
  execFileSync("tar", ["-xzf", at("one", `restartd-${version}.tgz`), "-C", at("npm")]);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("scripts/release.ts", () => {
  it("makes everything, each with its sum", () => {
    expect(readdirSync(at("one")).sort()).toEqual(
      [
        "SHA256SUMS",
        "THIRD_PARTY_NOTICES.md",
        "restartd.binpb",
        `restartd-${version}.cdx.json`,
        `restartd-${version}.tgz`,
        `restartd-chart-${version}.tgz`,
        `restartd-client-${version}.tgz`,
        `restartd-image-${version}-linux-${architecture}.tar`,
        `restartd-proto-${version}.tar.gz`,
      ].sort(),
    );
    const checked = spawnSync("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: at("one"), encoding: "utf8" });
    expect(checked).toMatchObject({ status: 0 });
    expect(checked.stdout.trim().split("\n")).toHaveLength(8);
  });

  it("makes the same again, byte for byte", () => {
    make("two");
    expect(readFileSync(at("two/SHA256SUMS"), "utf8")).toBe(readFileSync(at("one/SHA256SUMS"), "utf8"));
  }, 300_000);

  it("has in each what it should have, and nothing of this machine", () => {
    expect(list(`restartd-image-${version}-linux-${architecture}.tar`)).toEqual(
      expect.arrayContaining(["index.json", "oci-layout"]),
    );
    expect(list(`restartd-chart-${version}.tgz`)).toContain("restartd/Chart.yaml");
    expect(list(`restartd-client-${version}.tgz`)).toContain("package/dist/index.d.ts");
    const protos = list(`restartd-proto-${version}.tar.gz`);
    for (const path of ["restart/kubernetes/v1/workload_service.proto", "buf/validate/validate.proto"]) {
      expect(protos).toContain(`restartd-proto-${version}/${path}`);
    }
    for (const name of ["LICENSE", "THIRD_PARTY_NOTICES.md"]) {
      expect(readFileSync(at("npm/package", name), "utf8")).toBe(readFileSync(join(ROOT, name), "utf8"));
    }
    const main = readFileSync(at("npm/package/lib/restartd/main.js"), "utf8");
    expect(main).not.toContain(ROOT);
  });

  it("tells of what others made: in the bill of materials and, with its licence, in the notices", () => {
    const bill = JSON.parse(readFileSync(at("one", `restartd-${version}.cdx.json`), "utf8"));
    expect(bill).toMatchObject({
      bomFormat: "CycloneDX",
      specVersion: "1.5",
      serialNumber: expect.stringMatching(
        /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      ),
      metadata: { timestamp: "2023-11-14T22:13:20.000Z" },
    });
    const components: { name: string; version: string }[] = bill.components;
    const names = components.map(({ name }) => name);
    for (const name of ["@connectrpc/connect", "pg", "pg-protocol", "undici", "preact", "pino"])
      expect(names).toContain(name);
    for (const name of ["vitest", "esbuild", "@biomejs/biome"]) expect(names).not.toContain(name);
    const text = readFileSync(at("one/THIRD_PARTY_NOTICES.md"), "utf8");
    for (const { name, version } of components) {
      expect(text).toContain(`\n## ${name.replace(/^node-linux-.*/, "node")} ${version}\n`);
    }
  });
});

describe("the npm package restartd", () => {
  const bin = () => at("npm/package/bin/restartd.cjs");

  it("needs no other package, and runs where no source is", () => {
    const published = JSON.parse(readFileSync(at("npm/package/package.json"), "utf8"));
    expect(published).not.toHaveProperty("dependencies");
    expect(published).toMatchObject({ bin: { restartd: "bin/restartd.cjs" }, engines: { node: ">=24.15" } });
    const said = spawnSync(NODE, [bin(), "--version"], { encoding: "utf8", cwd: folder });
    expect(said).toMatchObject({ status: 0 });
    expect(said.stdout).toContain(version);
    expect(spawnSync(NODE, [bin(), "help"], { encoding: "utf8", cwd: folder })).toMatchObject({ status: 0 });
  });

  it("serves the sandbox, pages included", async () => {
    const script = `
      const { spawn } = require("node:child_process");
      const child = spawn(process.execPath, [${JSON.stringify(bin())}, "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "ignore"] });
      let told = "";
      child.stdout.on("data", async (chunk) => {
        const [, url] = /console: (\\S+)/.exec((told += chunk)) ?? [];
        if (url === undefined) return;
        const answer = await fetch(url);
        console.log(answer.status, answer.headers.get("content-type"));
        child.kill("SIGTERM");
      });
      child.on("exit", (code) => console.log("ended", code));`;
    const { stdout } = spawnSync(NODE, ["-e", script], { encoding: "utf8", cwd: folder });
    expect(stdout).toMatch(/^200 text\/html[^\n]*\nended 0\n$/);
  });

  it("sends traces where it is told to, by what it brings along", async () => {
    await using collector = await startCollector();
    const config = {
      listen: "127.0.0.1:0",
      kubernetes: { clusters: [{ name: "here", kubeconfig: at("kubeconfig") }] },
      telemetry: { traces: { otlp: { endpoint: collector.url } } },
    };
    const cluster = { name: "only", cluster: { server: "https://127.0.0.1:1" } };
    const context = { name: "only", context: { cluster: "only", user: "only" } };
    const kubeconfig = { clusters: [cluster], contexts: [context], users: [{ name: "only", user: { token: "t" } }] };
    writeFileSync(at("kubeconfig"), JSON.stringify({ "current-context": "only", ...kubeconfig }), { mode: 0o600 });
    writeFileSync(at("traces.yaml"), JSON.stringify(config));
    const child = spawn(NODE, [bin(), "--config", at("traces.yaml")], { cwd: folder, stdio: ["ignore", "pipe", 2] });
    const ended = once(child, "exit");
    try {
      if (child.stdout === null) throw new Error("stdout is not a pipe");
      const [line] = await once(createInterface({ input: child.stdout }), "line");
      const url = String(line).replace(/.* /, "");
      const headers = { "content-type": "application/json" };
      const rpc = "restart.server.v1.ServerService/GetServer";
      expect((await fetch(`${url}/${rpc}`, { method: "POST", headers, body: "{}" })).status).toBe(200);
      expect(await collector.span(({ kind }) => kind === "SERVER")).toMatchObject({
        name: rpc,
        resource: { "service.name": "restartd", "service.version": version },
      });
    } finally {
      child.kill("SIGTERM");
    }
    expect(await ended).toEqual([0, null]);
  });

  it("tells an old Node in one line what it needs", () => {
    writeFileSync(at("old.cjs"), 'Object.defineProperty(process.versions, "node", { value: "24.14.9" });\n');
    const { status, stdout, stderr } = spawnSync(NODE, ["-r", at("old.cjs"), bin()], { encoding: "utf8" });
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toBe("restartd needs Node.js 24.15 or newer, and this is 24.14.9\n");
  });
});
