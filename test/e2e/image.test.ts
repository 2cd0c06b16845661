import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../support/command.ts";
import { need } from "./tools.ts";

const runc = need("runc");
const isRoot = process.getuid?.() === 0;
if (!isRoot) process.stderr.write("\n  SKIPPED: the image at work: runc needs root\n\n");

interface Config {
  readonly config: { User: string; Entrypoint: string[]; Cmd: string[]; Env: string[]; WorkingDir: string };
}

let folder: string;
const blob = (image: string, digest: string): string => join(image, "blobs/sha256", digest.slice("sha256:".length));
const readJson = <Json>(path: string): Json => JSON.parse(readFileSync(path, "utf8")) as Json;

function open(image: string): { layers: string[]; config: Config } {
  const [manifest] = readJson<{ manifests: { digest: string }[] }>(join(image, "index.json")).manifests;
  const { layers, config } = readJson<{ layers: { digest: string }[]; config: { digest: string } }>(
    blob(image, manifest?.digest ?? ""),
  );
  return { layers: layers.map(({ digest }) => blob(image, digest)), config: readJson(blob(image, config.digest)) };
}

const make = (name: string): string => {
  const out = join(folder, name);
  execFileSync(process.execPath, ["deploy/image.ts", "--out", out], { cwd: ROOT });
  return out;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-image-"));
  make("image");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("npm run image", () => {
  it("makes the same image twice, byte for byte", () => {
    const again = make("again");
    const [one, other] = [join(folder, "image"), again].map((image) => readdirSync(join(image, "blobs/sha256")).sort());
    expect(other).toEqual(one);
    expect(readFileSync(join(again, "index.json"))).toEqual(readFileSync(join(folder, "image/index.json")));
  });

  it("needs no git, which the base image of deploy/Dockerfile lacks", () => {
    mkdirSync(join(folder, "bin"));
    writeFileSync(join(folder, "bin/git"), "#!/bin/sh\nexit 127\n", { mode: 0o755 });
    const root = join(folder, "rootfs");
    const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env.PATH}` };
    execFileSync(process.execPath, ["deploy/image.ts", "--rootfs", root], { cwd: ROOT, env });
    const names = readdirSync(join(root, "usr/share/restartd/lib/restartd"));
    expect(names).toEqual(expect.arrayContaining(["main.js", "store-thread.js"]));
  });

  it("has no shell, no npm, nothing that whoever runs it may change", () => {
    const { layers, config } = open(join(folder, "image"));
    expect(config.config).toMatchObject({ User: "65532:65532", Entrypoint: ["/usr/bin/node", expect.any(String)] });
    const lines = layers.flatMap((layer) =>
      execFileSync("tar", ["-tvf", layer, "--numeric-owner"], { encoding: "utf8" }).trim().split("\n"),
    );
    const paths = lines.map((line) => line.split(/\s+/)[5] ?? "");
    expect(paths.filter((path) => /(^|\/)(sh|bash|npm|npx|busybox)$/.test(path))).toEqual([]);
    expect(lines.filter((line) => / 65532\/65532 /.test(line)).map((line) => line.split(/\s+/)[5])).toEqual([
      "var/lib/restartd/",
    ]);
    expect(lines.filter((line) => /^-.{7}w/.test(line))).toEqual([]);
    for (const name of ["LICENSE", "THIRD_PARTY_NOTICES.md"]) expect(paths).toContain(`usr/share/restartd/${name}`);
    const licences = paths.filter((path) => /^usr\/share\/doc\/.*(copyright|LICENSE)$/.test(path));
    expect(licences.length).toBeGreaterThanOrEqual(existsSync("/usr/share/doc/libc6/copyright") ? 3 : 0);
  });
});

describe.skipIf(runc.missing || !isRoot)("the image at work", () => {
  it("runs as nobody without rights on a read-only root, and ends at SIGTERM", async () => {
    const { layers, config } = open(join(folder, "image"));
    const bundle = join(folder, "bundle");
    mkdirSync(join(bundle, "rootfs"), { recursive: true });
    for (const layer of layers) execFileSync("tar", ["-xpf", layer, "-C", join(bundle, "rootfs")]);
    execFileSync(runc.path, ["spec"], { cwd: bundle });
    const spec = readJson<
      Record<string, never> & { process: object; linux: { namespaces: { type: string }[] }; mounts: object[] }
    >(join(bundle, "config.json"));
    const { Entrypoint, Env, WorkingDir } = config.config;
    const capabilities = { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] };
    writeFileSync(
      join(bundle, "config.json"),
      JSON.stringify({
        ...spec,
        root: { path: "rootfs", readonly: true },
        process: {
          ...spec.process,
          terminal: false,
          user: { uid: 65532, gid: 65532 },
          args: [...Entrypoint, "--listen", "127.0.0.1:0"],
          env: Env,
          cwd: WorkingDir,
          capabilities,
          noNewPrivileges: true,
        },
        // As a Pod has it: an emptyDir on /tmp. The sandbox keeps its credentials there.
        mounts: [
          ...spec.mounts,
          { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=1777"] },
        ],
        linux: { ...spec.linux, namespaces: spec.linux.namespaces.filter(({ type }) => type !== "network") },
      }),
    );
    const id = `restartd-test-${process.pid}`;
    const child = spawn(runc.path, ["run", id], { cwd: bundle, stdio: ["ignore", "pipe", "inherit"] });
    try {
      const [line] = (await once(child.stdout, "data")) as [Buffer];
      const url = /http:\/\/\S+/.exec(line.toString())?.[0] ?? "";
      const told = await fetch(`${url}/grpc.health.v1.Health/Check`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "{}",
      });
      expect(await told.json()).toEqual({ status: "SERVING" });
      const { pid } = JSON.parse(execFileSync(runc.path, ["state", id], { encoding: "utf8" })) as { pid: number };
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      expect(status).toMatch(/^Uid:\s+65532\b/m);
      expect(status).toMatch(/^CapEff:\s+0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      execFileSync(runc.path, ["kill", id, "TERM"]);
      const [code] = await once(child, "exit");
      expect(code).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
