import { describe, expect, test } from "vitest";
import type { Failpoint } from "../../src/operations/failpoint.ts";
import { postgresMissing, startPostgres } from "../support/postgres.ts";
import { openCommitProxy } from "./commit-proxy.ts";
import type { Mishap } from "./plan.ts";
import { chooseSeed, seeded } from "./random.ts";
import { type Run, runChaos } from "./run.ts";
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
const STOPS = at(["after W1", "after W2", "after send"], "SIGSTOP");

/** As far as it may be wrong: signatures with a clock that is 15 minutes off are refused. */
const SKEW_MS = 600_000;
const SKEWS_MS = [SKEW_MS, -SKEW_MS, 0];

/** What every run must show, but for the negative controls. */
function expectTruth(run: Run): void {
  const { doubled, wrong, lies, open, undecided, renamed, unanswered, miscounted } = run;
  expect({ doubled, wrong, lies, open, undecided, renamed, unanswered, miscounted }).toEqual({
    doubled: [],
    wrong: [],
    lies: [],
    open: [],
    undecided: [],
    renamed: [],
    unanswered: [],
    miscounted: [],
  });
  expect(run.losses.crashes).toEqual([]);
}

/** What a run that sends again must show. */
function expectCaught(run: Run): void {
  expect(run.systems.kubernetes?.doubles).toBeGreaterThan(0);
  expect(run.miscounted).toEqual([]);
}

describe("one process on a SQLite file", () => {
  const options = { count: 1, store: { sqlite: { path: "restartd.db" } }, skewsMs: SKEWS_MS, systems: SYSTEMS };

  test("restarts nothing twice, and every operation ends with the truth", async () => {
    const run = await runChaos({
      ...options,
      name: "SQLite",
      random: seeded(seed),
      mishaps: KILLS,
      resend: false,
      chaosMs: [12_000, 60_000],
    });
    expectTruth(run);
    expect([...run.losses.points].sort()).toEqual(KILLS.map(({ point, signal }) => `${signal} ${point}`).sort());
  });

  test("negative control: sending again after a lease is caught", async () => {
    const run = await runChaos({
      ...options,
      name: "SQLite, sending again",
      random: seeded(seed),
      mishaps: at(["after W2", "after send", "before W3"], "SIGKILL"),
      resend: true,
      chaosMs: [8_000, 30_000],
    });
    expectCaught(run);
  });
});

describe.skipIf(postgresMissing())("two replicas on PostgreSQL", () => {
  const run = async (resend: boolean, mishaps: typeof KILLS, chaosMs: readonly [number, number]) => {
    await using postgres = await startPostgres();
    const random = seeded(seed);
    let calm = false;
    await using proxy = await openCommitProxy(postgres.port, () =>
      calm || !random.chance(0.03) ? "pass" : random.pick(["lose", "lose answer"]),
    );
    const ran = await runChaos({
      name: resend ? "PostgreSQL, sending again" : "PostgreSQL",
      random,
      count: 2,
      store: { postgres: { url: { env: "CHAOS_STORE" } } },
      env: { CHAOS_STORE: postgres.through(await postgres.database(), proxy.port) },
      skewsMs: SKEWS_MS,
      systems: SYSTEMS,
      mishaps,
      resend,
      chaosMs,
      onCalm: () => {
        calm = true;
      },
    });
    process.stderr.write(`    connections cut at COMMIT: ${JSON.stringify(Object.fromEntries(proxy.cuts))}\n`);
    return { ran, cuts: proxy.cuts };
  };

  test("restart nothing twice, and every operation ends with the truth", async () => {
    const { ran, cuts } = await run(false, [...KILLS, ...STOPS], [12_000, 60_000]);
    expectTruth(ran);
    expect([...ran.losses.points].sort()).toEqual(
      [...KILLS, ...STOPS].map(({ point, signal }) => `${signal} ${point}`).sort(),
    );
    expect([...cuts.keys()].sort()).toEqual(["lose", "lose answer"]);
  });

  test("negative control: sending again after a lease is caught", async () => {
    const { ran } = await run(true, at(["after W2", "after send", "before W3"], "SIGKILL"), [8_000, 30_000]);
    expectCaught(ran);
  });
});
