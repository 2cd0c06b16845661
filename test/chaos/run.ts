import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import { temporaryFolder } from "../support/folder.ts";
import { listOperations } from "./client.ts";
import { Clients } from "./clients.ts";
import { Fleet, type FleetOptions, type Losses } from "./fleet.ts";
import { Freezer, type Frozen } from "./freezer.ts";
import type { Random } from "./random.ts";
import type { Sections, StartSystem, System } from "./system.ts";
import { type Figures, judge, type Listed, type Verdicts } from "./verdicts.ts";

/** A chaos run. */
export interface RunOptions
  extends Pick<FleetOptions, "random" | "count" | "mishaps" | "skewsMs" | "resend" | "forgetful"> {
  readonly name: string;
  readonly systems: readonly StartSystem[];
  /** Section `store` of the configuration; relative paths are in a folder of the run's own. */
  readonly store: object;
  readonly env?: Readonly<Record<string, string>>;
  /** How long (ms) the chaos lasts at least, and at most until every mishap has happened. */
  readonly chaosMs: readonly [number, number];
  /** Whether the chaos has done what it is for; it lasts until then, too. Default: it has. */
  readonly enough?: (systems: readonly System[], frozen: Frozen) => boolean;
  /** After the chaos everything ends within so long (ms). Default 60,000. */
  readonly quietMs?: number;
  /** Done in the middle of the chaos. */
  readonly midway?: () => Promise<void>;
  /** Told when the chaos ends. */
  readonly onCalm?: () => void;
}

/** What a run showed. */
export interface Run extends Verdicts {
  readonly losses: Losses;
  readonly frozen: Frozen;
  readonly calls: number;
  /** How long (ms) after the chaos it took until everything had ended. */
  readonly endedMs: number;
  /** Calls with a request_id whose callers never learned how they ended. */
  readonly unanswered: readonly string[];
  /** Where two counts of restarts differ: the test's own mistake. */
  readonly miscounted: readonly string[];
}

/** Calls with a request_id that each system has targets for. */
const CALLS = 150;
/** A server is struck so often (ms); between, it starts and works. */
const STRIKE_MS = [3_000, 6_000] as const;
const QUIET_MS = 60_000;

/** Shorter than in production, in the same order. The last is longer than the window, a slow vendor and a pause together. */
export const TIMING = {
  sendWindowMs: 500,
  leaseMs: 1_000,
  beatMs: 250,
  firstLookMs: 100,
  settleMs: 5_500,
};
const PAUSE_MS = [1_600, 2_800] as const;

/** Lets clients, servers and vendors loose on each other, then waits until everything has ended, and judges. */
export async function runChaos(options: RunOptions): Promise<Run> {
  const { random, store, chaosMs, enough = () => true, quietMs = QUIET_MS } = options;
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const systems: System[] = [];
  for (const start of options.systems) systems.push(stack.use(await start({ random, calls: CALLS })));
  const sections = systems.reduce<Sections>((before, system) => system.configure(before), {});
  const config = await folder.write("restartd.yaml", stringify({ listen: "127.0.0.1:0", store, ...sections }));
  const secrets = Object.assign({}, ...systems.map(({ env }) => env));
  const fleet = stack.use(
    await Fleet.start({
      ...options,
      env: { NODE_COMPILE_CACHE: join(folder.path, "compiled"), ...secrets, ...options.env },
      config,
      timing: TIMING,
      pauseMs: PAUSE_MS,
    }),
  );
  const clients = new Clients(systems, fleet, random);
  const freezer = new Freezer(systems, fleet, clients);
  const started = performance.now();
  const elapsed = () => performance.now() - started;
  for (const system of systems) system.chaotic = true;
  const strikeUntil = async (ms: number) => {
    while (elapsed() < ms) {
      await delay(random.between(...STRIKE_MS) / options.count);
      fleet.strike();
    }
  };
  await strikeUntil(chaosMs[0] / 2);
  await options.midway?.();
  await strikeUntil(chaosMs[0]);
  fleet.hurry();
  while (!(fleet.complete && enough(systems, freezer)) && elapsed() < chaosMs[1]) {
    await delay(100);
    fleet.renew();
  }
  await freezer.calm();
  for (const system of systems) system.chaotic = false;
  options.onCalm?.();
  await fleet.calm();
  clients.calm();
  const calm = performance.now();
  await clients.finished(quietMs);
  const operations = await untilEnded(fleet, calm + quietMs);
  const run: Run = {
    ...judge(operations, clients.told, systems),
    losses: fleet.losses,
    frozen: freezer,
    calls: clients.told.length,
    endedMs: Math.round(performance.now() - calm),
    unanswered: clients.unanswered,
    miscounted: systems.flatMap((system) => system.miscounted()),
  };
  process.stderr.write(`\n  ${figuresOf(options, run, systems, Math.round(calm - started))}\n`);
  return run;
}

/** Operations as the servers show them once none is open, or when it is too late. */
async function untilEnded(fleet: Fleet, deadline: number): Promise<Listed[]> {
  for (;;) {
    const operations = await listOperations(fleet.url);
    if (operations.every(({ done }) => done) || performance.now() > deadline) return operations;
    await delay(200);
  }
}

function figuresOf(
  { name, random }: { name: string; random: Random },
  run: Run,
  systems: readonly System[],
  chaosMs: number,
): string {
  const { losses, frozen } = run;
  return [
    `${name} (RESTARTD_TEST_SEED=${random.seed}): ${run.calls} calls in ${chaosMs} ms of chaos,`,
    `${losses.kills} kills, ${losses.stops} stops, ${losses.starts} starts (${losses.failedStarts} failed), ${losses.points.size} failpoints;`,
    `${frozen.freezes} freezes, ${frozen.survived} of them in force after a server was lost, ${frozen.told} calls told so, ${frozen.thawed.length} restarts in spite of one;`,
    ...systems.map(({ name: system, faults }) => systemFigures(system, run.systems[system], faults)),
    `${run.wrong.length} wrong verdicts, ${run.lies.length} wrong answers, ${run.open.length} open,`,
    `${run.undecided.length} undecided, ${run.renamed.length} renamed; all ended after ${run.endedMs} ms`,
  ].join("\n    ");
}

function systemFigures(name: string, figures: Figures | undefined, faults: ReadonlyMap<string, number>): string {
  if (figures === undefined) throw new Error(`nothing is known of ${name}`);
  const { operations, applied, doubles, byState } = figures;
  const wrong = [...faults].reduce((sum, [kind, count]) => sum + (kind === "well" ? 0 : count), 0);
  return [
    `${name}: ${operations} operations ${JSON.stringify(byState)}, ${applied} restarts, ${doubles} doubles,`,
    `${wrong} faults ${JSON.stringify(Object.fromEntries(faults))}`,
  ].join("\n      ");
}
