import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOLD_EPOCH } from "../../../src/operations/store/postgres/open.ts";
import { openPool } from "../../../src/operations/store/postgres/pool.ts";
import { createRows } from "../../../src/operations/store/rows.ts";
import { createStatements, type HoldEpoch, type Statement } from "../../../src/operations/store/statements.ts";
import { type Postgres, postgresMissing, startPostgres } from "../../support/postgres.ts";
import { record } from "../records.ts";
import { openAt } from "./open-postgres.ts";

const FREEZE = {
  name: "incident",
  targets: ["**"],
  until: Date.UTC(2100, 0, 1),
  message: "",
  reason: "",
  principal: "token:ann",
  createTime: 1,
};

const PERMIT = { event: "permit" } as const;

const ROWS = createRows(false);

/** How a permit is written: for an operation that has been accepted, or with its acceptance. */
const KINDS = ["a change", "an insert"] as const;
type Kind = (typeof KINDS)[number];

/** Unsound: it sees what was committed when it began, and keeps nobody from changing it. */
const NOTHING: HoldEpoch = (place) => `select 1 as held from meta where key = 'freeze_epoch' and value = ${place}`;

/** Unsound: when it has the lock, it still sees what was committed when it began. */
const ADVISORY: HoldEpoch = (place) => HOLD_EPOCH(place).replace(" for share of meta", "");

describe.skipIf(postgresMissing())("a permit of one statement on PostgreSQL", () => {
  let server: Postgres;
  let template: string;
  beforeAll(async () => {
    server = await startPostgres();
    template = await server.database();
    await (await openAt(template))[Symbol.asyncDispose]();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  /** A store with an operation, somebody who gives it its permit, somebody who freezes, and in which order they were done. */
  async function scene(holdEpoch?: HoldEpoch, kind: Kind = "a change") {
    await using stack = new AsyncDisposableStack();
    const url = await server.database(template);
    const store = stack.use(await openAt(url));
    const one = record({ requestId: undefined });
    if (kind === "a change") await store.insert([one], { event: "accepted" });
    const order: string[] = [];
    const pool = openPool(
      () => url,
      () => undefined,
    );
    stack.defer(() => pool.close());
    const permit = async () =>
      kind === "a change"
        ? (await store.change(one, { state: "SENDING" }, PERMIT, 0)) !== undefined
        : (await store.insert([one], PERMIT, undefined, 0)).stale !== true;
    /** The store's statement, by another query for the epoch. */
    const by = (hold: HoldEpoch): Statement => {
      const statements = createStatements((position) => `$${position}`, hold);
      const trail = ROWS.ofAudit({
        ...PERMIT,
        operation: one.name,
        time: 1,
        replica: "r",
        from: undefined,
        to: "SENDING",
      });
      const after = ROWS.ofRecord({ ...one, state: "SENDING", version: one.version + 1 }, 0);
      return kind === "a change"
        ? statements.changeWithAudit(after, one.version, trail, 0)
        : statements.insertWithAudit(after, trail, 0);
    };
    const blocker = new pg.Client({ connectionString: url });
    await blocker.connect();
    stack.defer(() => blocker.end());
    await blocker.query("begin");
    const parts = stack.move();
    return {
      store,
      one,
      order,
      block: (text: string) => blocker.query(text),
      unblock: () => blocker.query("rollback"),
      async permit(): Promise<void> {
        const given = holdEpoch === undefined ? await permit() : (await pool.single(by(holdEpoch))).length > 0;
        order.push(given ? "permitted" : "not permitted");
      },
      async freeze(): Promise<void> {
        expect(await store.changeFreezes(0, { kind: "create", freeze: FREEZE })).toBe(true);
        order.push("frozen");
      },
      /** How many of ours wait for a lock. */
      waiting: async () =>
        (
          await server.sql(
            "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            url,
          )
        ).length,
      [Symbol.asyncDispose]: () => parts.disposeAsync(),
    };
  }

  /** The permit has judged its epoch, and waits for its row; somebody freezes meanwhile. */
  async function freezeWhilePermitWaits(holdEpoch?: HoldEpoch): Promise<readonly string[]> {
    await using on = await scene(holdEpoch);
    await on.block(`select from operations where name = '${on.one.name}' for update`);
    const permit = on.permit();
    await expect.poll(on.waiting).toBe(1);
    const freeze = on.freeze();
    await expect.poll(async () => on.order.length > 0 || (await on.waiting()) === 2).toBe(true);
    await on.unblock();
    await Promise.all([permit, freeze]);
    return on.order;
  }

  /** Somebody has changed freezes, and not committed yet; a permit is asked for meanwhile. */
  async function permitWhileFreezeWaits(kind: Kind, holdEpoch?: HoldEpoch): Promise<readonly string[]> {
    await using on = await scene(holdEpoch, kind);
    await on.block("lock table freezes in share mode");
    const freeze = on.freeze();
    await expect.poll(on.waiting).toBe(1);
    const permit = on.permit();
    await expect.poll(async () => on.order.length > 0 || (await on.waiting()) === 2).toBe(true);
    await on.unblock();
    await Promise.all([permit, freeze]);
    return on.order;
  }

  it("is committed before a freeze that it did not know of", async () => {
    expect(await freezeWhilePermitWaits()).toEqual(["permitted", "frozen"]);
  });

  it.each(KINDS)("is not given once a freeze is committed, however early it was asked for: %s", async (kind) => {
    expect((await permitWhileFreezeWaits(kind)).toSorted()).toEqual(["frozen", "not permitted"]);
  });

  it("waits behind a freeze that waits: permits that come one after the other do not keep it from being made", async () => {
    await using on = await scene();
    await on.block(`select from operations where name = '${on.one.name}' for update`);
    const permit = on.permit();
    await expect.poll(on.waiting).toBe(1);
    const freeze = on.freeze();
    await expect.poll(on.waiting).toBe(2);
    const late = record();
    await on.store.insert([late], { event: "accepted" });
    const second = on.store.change(late, { state: "SENDING" }, { event: "permit" }, 0);
    await expect.poll(on.waiting).toBe(3);
    await on.unblock();
    await Promise.all([permit, freeze]);
    expect(await second).toBeUndefined();
  });

  it("negative control: a statement that holds nothing is caught", async () => {
    expect(await freezeWhilePermitWaits(NOTHING)).toEqual(["frozen", "permitted"]);
  });

  it.each(KINDS)("negative control: a statement that holds the advisory lock alone is caught: %s", async (kind) => {
    expect(await permitWhileFreezeWaits(kind, ADVISORY)).toContain("permitted");
  });
});
