import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { startControlPlane } from "./control-plane.ts";
import { controlPlaneModules, missingModules } from "./modules.ts";
import { Supervisor } from "./processes.ts";

const missing = missingModules(controlPlaneModules);

describe.skipIf(missing.length > 0)("startControlPlane()", () => {
  test("leaves no process, no folder and no listener when it is disposed", async () => {
    const cluster = await startControlPlane({ argoRollouts: false, nodes: 1 });
    const status = Object.entries(await cluster.processes.status());
    expect(status.map(([name]) => name)).not.toContain("rollouts-controller");
    const pids = status.map(([, { pid }]) => pid ?? 0);
    expect(pids.map(isAlive)).toEqual(pids.map(() => true));
    await cluster[Symbol.asyncDispose]();
    expect(pids.map(isAlive)).toEqual(pids.map(() => false));
    expect(existsSync(cluster.info.folder)).toBe(false);
    await expect(cluster.request("GET", "/readyz")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("ends with the reason, and without remains, when a process does not start", async () => {
    const folder = mkdtempSync(join(tmpdir(), "restartd-lifetime-"));
    vi.stubEnv("TMPDIR", folder);
    onTestFinished(() => {
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true });
    });
    const failure = await startControlPlane({ apiServerFlags: ["--no-such-flag"] }).catch(
      (error: Error) => error.message,
    );
    expect(failure).toMatch(/^kube-apiserver ended by itself \(code 1\); the end of its log:\n/);
    expect(failure).toContain("unknown flag: --no-such-flag");
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("Supervisor", () => {
  test("is outlived by nothing when its process is killed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "restartd-supervisor-"));
    const script = `
      import { Supervisor } from ${JSON.stringify(join(import.meta.dirname, "processes.ts"))};
      const supervisor = new Supervisor(${JSON.stringify(folder)}, { etcd: { program: "sleep", args: ["1000"] }, kwok: { program: "sleep", args: ["1000"] } });
      await supervisor.start("etcd");
      await supervisor.start("kwok");
      await supervisor.pause("kwok");
      console.log(JSON.stringify(await supervisor.status()));
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(createInterface({ input: parent.stdout }), "line");
    const status = JSON.parse(line);
    const pids: number[] = [status.etcd.pid, status.kwok.pid];
    expect(status).toEqual({ etcd: { state: "running", pid: pids[0] }, kwok: { state: "paused", pid: pids[1] } });
    expect(pids.map(isAlive)).toEqual([true, true]);
    parent.kill("SIGKILL");
    await expect.poll(() => [...pids.map(isAlive), existsSync(folder)]).toEqual([false, false, false]);
  });

  test("says why a process ended by itself, with the end of its log", async () => {
    const folder = mkdtempSync(join(tmpdir(), "restartd-supervisor-"));
    const args = ["-c", "for i in $(seq 30); do echo line $i; done; exit 3"];
    await using supervisor = new Supervisor(folder, { etcd: { program: "sh", args } });
    const died = once(supervisor.died, "abort");
    await supervisor.start("etcd");
    await died;
    const lines = Array.from({ length: 15 }, (_, index) => `line ${index + 16}`).join("\n");
    expect(supervisor.died.reason).toEqual(new Error(`etcd ended by itself (code 3); the end of its log:\n${lines}`));
    expect(await supervisor.status()).toEqual({ etcd: { state: "ended" } });
  });

  test("says which program is not there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "restartd-supervisor-"));
    await using supervisor = new Supervisor(folder, { etcd: { program: "no-such-program", args: [] } });
    await expect(supervisor.start("etcd")).rejects.toThrow("etcd could not be started");
    await expect(supervisor.start("kwok")).rejects.toThrow("this control plane has no kwok");
    await expect(supervisor.pause("etcd")).rejects.toThrow("etcd is not running");
  });

  test("removes its folder even when it had nothing to end", async () => {
    const folder = mkdtempSync(join(tmpdir(), "restartd-supervisor-"));
    await new Supervisor(folder, {})[Symbol.asyncDispose]();
    expect(existsSync(folder)).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // ESRCH: nobody has this pid.
    return false;
  }
}
