import type { Failpoint } from "../../src/operations/records/failpoint.ts";
import type { Timing } from "../../src/operations/records/timing.ts";

/** What one process of a chaos run is told: JSON in the variable {@link PLAN}. */
export interface ReplicaPlan {
  /** Path of its configuration file. */
  readonly config: string;
  /** How much (ms) its wall clock is ahead. */
  readonly skewMs: number;
  /** What it does to itself, once. */
  readonly mishap: Mishap | undefined;
  /** The negative control: what may have been sent is sent again. */
  readonly resend: boolean;
  /** The negative control: each process keeps freezes in its own memory. */
  readonly forgetful: boolean;
  readonly timing: Partial<Timing>;
}

/** A process kills or stops itself. */
export interface Mishap {
  readonly point: Failpoint;
  /** When it reaches the point for the n-th time. */
  readonly nth: number;
  readonly signal: "SIGKILL" | "SIGSTOP";
}

/** Name of the variable. */
export const PLAN = "RESTARTD_CHAOS_PLAN";
