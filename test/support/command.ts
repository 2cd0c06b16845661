import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** The project's folder. */
export const ROOT = join(import.meta.dirname, "../..");

/** The Node that the project brings along. */
export const NODE = join(ROOT, "node_modules/.bin/node");

/** What became of a program. */
export interface Finished {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a program is run. */
export interface RunOptions {
  /** Written to its stdin. Default nothing. */
  readonly input?: string | Uint8Array;
  /** Milliseconds, then it is killed. Default 60,000. */
  readonly timeoutMs?: number;
  /** Beside the process's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Told of the first that it writes to stdout. */
  readonly began?: () => void;
}

/** Runs a program in the project's folder, with the project's own Node first in PATH, until it ends by itself or is killed. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { input = "", timeoutMs = 60_000, env = {}, began = () => {} } = options;
  const path = `${join(ROOT, "node_modules/.bin")}:${process.env.PATH}`;
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...process.env, PATH: path, ...env },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  child.stdin.on("error", () => {}); // it need not read what it is given
  child.stdin.end(input);
  child.stdout.once("data", began);
  const [[code, signal], stdout, stderr] = await Promise.all([
    once(child, "exit"),
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, signal, stdout, stderr };
}
