import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

/** A program that serves, as a process of its own. */
export interface Program extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** Milliseconds from its start to the line that says that it accepts calls. */
  readonly startMs: number;
}

/**
 * Starts a program of this repository and waits until it accepts calls. What it keeps is kept in a folder of its own, on the disk that
 * temporary files are on, and removed.
 *
 * @param script its file, from the repository's root.
 */
export async function startProgram(script: string, args: readonly string[]): Promise<Program> {
  const folder = mkdtempSync(join(tmpdir(), "restartd-bench-"));
  const started = performance.now();
  const child = spawn(process.execPath, [resolve(script), ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(child, "exit");
  const first = await Promise.race([once(createInterface(child.stdout), "line"), exited]);
  const startMs = performance.now() - started;
  const url = /http:\S+/.exec(String(first[0]))?.[0];
  if (url === undefined || child.pid === undefined) {
    throw new Error(`${script} did not start: ${first.join(" ")}`);
  }
  return {
    url,
    pid: child.pid,
    startMs,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
