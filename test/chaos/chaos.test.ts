import { describe, expect, test } from "vitest";
import type { Failpoint } from "../../src/operations/records/failpoint.ts";
import { type Postgres, postgresMissing, promote, startPostgres, startStandby } from "../support/postgres.ts";
import { openCommitProxy } from "./commit-proxy.ts";
import type { Frozen } from "./freezer.ts";
import type { Mishap } from "./plan.ts";
import { chooseSeed, seeded } from "./random.ts";
import { type Run, type RunOptions, runChaos } from "./run.ts";
import type { System } from "./system.ts";
import { SYSTEMS } from "./systems/index.ts";

const seed = chooseSeed();

/** `before send` is where `after W2` is: nothing that could wait stands between them. */
const POINTS: readonly Failpoint[] = [
  "before W1",
  "after W1",
  "before W2",
  "after W2",
  "after send",
  "before W3",
  "after W3",
  "before W4",
  "after W4",
];

const at = (points: readonly Failpoint[], signal: Mishap["signal"]) => points.map((point) => ({ point, signal }));

const KILLS = at(POINTS, "SIGKILL");
const STOPS = at(["before W1", "after W1", "after W2", "after send"], "SIGSTOP");

/** A control is tried again: that nothing went wrong within its time, on a busy machine, does not show that it would not be seen. */
const CONTROL = { retry: 2 };

/** So many operations a standby that does not follow has not got. */
const LOST = 20;

/** As wrong as a clock may be: what was signed more than 15 minutes off is refused. */
const SKEW_MS = 600_000;

const TRUTH = {
  systems: SYSTEMS,
  skewsMs: [SKEW_MS, -SKEW_MS, 0],
  resend: false,
  forgetful: false,
  chaosMs: [15_000, 90_000],
  enough: (_: readonly System[], { survived, told }: Frozen) => survived > 0 && told > 0,
} as const;

/**
 * The negative control, of sends and of freezes: what the one does wrong is no reason for what the other is caught by. It does not end
 * everything: nobody can say what it sent.
 */
const WRONG = {
  ...TRUTH,
  mishaps: at(["after W2", "after send", "before W3"], "SIGKILL"),
  resend: true,
  forgetful: true,
  chaosMs: [8_000, 40_000],
  enough: (systems: readonly System[], { thawed }: Frozen) => {
    const [kubernetes, ...clouds] = systems.map(({ once, applied }) => once.flat().some((one) => applied(one) > 1));
    return kubernetes === true && clouds.includes(true) && thawed.length > 0;
  },
  quietMs: 8_000,
} as const;

/** What every run must show, but for the negative controls. */
function expectTruth(run: Run, { mishaps }: Pick<RunOptions, "mishaps">): void {
  const { doubled, wrong, lies, open, undecided, renamed, unanswered, miscounted, frozen } = run;
  const { thawed } = frozen;
  expect({ thawed, doubled, wrong, lies, open, undecided, renamed, unanswered, miscounted }).toEqual({
    thawed: [],
    doubled: [],
    wrong: [],
    lies: [],
    open: [],
    undecided: [],
    renamed: [],
    unanswered: [],
    miscounted: [],
  });
  const done = Object.entries(run.systems).filter(([, { byState }]) => (byState.SUCCEEDED ?? 0) > 0);
  expect(done.map(([name]) => name)).toEqual(["kubernetes", "arcgis", "cse", "dcs", "ddm"]);
  expect(frozen.survived).toBeGreaterThan(0);
  expect(frozen.told).toBeGreaterThan(0);
  expect(run.losses.crashes).toEqual([]);
  expect([...run.losses.points].sort()).toEqual(mishaps.map(({ point, signal }) => `${signal} ${point}`).sort());
}

/** What a run that sends again, and forgets freezes, must show. */
function expectCaught({ systems: { kubernetes, ...clouds }, miscounted, frozen }: Run): void {
  expect(frozen.thawed).not.toEqual([]);
  expect(kubernetes?.doubles).toBeGreaterThan(0);
  expect(Math.max(...Object.values(clouds).map(({ doubles }) => doubles))).toBeGreaterThan(0);
  expect(miscounted).toEqual([]);
}

describe("one process on a SQLite file", () => {
  const options = { count: 1, store: { sqlite: { path: "restartd.db" } } };

  test("restarts nothing twice, and every operation ends with the truth", async () => {
    const chaos = { ...TRUTH, ...options, mishaps: KILLS };
    expectTruth(await runChaos({ ...chaos, name: "SQLite", random: seeded(seed) }), chaos);
  });

  test("negative control: sending again after a lease is caught, and so are freezes in memory", CONTROL, async () => {
    expectCaught(await runChaos({ ...WRONG, ...options, name: "SQLite, gone wrong", random: seeded(seed) }));
  });
});

/** In the middle of the chaos the server that has the store is killed, and another one takes its place. */
type Failover = "to a standby that has everything" | "to one that is behind";

describe.skipIf(postgresMissing())("two replicas on PostgreSQL", () => {
  const runOnPostgres = async (chaos: Omit<RunOptions, "random" | "count" | "store">, failover?: Failover) => {
    await using stack = new AsyncDisposableStack();
    const primary = stack.use(await startPostgres());
    const url = await primary.database();
    const synchronous = failover === "to a standby that has everything";
    const standby = failover && stack.use(await startStandby(primary, { synchronous }));
    const random = seeded(seed);
    let calm = false;
    await using proxy = await openCommitProxy(primary.port, () =>
      calm || !random.chance(0.03) ? "pass" : random.pick(["lose", "lose answer"]),
    );
    const failOver = async (to: Postgres) => {
      if (!synchronous) await fallBehind(to, primary, url);
      await primary.kill();
      await promote(to);
      proxy.target = to.port;
    };
    const ran = await runChaos({
      ...chaos,
      random,
      count: 2,
      store: { postgres: { url: { env: "CHAOS_STORE" } } },
      env: { CHAOS_STORE: primary.through(url, proxy.port) },
      ...(standby && { midway: () => failOver(standby) }),
      onCalm: () => {
        calm = true;
      },
    });
    process.stderr.write(`    connections cut at COMMIT: ${JSON.stringify(Object.fromEntries(proxy.cuts))}\n`);
    return { ran, cuts: proxy.cuts };
  };

  /** Cuts a standby off, until operations are acknowledged that it has not got. */
  async function fallBehind(standby: Postgres, primary: Postgres, url: string): Promise<void> {
    await standby.sql("alter system set primary_conninfo = ''");
    await standby.sql("select pg_reload_conf()");
    await expect.poll(() => standby.sql("select pid from pg_stat_wal_receiver")).toEqual([]);
    const count = async () => Number((await primary.sql("select count(*) from operations", url))[0]?.count);
    const before = await count();
    await expect.poll(count).toBeGreaterThan(before + LOST);
  }

  test("restart nothing twice through a failover, and every operation ends with the truth", async () => {
    const chaos = { ...TRUTH, mishaps: [...KILLS, ...STOPS] };
    const { ran, cuts } = await runOnPostgres({ ...chaos, name: "PostgreSQL" }, "to a standby that has everything");
    expectTruth(ran, chaos);
    expect([...cuts.keys()].sort()).toEqual(["lose", "lose answer"]);
  });

  test("negative control: sending again after a lease is caught, and so are freezes in memory", CONTROL, async () => {
    const { ran } = await runOnPostgres({ ...WRONG, name: "PostgreSQL, gone wrong" });
    expectCaught(ran);
  });

  test("negative control: a failover to a standby that has not got everything is caught", CONTROL, async () => {
    const short = { mishaps: [], chaosMs: [6_000, 6_000], enough: () => true, quietMs: 8_000 } as const;
    const { ran } = await runOnPostgres({ ...TRUTH, ...short, name: "PostgreSQL, behind" }, "to one that is behind");
    expect(ran.lies).toContainEqual(expect.stringContaining("was named in an answer, and is not there"));
  });
});
