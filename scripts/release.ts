import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import manifest from "../package.json" with { type: "json" };
import { commit } from "./bundle.ts";
import { buildClientPackage } from "./client-package.ts";
import { componentsOf, sbom } from "./components.ts";
import { buildServerPackage } from "./server-package.ts";

/*
 * Makes everything that a release has: `node scripts/release.ts [OUT]`, by default dist/release, flat, with SHA256SUMS. Nothing is
 * fetched, and twice of the same commit on the same machine it is the same, byte for byte.
 */

const ROOT = resolve(import.meta.dirname, "..");
const { version } = manifest;
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** Every time in it: that of the commit. */
const epoch = process.env.SOURCE_DATE_EPOCH ?? git("log", "-1", "--format=%ct");
const time = new Date(Number(epoch) * 1000);

async function main(out: string): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), "restartd-release-"));
  const write = (name: string, content: Uint8Array | string): void => writeFileSync(join(out, name), content);
  try {
    const { metafile } = await buildServerPackage(join(work, "server"));
    write(`restartd-${version}.tgz`, await archive(join(work, "server"), "package", true));
    buildClientPackage(join(work, "client"));
    write(`restartd-client-${version}.tgz`, await archive(join(work, "client"), "package", true));

    run(process.execPath, "deploy/image.ts", "--out", join(work, "image"));
    write(`restartd-image-${version}-linux-${ARCHITECTURE}.tar`, await archive(join(work, "image"), "", false));
    write(`restartd-chart-${version}.tgz`, await archive(join(ROOT, "deploy/chart/restartd"), "restartd", true));

    const buf = join(ROOT, "node_modules/.bin/buf");
    run(buf, "build", "proto", "-o", join(out, "restartd.binpb"));
    run(buf, "export", "proto", "-o", join(work, "proto"));
    write(`restartd-proto-${version}.tar.gz`, await archive(join(work, "proto"), `restartd-proto-${version}`, true));

    const components = componentsOf(metafile);
    write(`restartd-${version}.cdx.json`, sbom(components, { commit: commit(), time }));
    copyFileSync(join(ROOT, "THIRD_PARTY_NOTICES.md"), join(out, "THIRD_PARTY_NOTICES.md"));
    const names = readdirSync(out).sort();
    write("SHA256SUMS", names.map((name) => `${sha256(readFileSync(join(out, name)))}  ${name}\n`).join(""));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function git(...args: string[]): string {
  return execFileSync("git", args, { cwd: ROOT, encoding: "utf8" }).trim();
}

function run(program: string, ...args: string[]): void {
  const env = { ...process.env, SOURCE_DATE_EPOCH: epoch };
  execFileSync(program, args, { cwd: ROOT, env, stdio: ["ignore", 2, 2] });
}

/**
 * A folder's files as a tar archive, in an order and with owners and times that depend on nothing else.
 *
 * @param within the folder in the archive; empty: none.
 */
async function archive(folder: string, within: string, compress: boolean): Promise<Buffer> {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  const tar = pack();
  for (const path of paths) {
    const stat = statSync(join(folder, path));
    if (!stat.isFile()) continue;
    const mode = (stat.mode & 0o111) === 0 ? 0o644 : 0o755;
    const name = within === "" ? path : `${within}/${path}`;
    tar.entry({ name, mode, uid: 0, gid: 0, mtime: time }, readFileSync(join(folder, path)));
  }
  tar.finalize();
  const bytes = await buffer(tar);
  return compress ? gzipSync(bytes, { level: 9 }) : bytes;
}

await main(resolve(process.argv[2] ?? join(ROOT, "dist/release")));
