/** Words of an engine's status that mean that something is being done to it, by the type of the job that does it. */
const STATUS_WHILE: Readonly<Record<string, string>> = {
  Create: "Creating",
  Delete: "Deleting",
  Upgrade: "Upgrading",
  Modify: "Modifying",
  Configure: "Modifying",
};

/** An engine's status when a job has failed, by the job's type. */
const STATUS_FAILED: Readonly<Record<string, string>> = {
  Create: "CreateFailed",
  Delete: "DeleteFailed",
  Upgrade: "UpgradeFailed",
  Modify: "ModifyFailed",
  Configure: "ModifyFailed",
};

/** How a job ends. */
export type JobEnd = "Finished" | "Error" | "Timeout";

/** An engine as the simulator keeps it. */
export interface SimulatedEngine {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly version: string;
  /** The enterprise project that has to be named to see it; `0` is the default one. */
  readonly enterpriseProjectId: string;
  status: string;
  latestJobId: number;
}

/** A job as the simulator keeps it. Times are epoch milliseconds, 0 where there is none. */
export interface SimulatedJob {
  readonly id: number;
  readonly engineId: string;
  readonly type: string;
  status: "Init" | "Executing" | JobEnd;
  startTime: number;
  endTime: number;
}

/** What {@link CseWorld.add} puts in place. */
export interface NewEngine {
  readonly id: string;
  /** Default `cse-` and the beginning of the id. */
  readonly name?: string;
  /** Default `CSE`. */
  readonly type?: string;
  /** Default `0`. */
  readonly enterpriseProjectId?: string;
  /** Type of its latest job. Default `Upgrade`. */
  readonly jobType?: string;
  /** How that job stands. Default `Error`. */
  readonly jobStatus?: SimulatedJob["status"];
  /** Default what the job makes of it. */
  readonly status?: string;
}

/** How a retried job runs. */
export interface JobScript {
  /** How it ends. Default Finished. */
  readonly end?: JobEnd;
  /** How long (ms) it takes. Default the world's. */
  readonly jobMs?: number;
  /** How long (ms) reads show the job as it was before the retry. Default 0. */
  readonly lagMs?: number;
  /** Whether a retry makes another job instead of running the same again. Default false. */
  readonly newJob?: boolean;
}

/** What a {@link CseWorld} can be told; times in ms. */
export interface CseWorldOptions {
  /** The vendor's clock, epoch ms. Default the machine's. */
  readonly now?: () => number;
  /** How long a job takes. Default 3,000. */
  readonly jobMs?: number;
}

/** A retry that has not come to its end. */
interface Run {
  readonly jobId: number;
  /** When reads begin to show it. */
  readonly visibleAt: number;
  readonly endsAt: number;
  readonly end: JobEnd;
}

/** The engines of a project and their jobs, which move on with time. */
export class CseWorld {
  readonly #engines = new Map<string, SimulatedEngine>();
  readonly #jobs = new Map<number, SimulatedJob>();
  readonly #runs = new Map<string, Run>();
  readonly #scripts = new Map<string, JobScript>();
  readonly #retries = new Map<string, number>();
  readonly #now: () => number;
  readonly #jobMs: number;
  #nextJob = 18_638;
  #held = false;

  constructor({ now = () => Date.now(), jobMs = 3_000 }: CseWorldOptions = {}) {
    this.#now = now;
    this.#jobMs = jobMs;
  }

  /** Puts an engine in place, with its latest job. */
  add(engine: NewEngine): SimulatedEngine {
    const { id, jobType = "Upgrade", jobStatus = "Error" } = engine;
    const began = this.#now() - 3_600_000;
    const running = jobStatus === "Init" || jobStatus === "Executing";
    const job: SimulatedJob = {
      id: this.#nextJob++,
      engineId: id,
      type: jobType,
      status: jobStatus,
      startTime: jobStatus === "Init" ? 0 : began,
      endTime: running ? 0 : began + 600_000,
    };
    const made: SimulatedEngine = {
      id,
      name: engine.name ?? `cse-${id.slice(0, 6)}`,
      type: engine.type ?? "CSE",
      version: "2.4.3",
      enterpriseProjectId: engine.enterpriseProjectId ?? "0",
      status: engine.status ?? statusAfter(jobType, jobStatus),
      latestJobId: job.id,
    };
    this.#jobs.set(job.id, job);
    this.#engines.set(id, made);
    return made;
  }

  /** Takes an engine away, as somebody else would. */
  remove(engineId: string): void {
    this.#engines.delete(engineId);
    this.#runs.delete(engineId);
  }

  /** Has an engine's latest job fail again, as if a run of it had just ended so. */
  fail(engineId: string): void {
    const engine = this.engine(engineId);
    const job = engine && this.#jobs.get(engine.latestJobId);
    if (engine === undefined || job === undefined) {
      throw new Error(`there is no engine ${engineId}`);
    }
    this.#runs.delete(engineId);
    job.status = "Error";
    job.endTime = this.#now();
    engine.status = statusAfter(job.type, job.status);
  }

  /** From now on no run ends. */
  hold(): void {
    this.#held = true;
  }

  /** Runs end when their time has come, also those whose time has passed. */
  release(): void {
    this.#held = false;
  }

  /** Says how the next retries of an engine run. */
  script(engineId: string, script: JobScript): void {
    this.#scripts.set(engineId, script);
  }

  /** How often an engine's job was retried. */
  retries(engineId: string): number {
    return this.#retries.get(engineId) ?? 0;
  }

  /** The engines as they are now, in the order in which they were added. */
  engines(): readonly SimulatedEngine[] {
    for (const id of [...this.#runs.keys()]) this.#moveOn(id);
    return [...this.#engines.values()];
  }

  /** An engine as it is now. */
  engine(id: string): SimulatedEngine | undefined {
    this.#moveOn(id);
    return this.#engines.get(id);
  }

  /** A job as it is now. */
  job(engineId: string, jobId: number): SimulatedJob | undefined {
    this.#moveOn(engineId);
    const job = this.#jobs.get(jobId);
    return job?.engineId === engineId ? job : undefined;
  }

  /** Begins to run an engine's failed job again; undefined when there is nothing to retry. Answers the job. */
  retry(engineId: string): SimulatedJob | undefined {
    const engine = this.engine(engineId);
    const failed = engine && this.#jobs.get(engine.latestJobId);
    const running = this.#runs.has(engineId);
    if (engine === undefined || failed === undefined || running || !canRetry(engine, failed)) {
      return undefined;
    }
    this.#retries.set(engineId, this.retries(engineId) + 1);
    const { end = "Finished", jobMs = this.#jobMs, lagMs = 0, newJob = false } = this.#scripts.get(engineId) ?? {};
    const job = newJob ? { ...failed, id: this.#nextJob++ } : failed;
    this.#jobs.set(job.id, job);
    const now = this.#now();
    this.#runs.set(engineId, { jobId: job.id, visibleAt: now + lagMs, endsAt: now + lagMs + jobMs, end });
    this.#moveOn(engineId);
    return job;
  }

  #moveOn(engineId: string): void {
    const run = this.#runs.get(engineId);
    const engine = this.#engines.get(engineId);
    const job = run && this.#jobs.get(run.jobId);
    if (run === undefined || engine === undefined || job === undefined) {
      return;
    }
    const now = this.#now();
    if (now < run.visibleAt) {
      return;
    }
    engine.latestJobId = job.id;
    job.startTime = run.visibleAt;
    if (now < run.endsAt || this.#held) {
      job.status = now - run.visibleAt < (run.endsAt - run.visibleAt) / 10 ? "Init" : "Executing";
      job.endTime = 0;
      engine.status = statusAfter(job.type, job.status);
      return;
    }
    this.#runs.delete(engineId);
    job.status = run.end;
    job.endTime = run.endsAt;
    engine.status = statusAfter(job.type, job.status);
    if (job.type === "Delete" && job.status === "Finished") {
      this.#engines.delete(engineId);
    }
  }
}

const canRetry = ({ status }: SimulatedEngine, job: SimulatedJob): boolean =>
  job.status === "Error" || job.status === "Timeout" || status.endsWith("Failed");

function statusAfter(jobType: string, status: SimulatedJob["status"]): string {
  if (status === "Init" || status === "Executing") {
    return STATUS_WHILE[jobType] ?? "Modifying";
  }
  return status === "Finished" ? "Available" : (STATUS_FAILED[jobType] ?? "Unavailable");
}
