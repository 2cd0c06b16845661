import { randomUUID } from "node:crypto";
import type { WorkClock } from "./work-clock.ts";

/** How a job ends: the last two are COMPLETED, and their result says otherwise. */
export type JobEnding = "COMPLETED" | "FAILED" | "CANCELLED" | "COMPLETED_WITH_ERROR" | "COMPLETED_WITH_NESTED_ERROR";

/** A job that refreshes a deployment. */
export interface SimulatedJob {
  readonly id: string;
  readonly deploymentId: string;
  /** On the work clock. */
  readonly begun: number;
  readonly durationMs: number;
  /** Epoch ms. */
  readonly startTime: number;
  readonly operationUri: string;
  readonly username: string;
  /** Settled once somebody has seen it ended. */
  ended: JobEnding | undefined;
}

/** Which part of a job it is SUBMITTED for, and from when on one that is cancelled is CANCELLING. */
const SUBMITTED_PART = 0.15;
const CANCELLING_PART = 0.7;

const RESULTS: Readonly<Record<JobEnding, Readonly<Record<string, unknown>> | undefined>> = {
  COMPLETED: { status: "success" },
  FAILED: { status: "error", messages: ["The pods did not become ready."] },
  CANCELLED: undefined,
  COMPLETED_WITH_ERROR: { status: "error", messages: ["The pods did not become ready."] },
  COMPLETED_WITH_NESTED_ERROR: {
    operationResponse: { status: "error", messages: ["The pods did not become ready."], code: 500 },
  },
};

/** The jobs of a site. */
export class Jobs {
  readonly #clock: WorkClock;
  readonly #now: () => number;
  readonly #jobs = new Map<string, SimulatedJob>();
  readonly #endings = new Map<string, JobEnding>();

  constructor(clock: WorkClock, now: () => number) {
    this.#clock = clock;
    this.#now = now;
  }

  /** Every job, the oldest first. */
  get all(): readonly SimulatedJob[] {
    return [...this.#jobs.values()];
  }

  /** Begins one. */
  begin(job: Pick<SimulatedJob, "deploymentId" | "durationMs" | "operationUri" | "username">): SimulatedJob {
    const begun = {
      ...job,
      id: `j${randomUUID()}`,
      begun: this.#clock.now(),
      startTime: this.#now(),
      ended: undefined,
    };
    this.#jobs.set(begun.id, begun);
    return begun;
  }

  /** One by its id. */
  get(id: string): SimulatedJob | undefined {
    return this.#jobs.get(id);
  }

  /** Has every job of a deployment that nobody has seen ended, and every later one, end so. */
  endWith(deploymentId: string, ending: JobEnding): void {
    this.#endings.set(deploymentId, ending);
  }

  /** Forgets those that have ended, as a site does after some time. */
  forget(): void {
    for (const job of this.all) {
      if (this.progress(job) >= 1) this.#jobs.delete(job.id);
    }
  }

  /** From 0 to 1. */
  progress({ begun, durationMs }: SimulatedJob): number {
    return durationMs === 0 ? 1 : Math.min((this.#clock.now() - begun) / durationMs, 1);
  }

  /** Resolves with how it ended. */
  async end(job: SimulatedJob, signal: AbortSignal): Promise<JobEnding> {
    await this.#clock.until(job.begun + job.durationMs, signal);
    return this.#settle(job);
  }

  /** The job resource (contracts: arcgis §A.2): other letter cases than where it was submitted, and endtime 0 while it runs. */
  show(job: SimulatedJob): Readonly<Record<string, unknown>> {
    const progress = this.progress(job);
    const common = {
      jobid: job.id,
      starttime: job.startTime,
      operationURI: job.operationUri,
      username: job.username,
    };
    if (progress < 1) {
      const cancelling = this.#endings.get(job.deploymentId) === "CANCELLED" && progress >= CANCELLING_PART;
      const running = cancelling ? "CANCELLING" : "EXECUTING";
      return {
        ...common,
        updatedtime: Math.trunc(job.startTime + progress * job.durationMs),
        endtime: 0,
        status: progress < SUBMITTED_PART ? "SUBMITTED" : running,
      };
    }
    const ending = this.#settle(job);
    const result = RESULTS[ending];
    const endtime = Math.trunc(job.startTime + job.durationMs);
    return {
      ...common,
      updatedtime: endtime,
      endtime,
      status: ending.startsWith("COMPLETED") ? "COMPLETED" : ending,
      ...(result !== undefined && { result }),
    };
  }

  #settle(job: SimulatedJob): JobEnding {
    job.ended ??= this.#endings.get(job.deploymentId) ?? "COMPLETED";
    return job.ended;
  }
}
