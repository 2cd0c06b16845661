import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** Every process of a control plane, in the order in which they are started. */
export const processNames = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kwok",
  "rollouts-controller",
] as const;

/** A process of the control plane. */
export type ProcessName = (typeof processNames)[number];

/** `paused` is stopped by SIGSTOP; `ended` has no process. */
export type ProcessState = "running" | "paused" | "ended";

/** Stops and starts the control plane's processes, each on its own. Everything is idempotent. */
export interface ProcessControl {
  /** Starts a process that is not there, with the same arguments as ever. Does not wait until it is ready. */
  start(name: ProcessName): Promise<void>;
  /** SIGTERM, and SIGKILL after 30 seconds; resolves when the process is gone. */
  stop(name: ProcessName): Promise<void>;
  /** SIGSTOP; resolves when the process really stands still. */
  pause(name: ProcessName): Promise<void>;
  /** SIGCONT. */
  resume(name: ProcessName): Promise<void>;
  /** What each process does now, with its pid while there is one. */
  status(): Promise<Partial<Record<ProcessName, { readonly state: ProcessState; readonly pid?: number }>>>;
}

/** How to start a process. */
export interface ProcessSpec {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const terminateMs = 30_000;

interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<void>;
  state: ProcessState;
  /** Its end was asked for. */
  expected: boolean;
}

/**
 * Owns the processes of one control plane.
 *
 * They are in process groups of their own (Ctrl-C reaches only us, and ends them in order), and a watchdog process ends them
 * and removes the folder when this process goes away without having done so, even by SIGKILL.
 */
export class Supervisor implements ProcessControl, AsyncDisposable {
  readonly folder: string;
  readonly #specs: Partial<Record<ProcessName, ProcessSpec>>;
  readonly #running = new Map<ProcessName, Running>();
  readonly #watchdog: ChildProcess;
  readonly #died = new AbortController();

  /** @param folder Holds each process's log, `NAME.log`; the watchdog removes it. */
  constructor(folder: string, specs: Partial<Record<ProcessName, ProcessSpec>>) {
    this.folder = folder;
    this.#specs = specs;
    this.#watchdog = spawn(process.execPath, [join(import.meta.dirname, "watchdog.ts"), folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
      env: {},
    });
    // Written to once it is gone, its pipe fails: the processes are then still ended by dispose.
    this.#watchdog.stdin?.on("error", (error) => this.#died.abort(new Error("the watchdog is gone", { cause: error })));
    this.#watchdog.unref();
  }

  /** Aborted, with what its log says, when a process ended without being asked to. */
  get died(): AbortSignal {
    return this.#died.signal;
  }

  async start(name: ProcessName): Promise<void> {
    if (this.#running.has(name)) return;
    const spec = this.#specs[name];
    if (spec === undefined) throw new Error(`this control plane has no ${name}`);
    const log = openSync(this.#logFile(name), "a", 0o600);
    const child = spawn(spec.program, spec.args, {
      stdio: ["ignore", log, log],
      detached: true,
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: this.folder, ...spec.env },
    });
    closeSync(log);
    const { pid } = child;
    if (pid === undefined) {
      const [error] = await once(child, "error");
      throw new Error(`${name} could not be started`, { cause: error });
    }
    this.#tellWatchdog(`+ ${pid}`);
    const exited = once(child, "exit").then(([code, signal]) => {
      this.#running.delete(name);
      this.#tellWatchdog(`- ${pid}`);
      if (!running.expected) this.#died.abort(this.#deathOf(name, signal ?? `code ${code}`));
    });
    const running: Running = { child, pid, exited, state: "running", expected: false };
    this.#running.set(name, running);
  }

  async stop(name: ProcessName): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined) return;
    running.expected = true;
    running.child.kill("SIGTERM");
    running.child.kill("SIGCONT");
    const timer = setTimeout(() => running.child.kill("SIGKILL"), terminateMs);
    await running.exited;
    clearTimeout(timer);
  }

  async pause(name: ProcessName): Promise<void> {
    const running = this.#need(name);
    running.state = "paused";
    running.child.kill("SIGSTOP");
    while (this.#running.has(name) && !standsStill(running.pid)) await delay(2);
  }

  async resume(name: ProcessName): Promise<void> {
    const running = this.#need(name);
    running.state = "running";
    running.child.kill("SIGCONT");
  }

  async status(): ReturnType<ProcessControl["status"]> {
    const status: Awaited<ReturnType<ProcessControl["status"]>> = {};
    for (const name of processNames) {
      if (this.#specs[name] === undefined) continue;
      const running = this.#running.get(name);
      status[name] = running ? { state: running.state, pid: running.pid } : { state: "ended" };
    }
    return status;
  }

  /** Resolves when a process's log holds `text`; rejects when a process ended by itself meanwhile, or after a minute. */
  async logged(name: ProcessName, text: string): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!readFileSync(this.#logFile(name), "utf8").includes(text)) {
      this.died.throwIfAborted();
      if (performance.now() > deadline) throw new Error(`${name} did not log ${JSON.stringify(text)} within a minute`);
      await delay(50);
    }
  }

  /** Ends everything at once: nothing is worth an orderly end when the data goes too. */
  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#running.values()];
    for (const running of all) {
      running.expected = true;
      running.child.kill("SIGKILL");
    }
    await Promise.all(all.map((running) => running.exited));
    if (this.#watchdog.exitCode === null && this.#watchdog.signalCode === null) {
      const gone = once(this.#watchdog, "exit");
      this.#watchdog.ref();
      this.#watchdog.stdin?.end();
      await gone;
    }
  }

  #need(name: ProcessName): Running {
    const running = this.#running.get(name);
    if (running === undefined) throw new Error(`${name} is not running`);
    return running;
  }

  #tellWatchdog(line: string): void {
    this.#watchdog.stdin?.write(`${line}\n`);
  }

  #logFile(name: ProcessName): string {
    return join(this.folder, `${name}.log`);
  }

  #deathOf(name: ProcessName, how: string): Error {
    const lines = readFileSync(this.#logFile(name), "utf8").trimEnd().split("\n");
    return new Error(`${name} ended by itself (${how}); the end of its log:\n${lines.slice(-15).join("\n")}`);
  }
}

/** Linux says so in /proc (a signal takes effect a moment after kill returns); elsewhere nothing does without a helper. */
function standsStill(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return true;
  const text = readFileSync(file, "utf8");
  return text.slice(text.lastIndexOf(")") + 2, text.lastIndexOf(")") + 3) === "T";
}
