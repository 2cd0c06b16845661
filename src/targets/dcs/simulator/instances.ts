/** What an instance is, as its owner made it. */
export interface InstanceSeed {
  readonly instanceId: string;
  /** Default `dcs-` and the beginning of its id. */
  readonly name?: string;
  /** Default Redis. */
  readonly engine?: string;
  /** Default 6.0. */
  readonly engineVersion?: string;
  /** Default ha. */
  readonly cacheMode?: string;
  /** Default 2. */
  readonly replicaCount?: number;
  /** The parameter `appendonly`; undefined: the instance has no such parameter. Default `yes`. */
  readonly appendOnly?: "yes" | "no" | undefined;
  /** Default RUNNING. */
  readonly status?: string;
  /** What it is busy with. Default null. */
  readonly task?: string | null;
}

/** How long things take, in milliseconds. */
export interface Pace {
  /** From the answer to the moment that the status says so. Default 0. */
  readonly lagMs?: number;
  /** Default 3,000. */
  readonly restartMs?: number;
  /** Default 1,500. */
  readonly flushMs?: number;
  /** How long after that the instance is RUNNING with a task still to do. Default 500. */
  readonly taskMs?: number;
}

/** What can be done to an instance. */
export const ACTIONS = ["restart", "soft_restart", "flush"] as const;

/** One of {@link ACTIONS}. */
export type DcsAction = (typeof ACTIONS)[number];

/** An instance as it is now. */
export interface SimulatedInstance {
  readonly seed: Required<InstanceSeed>;
  readonly status: string;
  readonly task: string | null;
  /** Epoch ms of its last change. */
  readonly updatedAt: number;
  /** How often each thing was done to it. */
  readonly done: Readonly<Record<DcsAction, number>>;
  /** Keys that it holds: 1,000 until its data is lost. */
  readonly keys: number;
}

/** A status that an instance will come to. */
interface Phase {
  readonly at: number;
  readonly status: string;
  readonly task: string | null;
  /** Whether what was begun comes to its end, or nearer to it: held back while the instances are held. */
  readonly ends: boolean;
}

interface State {
  seed: Required<InstanceSeed>;
  status: string;
  task: string | null;
  updatedAt: number;
  phases: readonly Phase[];
  readonly done: Record<DcsAction, number>;
  keys: number;
  /** What the next restart or flush ends as. */
  endsAs: string;
  /** How many of the next actions are answered `failed`. */
  failing: number;
}

/** Why an action is refused: one of the vendor's codes. */
export type Refusal = string;

/** Codes by status and task: an instance that is at it takes nothing else (contracts/huaweicloud.md B.3). */
const BUSY: Readonly<Record<string, Refusal>> = {
  RESTARTING: "DCS.4111",
  FLUSHING: "DCS.4026",
  EXTENDING: "DCS.4113",
  RESTORING: "DCS.4097",
  CREATING: "DCS.4118",
  FROZEN: "DCS.4026",
  CREATEFAILED: "DCS.4026",
  BACKUPING: "DCS.4096",
};

/** The instances of a project, which take their time. */
export class Instances {
  readonly #states = new Map<string, State>();
  readonly #now: () => number;
  readonly #pace: Required<Pace>;
  #held: "ends" | "all" | undefined;

  /** @param now epoch ms. */
  constructor(seeds: readonly InstanceSeed[], now: () => number, pace: Pace = {}) {
    this.#now = now;
    this.#pace = { lagMs: 0, restartMs: 3_000, flushMs: 1_500, taskMs: 500, ...pace };
    seeds.forEach((seed) => void this.add(seed));
  }

  /** Every instance, in the order they were made. */
  all(): readonly SimulatedInstance[] {
    return [...this.#states.keys()].flatMap((id) => this.get(id) ?? []);
  }

  /** One of them, as it is now. */
  get(id: string): SimulatedInstance | undefined {
    return this.#current(id);
  }

  /** Makes an instance, in place of one with its id. */
  add(seed: InstanceSeed): void {
    const whole: Required<InstanceSeed> = {
      name: `dcs-${seed.instanceId.slice(0, 4)}`,
      engine: "Redis",
      engineVersion: "6.0",
      cacheMode: "ha",
      replicaCount: 2,
      appendOnly: "yes",
      status: "RUNNING",
      task: null,
      ...seed,
    };
    this.#states.set(seed.instanceId, {
      seed: whole,
      status: whole.status,
      task: whole.task,
      updatedAt: this.#now(),
      phases: [],
      done: { restart: 0, soft_restart: 0, flush: 0 },
      keys: 1_000,
      endsAs: "RUNNING",
      failing: 0,
    });
  }

  /** Takes an instance away, as if its owner had deleted it. */
  remove(id: string): void {
    this.#states.delete(id);
  }

  /** Puts an instance into a state, as something else than this API would. What was under way is forgotten. */
  put(id: string, { status, task = null }: { status: string; task?: string | null }): void {
    const state = this.#require(id);
    Object.assign(state, { status, task, phases: [], updatedAt: this.#now() });
  }

  /** What an instance is at, else its next action, ends like this, such as ERROR. */
  endAs(id: string, status: string): void {
    const state = this.#current(id) ?? this.#require(id);
    if (state.phases.length === 0) state.endsAs = status;
    state.phases = state.phases.map((phase) => (phase.ends ? { ...phase, status, task: null } : phase));
  }

  /** The next actions of an instance are answered HTTP 200 with `failed`. */
  fail(id: string, times = 1): void {
    this.#require(id).failing = times;
  }

  /** Whether an action is to be answered `failed`; it counts as used. */
  takeFailure(id: string): boolean {
    const state = this.#require(id);
    if (state.failing === 0) return false;
    state.failing -= 1;
    return true;
  }

  /** From now on nothing that was begun comes to an end; with `all`, what is taken does not even begin to show. */
  hold(what: "ends" | "all" = "ends"): void {
    this.#held = what;
  }

  /** What was begun may end now. */
  release(): void {
    this.#held = undefined;
  }

  /** Why an instance does not take an action now; undefined where it does. */
  refusal(id: string, action: DcsAction): Refusal | undefined {
    const state = this.#current(id);
    if (state === undefined) return "DCS.3022";
    if (state.task !== null) return BUSY[state.task] ?? "DCS.4017";
    const busy = BUSY[state.status];
    if (busy !== undefined) return busy;
    if (action === "flush" && !canFlush(state.seed)) return "DCS.4027";
    const allowed = action === "flush" ? ["RUNNING"] : ["RUNNING", "ERROR"];
    return allowed.includes(state.status) ? undefined : "DCS.4049";
  }

  /** Does it: the instance is busy for a while, and may lose its data. */
  act(id: string, action: DcsAction): void {
    const state = this.#require(id);
    const { lagMs, restartMs, flushMs, taskMs } = this.#pace;
    const begin = this.#now() + lagMs;
    const end = begin + (action === "flush" ? flushMs : restartMs);
    const doing = action === "flush" ? "FLUSHING" : "RESTARTING";
    state.done[action] += 1;
    state.phases = [
      { at: begin, status: doing, task: null, ends: false },
      { at: end, status: state.endsAs, task: state.endsAs === "RUNNING" ? doing : null, ends: true },
      { at: end + taskMs, status: state.endsAs, task: null, ends: true },
    ];
    state.endsAs = "RUNNING";
    if (action === "flush" || losesData(state.seed)) state.keys = 0;
  }

  #require(id: string): State {
    const state = this.#states.get(id);
    if (state === undefined) throw new Error(`there is no instance ${id}`);
    return state;
  }

  #current(id: string): State | undefined {
    const state = this.#states.get(id);
    if (state === undefined) return undefined;
    const now = this.#now();
    const due = ({ at, ends }: Phase): boolean => at <= now && this.#held !== "all" && !(ends && this.#held);
    for (const { at, status, task } of state.phases.filter(due)) {
      Object.assign(state, { status, task, updatedAt: at });
    }
    state.phases = state.phases.filter((phase) => !due(phase));
    return state;
  }
}

/** Redis from 4.0 on. */
const canFlush = ({ engine, engineVersion }: Required<InstanceSeed>): boolean =>
  engine === "Redis" && Number.parseInt(engineVersion, 10) >= 4;

/** What comes back empty after a restart: single nodes, single replicas, and whatever writes no append-only file. */
const losesData = ({ cacheMode, replicaCount, appendOnly }: Required<InstanceSeed>): boolean =>
  cacheMode === "single" || replicaCount === 1 || appendOnly !== "yes";
