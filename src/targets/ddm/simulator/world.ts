import { randomUUID } from "node:crypto";

/** An instance as the simulator keeps it. */
export interface SimulatedInstance {
  readonly id: string;
  readonly name: string;
  readonly engineVersion: string;
  readonly nodeCount: number;
  status: string;
}

/** A job as the simulator keeps it. Times are epoch milliseconds, 0 where there is none. */
export interface SimulatedJob {
  readonly id: string;
  readonly instanceId: string;
  status: "Running" | "Completed" | "Failed";
  readonly createdTime: number;
  endTime: number;
  /** From 0 to 100. */
  process: number;
}

/** What {@link DdmWorld.add} puts in place. */
export interface NewInstance {
  readonly id: string;
  /** Default `ddm-` and the beginning of the id. */
  readonly name?: string;
  /** Default RUNNING. */
  readonly status?: string;
  /** Default 2. */
  readonly nodeCount?: number;
}

/** How the next restarts of an instance go. */
export interface RestartScript {
  /** Status at the end. Default RUNNING; with another one the job is Failed. */
  readonly end?: string;
  /** How long (ms) a restart takes. Default the world's. */
  readonly restartMs?: number;
  /** How long (ms) the instance shows its status from before. Default 0. */
  readonly lagMs?: number;
  /** What the answer is like: with a job's id, or empty as in older documents. Default `job`. */
  readonly answer?: "job" | "empty";
  /** Whether the job can be read at /v3/…/jobs. Default true. */
  readonly jobReadable?: boolean;
}

/** What a {@link DdmWorld} can be told; times in ms. */
export interface DdmWorldOptions {
  /** The vendor's clock, epoch ms. Default the machine's. */
  readonly now?: () => number;
  /** How long a restart takes. Default 3,000. */
  readonly restartMs?: number;
}

/** A restart that has not ended. */
interface Run {
  readonly job: SimulatedJob;
  readonly beginsAt: number;
  readonly endsAt: number;
  readonly end: string;
}

/** The instances of a project, whose restarts move on with time. */
export class DdmWorld {
  readonly #instances = new Map<string, SimulatedInstance>();
  readonly #jobs = new Map<string, SimulatedJob>();
  readonly #runs = new Map<string, Run>();
  readonly #scripts = new Map<string, RestartScript>();
  readonly #restarts = new Map<string, string[]>();
  readonly #now: () => number;
  readonly #restartMs: number;
  #held = false;
  /** Whether restarts by v1 are served: Open Telekom Cloud's documents say that they are to be removed. */
  servesV1 = true;

  constructor({ now = () => Date.now(), restartMs = 3_000 }: DdmWorldOptions = {}) {
    this.#now = now;
    this.#restartMs = restartMs;
  }

  /** Puts an instance in place. */
  add({ id, name = `ddm-${id.slice(0, 6)}`, status = "RUNNING", nodeCount = 2 }: NewInstance): SimulatedInstance {
    const instance: SimulatedInstance = { id, name, status, nodeCount, engineVersion: "3.0.8.5" };
    this.#instances.set(id, instance);
    return instance;
  }

  /** Takes an instance away, as somebody else would. */
  remove(id: string): void {
    this.#instances.delete(id);
    this.#runs.delete(id);
  }

  /** From now on no restart ends. */
  hold(): void {
    this.#held = true;
  }

  /** Restarts end when their time has come, also those whose time has passed. */
  release(): void {
    this.#held = false;
  }

  /** Says how the next restarts of an instance go. */
  script(id: string, script: RestartScript): void {
    this.#scripts.set(id, script);
  }

  /** What was scripted for an instance. */
  scriptOf(id: string): RestartScript {
    return this.#scripts.get(id) ?? {};
  }

  /** The types of the restarts that were executed, in order. */
  restarts(id: string): readonly string[] {
    return this.#restarts.get(id) ?? [];
  }

  /** The instances as they are now, in the order in which they were added. */
  instances(): readonly SimulatedInstance[] {
    for (const id of [...this.#runs.keys()]) this.#moveOn(id);
    return [...this.#instances.values()];
  }

  /** An instance as it is now. */
  instance(id: string): SimulatedInstance | undefined {
    this.#moveOn(id);
    return this.#instances.get(id);
  }

  /** A job as it is now, where it can be read. */
  job(id: string): SimulatedJob | undefined {
    const job = this.#jobs.get(id);
    if (job === undefined || this.scriptOf(job.instanceId).jobReadable === false) {
      return undefined;
    }
    this.#moveOn(job.instanceId);
    return job;
  }

  /** Begins to restart an instance; undefined when one is under way. */
  restart(id: string, type: string): SimulatedJob | undefined {
    if (this.#runs.has(id)) {
      return undefined;
    }
    this.#restarts.set(id, [...this.restarts(id), type]);
    const { end = "RUNNING", restartMs = this.#restartMs, lagMs = 0 } = this.scriptOf(id);
    const now = this.#now();
    const job: SimulatedJob = {
      id: randomUUID(),
      instanceId: id,
      status: "Running",
      createdTime: now,
      endTime: 0,
      process: 0,
    };
    this.#jobs.set(job.id, job);
    this.#runs.set(id, { job, beginsAt: now + lagMs, endsAt: now + lagMs + restartMs, end });
    this.#moveOn(id);
    return job;
  }

  #moveOn(id: string): void {
    const run = this.#runs.get(id);
    const instance = this.#instances.get(id);
    if (run === undefined || instance === undefined) {
      return;
    }
    const { job, beginsAt, endsAt, end } = run;
    const now = this.#now();
    if (now >= endsAt && !this.#held) {
      this.#runs.delete(id);
      instance.status = end;
      job.status = end === "RUNNING" ? "Completed" : "Failed";
      job.endTime = endsAt;
      job.process = 100;
    } else if (now >= beginsAt) {
      instance.status = "RESTARTING";
      job.process = Math.min(Math.floor((100 * (now - beginsAt)) / (endsAt - beginsAt)), 99);
    }
  }
}
