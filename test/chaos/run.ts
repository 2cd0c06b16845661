import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import { temporaryFolder } from "../support/folder.ts";
import { isDefinite, type Job, listOperations, type Manner, restart } from "./client.ts";
import { Fleet, type FleetOptions, type Losses } from "./fleet.ts";
import type { Random } from "./random.ts";
import { startVendor, type Vendor } from "./vendor.ts";
import { judge, type Listed, type Told, type Verdicts } from "./verdicts.ts";

/** A chaos run. */
export interface RunOptions extends Pick<FleetOptions, "random" | "count" | "mishaps" | "skewsMs" | "resend"> {
  readonly name: string;
  /** Section `store` of the configuration; relative paths are in a folder of the run's own. */
  readonly store: object;
  readonly env?: Readonly<Record<string, string>>;
  /** How long (ms) the chaos lasts at least, and until every mishap has happened at most. */
  readonly chaosMs: readonly [number, number];
  /** Told when the chaos ends. */
  readonly onCalm?: () => void;
}

/** What a run showed. */
export interface Run extends Verdicts {
  readonly losses: Losses;
  readonly calls: number;
  readonly faults: number;
  /** How long (ms) after the chaos it took until everything had ended. */
  readonly endedMs: number;
  /** request_ids whose callers never learned how they ended. */
  readonly unanswered: readonly string[];
  /** Deployments whose two counts of restarts differ: the test's own mistake. */
  readonly miscounted: readonly string[];
}

const CLIENTS = 12;
/** Deployments that are restarted under one request_id each. */
const ONCE = 160;
/** Deployments that everybody restarts. */
const SHARED = ["shared-0", "shared-1", "shared-2"];
/** A server is struck so often (ms); between, it starts and works. */
const STRIKE_MS = [3_000, 6_000] as const;
/** A further request_id comes into use so often (ms). */
const RELEASE_MS = 220;
/** So many definite answers are asked for, the later ones by blind repetition. */
const ANSWERS = 3;
/** After the chaos everything ends within so long (ms). */
const QUIET_MS = 40_000;

/** Shorter than in production, in the same order. The last is longer than the window, a slow vendor and a pause together. */
const TIMING = {
  sendWindowMs: 500,
  leaseMs: 1_000,
  beatMs: 250,
  firstLookMs: 100,
  forgottenMs: 1_500,
  settleMs: 5_500,
};
const PAUSE_MS = [1_600, 2_800] as const;

/** Lets clients, servers and a vendor loose on each other, then waits until everything has ended, and judges. */
export async function runChaos(options: RunOptions): Promise<Run> {
  const { random, name, store, chaosMs } = options;
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const once = Array.from({ length: ONCE }, (_, index) => `once-${index}`);
  const vendor = stack.use(await startVendor([...once, ...SHARED], random));
  const clusters = [{ name: "chaos", kubeconfig: vendor.kubeconfig, context: "patcher" }];
  const config = await folder.write(
    "restartd.yaml",
    stringify({ listen: "127.0.0.1:0", kubernetes: { clusters }, store }),
  );
  const fleet = stack.use(
    await Fleet.start({
      ...options,
      env: { NODE_COMPILE_CACHE: join(folder.path, "compiled"), ...options.env },
      config,
      timing: TIMING,
      pauseMs: PAUSE_MS,
    }),
  );
  const clients = new Clients(once, fleet, random);
  const started = performance.now();
  const elapsed = () => performance.now() - started;
  vendor.chaotic = true;
  while (elapsed() < chaosMs[0]) {
    await delay(random.between(...STRIKE_MS) / options.count);
    fleet.strike();
  }
  fleet.hurry();
  while (!fleet.complete && elapsed() < chaosMs[1]) await delay(100);
  vendor.chaotic = false;
  options.onCalm?.();
  await fleet.calm();
  clients.calm();
  const calm = performance.now();
  await clients.finished(QUIET_MS);
  const operations = await untilEnded(fleet, calm + QUIET_MS);
  const run: Run = {
    ...judge(operations, clients.told, vendor),
    losses: fleet.losses,
    calls: clients.told.length,
    faults: faultsOf(vendor),
    endedMs: Math.round(performance.now() - calm),
    unanswered: clients.unanswered,
    miscounted: vendor.deployments.filter(
      (deployment) => vendor.applied(deployment).length !== vendor.moves(deployment),
    ),
  };
  process.stderr.write(`\n  ${figuresOf(name, run, vendor, random)}\n`);
  return run;
}

/** Callers that repeat a request until they know, and then again. */
class Clients {
  readonly told: Told[] = [];
  readonly #jobs: readonly Job[];
  readonly #definite = new Map<Job, number>();
  readonly #fleet: Fleet;
  readonly #random: Random;
  readonly #started = performance.now();
  readonly #work: Promise<unknown>;
  #released = 0;
  #calm = false;
  #over = false;

  constructor(deployments: readonly string[], fleet: Fleet, random: Random) {
    this.#jobs = deployments.map((deployment) => ({ deployment, requestId: randomUUID() }));
    this.#fleet = fleet;
    this.#random = random;
    this.#work = Promise.all(Array.from({ length: CLIENTS }, () => this.#run()));
    this.#work.catch(() => {}); // `finished` tells
  }

  /** From now on nothing new is begun: what was begun is brought to its end. */
  calm(): void {
    this.#calm = true;
  }

  /** Resolves when every caller knows, or when it has taken too long. */
  async finished(limitMs: number): Promise<void> {
    const limit = setTimeout(() => {
      this.#over = true;
    }, limitMs);
    await this.#work;
    clearTimeout(limit);
  }

  get unanswered(): string[] {
    return this.#jobs
      .slice(0, this.#released)
      .filter((job) => this.#count(job) === 0)
      .map(({ requestId }) => requestId);
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      const job = this.#next();
      if (job === undefined && this.#calm) return;
      if (job !== undefined) await this.#ask(job);
      await delay(this.#random.between(30, 200));
    }
  }

  #next(): Job | undefined {
    const { chance, pick } = this.#random;
    if (!this.#calm) {
      const due = Math.floor((performance.now() - this.#started) / RELEASE_MS);
      this.#released = Math.min(due, this.#jobs.length);
      if (chance(0.1)) return { deployment: pick(SHARED), requestId: chance(0.5) ? "" : randomUUID() };
    }
    const open = this.#jobs.slice(0, this.#released).filter((job) => this.#count(job) < ANSWERS);
    return open.length === 0 ? undefined : pick(open);
  }

  async #ask(job: Job): Promise<void> {
    const { chance, pick, between } = this.#random;
    const manner: Manner = this.#calm
      ? { deadlineMs: undefined, patienceMs: 20_000 }
      : {
          deadlineMs: pick([undefined, undefined, 400, 3_000]),
          patienceMs: chance(0.15) ? between(20, 600) : 8_000,
        };
    const asked = Array.from({ length: chance(0.3) ? 2 : 1 }, () => restart(this.#fleet.url, job, manner));
    for (const told of await Promise.all(asked)) {
      this.told.push(told);
      if (isDefinite(told)) this.#definite.set(job, this.#count(job) + 1);
    }
  }

  #count(job: Job): number {
    return this.#definite.get(job) ?? 0;
  }
}

/** Operations as the servers show them once none is open, or when it is too late. */
async function untilEnded(fleet: Fleet, deadline: number): Promise<Listed[]> {
  for (;;) {
    const operations = await listOperations(fleet.url);
    if (operations.every(({ done }) => done) || performance.now() > deadline) return operations;
    await delay(200);
  }
}

const faultsOf = ({ faults }: Vendor): number =>
  [...faults].reduce((sum, [kind, count]) => sum + (kind === "well" ? 0 : count), 0);

function figuresOf(name: string, run: Run, { faults }: Vendor, { seed }: Random): string {
  const { losses } = run;
  return [
    `${name} (RESTARTD_TEST_SEED=${seed}): ${run.operations} operations ${JSON.stringify(run.byState)}, ${run.calls} calls,`,
    `${losses.kills} kills, ${losses.stops} stops, ${losses.starts} starts (${losses.failedStarts} failed), ${losses.points.size} failpoints,`,
    `${run.faults} faults ${JSON.stringify(Object.fromEntries(faults))};`,
    `${run.doubles} doubles, ${run.wrong.length} wrong verdicts, ${run.lies.length} wrong answers, ${run.open.length} open,`,
    `${run.undecided.length} undecided, ${run.renamed.length} renamed; all ended after ${run.endedMs} ms`,
  ].join("\n    ");
}
