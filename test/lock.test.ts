import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "./support/command.ts";
import { temporaryFolder } from "./support/folder.ts";

interface Entry {
  readonly version?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly optional?: boolean;
  readonly os?: string | string[];
  readonly cpu?: string | string[];
}

const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), "utf8"));
const manifest: Record<string, Record<string, string>> = read("package.json");
const lock: { readonly packages: Readonly<Record<string, Entry>> } = read("package-lock.json");
const entries = Object.entries(lock.packages).filter(([path]) => path !== "");
const nodes = entries.filter(([path]) => /^node_modules\/node(-bin)?-(linux|darwin|win)-/.test(path));

describe("package-lock.json", () => {
  it("pins every package by its hash", () => {
    expect(entries.length).toBeGreaterThan(100);
    expect(entries.filter(([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ""))).toEqual([]);
  });

  it("takes Node of packages, one for each platform, of which none runs anything when it is installed", () => {
    const platforms = nodes.map(([, { os, cpu }]) => `${[os].flat()} ${[cpu].flat()}`);
    expect(platforms.sort()).toEqual([
      "darwin arm64",
      "darwin x64",
      "linux arm64",
      "linux x64",
      "win32 arm64",
      "win32 x64",
    ]);
    expect(nodes.filter(([, { hasInstallScript, optional }]) => hasInstallScript || !optional)).toEqual([]);
    expect(entries.filter(([path]) => /(^|\/)node_modules\/node(-bin-setup)?$/.test(path))).toEqual([]);
  });

  it("says exactly which version of each package is wanted", () => {
    for (const kind of ["dependencies", "optionalDependencies", "devDependencies"]) {
      expect(Object.values(manifest[kind] ?? {}).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    }
  });

  it("lets no other package run anything when it is installed than those that it names", () => {
    const running = entries.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path.slice(13));
    expect(running.sort()).toEqual(Object.keys(manifest.allowScripts ?? {}).sort());
  });
});

describe("scripts/link-node.js", () => {
  it("puts this platform's Node where npm's scripts look first, whatever was there", async () => {
    await using folder = await temporaryFolder();
    const own = nodes.find(([, { os, cpu }]) => os === process.platform && cpu === process.arch)?.[0] ?? "";
    mkdirSync(join(folder.path, own, "bin"), { recursive: true });
    cpSync(join(ROOT, "scripts/link-node.js"), join(folder.path, "scripts/link-node.js"));
    cpSync(join(ROOT, "package.json"), join(folder.path, "package.json"));
    writeFileSync(join(folder.path, own, "bin/node"), `#!/bin/sh\nexec "${process.execPath}" "$@"\n`);
    for (let times = 0; times < 2; times++) {
      expect(spawnSync(process.execPath, ["scripts/link-node.js"], { cwd: folder.path }).status).toBe(0);
      const { stdout } = spawnSync(join(folder.path, "node_modules/.bin/node"), ["--version"]);
      expect(String(stdout).trim()).toBe(process.version);
    }
    rmSync(join(folder.path, own), { recursive: true });
    const { status, stderr } = spawnSync(process.execPath, ["scripts/link-node.js"], { cwd: folder.path });
    expect({ status, stderr: String(stderr) }).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("install Node 24 yourself"),
    });
  });
});
