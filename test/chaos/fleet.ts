import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { NODE, ROOT } from "../support/command.ts";
import { readLine } from "../support/log.ts";
import { type Mishap, PLAN, type ReplicaPlan } from "./plan.ts";
import type { Random } from "./random.ts";

/** How the processes of a run are started. */
export interface FleetOptions {
  readonly random: Random;
  /** One configuration file for all of them. */
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  readonly count: number;
  /** What each does to itself, one thing per process, in any order; all of them happen before any happens again. */
  readonly mishaps: readonly Omit<Mishap, "nth">[];
  readonly timing: ReplicaPlan["timing"];
  /** Wall clocks of the first one's processes in turn are ahead (ms) by these; the others' are right. */
  readonly skewsMs: readonly number[];
  readonly resend: boolean;
  readonly forgetful: boolean;
  /** How long (ms) one stands still: longer than the lease. */
  readonly pauseMs: readonly [number, number];
}

/** What happened to processes. */
export interface Losses {
  kills: number;
  stops: number;
  starts: number;
  /** Processes that ended by themselves before they listened: while their store was cut off. */
  failedStarts: number;
  /** Mishaps at failpoints, as `SIGKILL after W1`. */
  readonly points: Set<string>;
  /** Processes that ended by themselves while they listened, with the end of their logs: defects. */
  readonly crashes: string[];
}

/** A mishap happens when its point is reached for the first time, or at the latest for this one. */
const LATEST = 100;

/** The same when there is not much time left. */
const SOON = 10;

/** How long (ms) a process may go on without a mishap; it stands still for a part of that. */
const RENEW_MS = 5_000;

/** So many starts that fail in a row are no accident. */
const GIVE_UP = 8;

/** Servers that are killed, stopped, and started again. */
export class Fleet implements AsyncDisposable {
  readonly losses: Losses = { kills: 0, stops: 0, starts: 0, failedStarts: 0, points: new Set(), crashes: [] };
  readonly #options: FleetOptions;
  readonly #members: Member[] = [];
  #mishaps: Omit<Mishap, "nth">[] = [];
  #hurried = false;
  #calm = false;

  /** Starts all of them. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options);
    for (let index = 0; index < options.count; index++) fleet.#members.push(new Member(fleet, index));
    await Promise.all(fleet.#members.map((member) => member.listening));
    return fleet;
  }

  private constructor(options: FleetOptions) {
    this.#options = options;
  }

  get options(): FleetOptions {
    return this.#options;
  }

  /** Where one listens, or listened last. */
  get url(): string {
    return this.#options.random.pick(this.urls);
  }

  get urls(): string[] {
    return this.#members.flatMap(({ url }) => url ?? []);
  }

  /** Whether every mishap has happened. */
  get complete(): boolean {
    return this.#options.mishaps.every((mishap) => this.losses.points.has(keyOf(mishap)));
  }

  /** Kills or stops one. */
  strike(): void {
    const { random } = this.#options;
    const member = random.pick(this.#members);
    // Mostly at work: one that is killed whenever it starts does nothing that could go wrong.
    if (!member.works && random.chance(0.8)) return;
    if (random.chance(0.5)) member.kill();
    else member.stop();
  }

  /** From now on mishaps happen soon: kills all of them, so that their next processes have new ones. */
  hurry(): void {
    this.#hurried = true;
    for (const member of this.#members) member.kill();
  }

  /** Kills those that have been stopped by their mishap, went on after that, and have none left. */
  renew(): void {
    for (const member of this.#members) {
      if (performance.now() - member.spentAt > RENEW_MS) member.kill();
    }
  }

  /** Kills all of them, and starts them again for good. */
  async calm(): Promise<void> {
    this.#calm = true;
    for (const member of this.#members) member.kill();
    await Promise.all(this.#members.map((member) => member.listening));
  }

  /** What the next process is to do to itself. */
  nextMishap(): Mishap | undefined {
    const { random, mishaps } = this.#options;
    if (this.#calm || mishaps.length === 0) return undefined;
    const missing = mishaps.filter((mishap) => !this.losses.points.has(keyOf(mishap)));
    if (this.#mishaps.length === 0) this.#mishaps = [...(missing.length > 0 ? missing : mishaps)];
    const [mishap] = this.#mishaps.splice(random.between(0, this.#mishaps.length - 1), 1);
    return mishap && { ...mishap, nth: random.between(1, this.#hurried ? SOON : LATEST) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#members.map((member) => member.end()));
  }
}

const keyOf = ({ point, signal }: Omit<Mishap, "nth">): string => `${signal} ${point}`;

/** One server, through all of its processes. */
class Member {
  /** Where its newest process that got so far listens. */
  url: string | undefined;
  /** Resolves when the process that runs now, or the one after it, listens. */
  listening: Promise<void>;
  readonly #fleet: Fleet;
  readonly #index: number;
  #child: ChildProcess;
  /** Whether the process that runs now listens. */
  works = false;
  /** When it was stopped by its mishap. */
  spentAt = Number.POSITIVE_INFINITY;
  #boots = 0;
  #failures = 0;
  #paused = false;
  #over = false;

  constructor(fleet: Fleet, index: number) {
    this.#fleet = fleet;
    this.#index = index;
    ({ child: this.#child, listening: this.listening } = this.#boot());
  }

  kill(): void {
    if (this.#failures >= GIVE_UP) return; // `listening` tells
    this.#fleet.losses.kills += 1;
    this.#child.kill("SIGKILL");
    // Not the one that has been killed.
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#child.once("close", () => resolve(this.#over ? undefined : this.listening));
    this.listening = promise;
  }

  stop(): void {
    if (this.#paused) return;
    this.#child.kill("SIGSTOP");
    this.#continueLater(this.#child);
  }

  async end(): Promise<void> {
    this.#over = true;
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "close");
  }

  #continueLater(child: ChildProcess): void {
    const { options, losses } = this.#fleet;
    losses.stops += 1;
    this.#paused = true;
    const timer = setTimeout(() => child.kill("SIGCONT"), options.random.between(...options.pauseMs));
    timer.unref();
    child.once("close", () => clearTimeout(timer));
    setTimeout(() => {
      this.#paused = false;
    }, options.pauseMs[1]).unref();
  }

  #boot(): { child: ChildProcess; listening: Promise<void> } {
    const { options, losses } = this.#fleet;
    const { config, timing, resend, forgetful, skewsMs } = options;
    const mishap = this.#fleet.nextMishap();
    const skewMs = this.#index === 0 ? (skewsMs[this.#boots % skewsMs.length] ?? 0) : 0;
    const plan: ReplicaPlan = { config, timing, resend, forgetful, mishap, skewMs };
    this.#boots += 1;
    this.spentAt = Number.POSITIVE_INFINITY;
    losses.starts += 1;
    const child = spawn(NODE, [join(import.meta.dirname, "replica.ts")], {
      cwd: ROOT,
      env: { ...process.env, ...options.env, [PLAN]: JSON.stringify(plan) },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    const log: string[] = [];
    createInterface({ input: child.stderr }).on("line", (line) => {
      try {
        readLine(line);
      } catch (error) {
        const cut = error instanceof SyntaxError; // by a kill in the middle of it
        if (!cut) losses.crashes.push(`wrote what is no line of the log (${error})`);
      }
      log.push(line);
      if (log.length > 40) log.shift();
    });
    let own: string | undefined;
    const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
    createInterface({ input: child.stdout }).on("line", (line) => {
      const url = /^listening (\S+)$/.exec(line)?.[1];
      if (url !== undefined) {
        own = url;
        this.url = url;
        this.works = true;
        resolve();
      } else if (mishap !== undefined && line === `reached ${mishap.point}`) {
        losses.points.add(keyOf(mishap));
        if (mishap.signal === "SIGSTOP") {
          this.spentAt = performance.now();
          this.#continueLater(child);
        } else {
          losses.kills += 1;
        }
      }
    });
    child.once("close", (code) => {
      process.off("exit", kill);
      this.works = false;
      if (this.#over) return;
      if (code !== null && own === undefined) losses.failedStarts += 1;
      else if (code !== null) losses.crashes.push(`ended by itself (${code}):\n${log.join("\n")}`);
      this.#failures = code !== null && own === undefined ? this.#failures + 1 : 0;
      if (this.#failures >= GIVE_UP) {
        reject(new Error(`a server did not start ${GIVE_UP} times in a row; the end of its log:\n${log.join("\n")}`));
        return;
      }
      const next = this.#boot();
      this.#child = next.child;
      this.listening = next.listening; // before the listener of `kill`
      next.listening.then(resolve, reject);
    });
    listening.catch(() => {}); // whoever waits for it is told
    return { child, listening };
  }
}
