/**
 * A start, a failover, an upgrade sends nothing: stores with operations in every state, of every system, and vendors that count every
 * request that would change something.
 */
import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { Failure } from "../../src/core/errors.ts";
import type { OperationState } from "../../src/core/operation.ts";
import { formatFailure } from "../../src/core/status.ts";
import { MIGRATIONS } from "../../src/operations/store/migrations.ts";
import { openPostgresStore } from "../../src/operations/store/postgres/open.ts";
import { ENDED, type OperationRecord } from "../../src/operations/store/record.ts";
import { expectedSchema, openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import type { Store } from "../../src/operations/store/store.ts";
import { NEXT } from "../operations/store/upgrade-suite.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { postgresMissing, promote, startPostgres, startStandby } from "../support/postgres.ts";
import { listOperations, restart } from "./client.ts";
import { openCommitProxy } from "./commit-proxy.ts";
import { Fleet } from "./fleet.ts";
import { seeded } from "./random.ts";
import { TIMING } from "./run.ts";
import type { Sections, System } from "./system.ts";
import { SYSTEMS } from "./systems/index.ts";

const STATES: readonly OperationState[] = [
  "ACCEPTED",
  "SENDING",
  "SENT",
  "UNKNOWN",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "NOT_OBSERVED",
  "UNRESOLVED",
];
const BEFORE_SEND: ReadonlySet<OperationState> = new Set(["ACCEPTED", "CANCELLED"]);
const BEFORE_ANSWER: ReadonlySet<OperationState> = new Set(["ACCEPTED", "CANCELLED", "SENDING", "UNKNOWN"]);

/** An operation that really ended, as its replica would have left it if it had died at some moment; or as another end. */
const left = (one: OperationRecord, state: OperationState): OperationRecord => ({
  ...one,
  state,
  owner: "a replica that has died",
  blocks: !ENDED.has(state) || state === "UNRESOLVED",
  endTime: ENDED.has(state) ? one.updateTime : undefined,
  sendTime: BEFORE_SEND.has(state) ? undefined : one.sendTime,
  vendorJob: BEFORE_ANSWER.has(state) ? "" : one.vendorJob,
  response: state === "SUCCEEDED" ? one.response : undefined,
  error:
    ENDED.has(state) && state !== "SUCCEEDED" ? formatFailure(new Failure("INTERNAL", "as a test has it")) : undefined,
});

let stack: AsyncDisposableStack;
let folder: Folder;
let systems: System[];
/** What stores begin with. */
let operations: OperationRecord[];

const options = { replica: "seed", now: () => new Date(), warn: () => undefined };
const newer = { migrations: [...MIGRATIONS, NEXT] };
const path = (name: string) => join(folder.path, name);
const writes = () => systems.map(({ name, writes: count }) => `${name}: ${count}`);

/** Servers on a store, which do nothing to themselves. */
async function startServers(
  name: string,
  store: object,
  more: { count?: number; resend?: boolean; env?: object } = {},
) {
  const sections = systems.reduce<Sections>((before, system) => system.configure(before), {});
  return Fleet.start({
    random: seeded(1),
    count: more.count ?? 1,
    config: await folder.write(`${name}.yaml`, stringify({ listen: "127.0.0.1:0", store, ...sections })),
    env: { ...Object.assign({}, ...systems.map(({ env }) => env)), ...more.env },
    mishaps: [],
    skewsMs: [0],
    pauseMs: [0, 0],
    timing: TIMING,
    resend: more.resend ?? false,
    forgetful: false,
  });
}

/** Every operation, once none is open. */
async function ended(fleet: Fleet) {
  return vi.waitFor(
    async () => {
      const found = await listOperations(fleet.url);
      expect(found.filter(({ done }) => !done)).toEqual([]);
      return found;
    },
    { timeout: 60_000, interval: 200 },
  );
}

const fill = async (store: Store): Promise<void> => {
  await using filling = store;
  for (const one of operations) await filling.insert([one], { event: "accepted" });
};

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await temporaryFolder());
  systems = [];
  for (const start of SYSTEMS) systems.push(stack.use(await start({ random: seeded(1), calls: 2 * STATES.length })));
  // Real ones first: what an action records is its own.
  const whole = systems.flatMap((system) => {
    const single = system.once.filter(({ length }) => length === 1).slice(0, STATES.length);
    return single.map((targets) => ({ targets, ask: system.ask(targets) }));
  });
  {
    await using fleet = await startServers("real", { sqlite: { path: "real.db" } });
    const manner = { deadlineMs: undefined, patienceMs: 20_000 };
    await Promise.all(whole.map(({ ask }) => restart(fleet.url, ask, randomUUID(), manner)));
    await ended(fleet);
  }
  await using store = await openSqliteStore({ ...options, path: path("real.db") });
  const real = new Map((await store.list({ where: [], limit: 1_000 })).map((one) => [one.target, one]));
  operations = systems.flatMap((system) =>
    system.once
      .filter(({ length }) => length === 1)
      .slice(0, STATES.length)
      .flatMap(([target = ""], at) => {
        const one = real.get(target);
        const state = STATES[at];
        return one === undefined || state === undefined ? [] : [left(one, state)];
      }),
  );
  expect(operations).toHaveLength(SYSTEMS.length * STATES.length);
  expect(systems.filter(({ writes: count }) => count < STATES.length)).toEqual([]);
}, 120_000);
afterAll(() => stack.disposeAsync());

/** What became of those that nobody worked on any more. */
function expectLookedAt(found: readonly { readonly name: string; readonly state: string }[]): void {
  const ends = new Map(found.map(({ name, state }) => [name, state.replace("STATE_", "")]));
  for (const { name, state } of operations) {
    if (state === "ACCEPTED") expect(ends.get(name), state).toBe("CANCELLED");
    else if (ENDED.has(state)) expect(ends.get(name), state).toBe(state);
    else expect(ends.get(name), state).toMatch(/^(SUCCEEDED|FAILED|NOT_OBSERVED|UNRESOLVED)$/);
  }
}

describe("on SQLite nothing is sent", () => {
  const start = async (name: string) => {
    const before = writes();
    await using fleet = await startServers(name, { sqlite: { path: `${name}.db` } });
    expectLookedAt(await ended(fleet));
    expect(writes()).toEqual(before);
  };

  it("by a start", async () => {
    await fill(await openSqliteStore({ ...options, path: path("started.db") }));
    await start("started");
  });

  it("by a start that migrates the store", async () => {
    await fill(await openSqliteStore({ ...options, path: path("whole.db") }));
    using older = await expectedSchema(MIGRATIONS.slice(0, -1));
    older.exec(`attach '${path("whole.db")}' as whole`);
    for (const table of ["operations", "audit"]) {
      const columns = older.prepare("select name from pragma_table_info(?, 'main')").all(table);
      const names = columns.map(({ name }) => name).join(", ");
      older.exec(`insert into main.${table} (${names}) select ${names} from whole.${table}`);
    }
    const id = older.prepare("pragma whole.application_id").get()?.application_id;
    older.exec(`detach whole; pragma application_id = ${id}; vacuum into '${path("upgraded.db")}'`);
    await start("upgraded");
    await using store = await openSqliteStore({ ...options, path: path("upgraded.db") });
    expect((await store.summary()).schemaVersion).toBe(MIGRATIONS.length);
    expect(await readdir(folder.path)).toContain(`upgraded.db.before-v${MIGRATIONS.length}`);
  });

  it("by a start after a newer version has migrated the store, and by that version's", async () => {
    await fill(await openSqliteStore({ ...options, path: path("back.db") }));
    await (await openSqliteStore({ ...options, ...newer, path: path("back.db") }))[Symbol.asyncDispose]();
    await start("back");
  });

  it("negative control: a program that sends again is caught", async () => {
    await fill(await openSqliteStore({ ...options, path: path("wrong.db") }));
    const before = writes();
    await using fleet = await startServers("wrong", { sqlite: { path: "wrong.db" } }, { resend: true });
    expect(fleet.urls).toHaveLength(1);
    const sent = () => systems.filter((_, at) => writes()[at] !== before[at]).map(({ name }) => name);
    // Not of each: where a check before the send sees that there is nothing to do, this one sends nothing either.
    await expect.poll(sent, { timeout: 60_000 }).toEqual(expect.arrayContaining(["kubernetes", "arcgis"]));
  });
});

describe.skipIf(postgresMissing())("on PostgreSQL nothing is sent", () => {
  it("by a start of two replicas, a failover to a standby, and an upgrade beside them", async () => {
    await using primary = await startPostgres();
    const url = await primary.database();
    await fill(await openPostgresStore({ ...options, url: () => url }));
    await using standby = await startStandby(primary, { synchronous: true });
    await using proxy = await openCommitProxy(primary.port, () => "pass");
    const before = writes();
    const through = primary.through(url, proxy.port);
    const store = { postgres: { url: { env: "CHAOS_STORE" } } };
    await using fleet = await startServers("postgres", store, { count: 2, env: { CHAOS_STORE: through } });
    await primary.kill();
    await promote(standby);
    proxy.target = standby.port;
    // What a newer version does first.
    await (await openPostgresStore({ ...options, ...newer, url: () => through }))[Symbol.asyncDispose]();
    expectLookedAt(await ended(fleet));
    expect(writes()).toEqual(before);
    expect(fleet.losses.crashes).toEqual([]);
  });
});
