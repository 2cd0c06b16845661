import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MIGRATIONS } from "../../../src/operations/store/migrations.ts";
import { MIGRATION_LOCK } from "../../../src/operations/store/postgres/prepare.ts";
import { definitionsFrom } from "../../../src/operations/store/postgres/sql.ts";
import { type Postgres, postgresMissing, startPostgres } from "../../support/postgres.ts";
import { record } from "../records.ts";
import { openAt } from "./open-postgres.ts";
import { NEXT, upgradeSuite } from "./upgrade-suite.ts";

describe.skipIf(postgresMissing())("an upgrade of PostgreSQL", () => {
  let server: Postgres;
  beforeAll(async () => {
    server = await startPostgres();
    await server.sql("create role restartd login");
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const next = { migrations: [...MIGRATIONS, NEXT] };
  /** As a role that owns nothing. */
  const asStranger = (url: string) => url.replace("postgres@", "restartd@");
  const definitions = async (url: string) =>
    (
      await server.sql(
        `select table_name, column_name, data_type, collation_name, is_nullable, column_default, is_identity
          from information_schema.columns where table_schema = 'public' order by 1, 2`,
        url,
      )
    ).concat(await server.sql("select indexdef from pg_indexes where schemaname = 'public' order by 1", url));

  upgradeSuite("a database", async () => {
    const url = await server.database();
    return Object.assign((options: object = {}) => openAt(url, options), {
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  });

  it("leaves a program at work while a newer one migrates beside it", async () => {
    const url = await server.database();
    await using old = await openAt(url);
    const [before, after] = [record(), record()];
    await old.insert([before], { event: "accepted" });
    await using newer = await openAt(url, next);
    await old.insert([after], { event: "accepted" });
    const sent = await newer.change(after, { state: "SENDING" }, { event: "sending" });
    expect(await old.get(after.name)).toEqual(sent);
    expect(await newer.get(before.name)).toEqual(before);
  });

  it("waits for a replica that migrates, and gives up with a sentence", async () => {
    const url = await server.database();
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    await other.query(`select pg_advisory_lock(${MIGRATION_LOCK})`);
    await expect(openAt(url, { turnMs: 200 })).rejects.toThrow(
      "Another replica migrates the store, or something holds its tables, and has not ended within 0.2 s: start again once it has.",
    );
    const waiting = openAt(url);
    await expect
      .poll(() => server.sql("select 1 from pg_locks where locktype = 'advisory' and not granted"))
      .toHaveLength(1);
    await other.query(`select pg_advisory_unlock(${MIGRATION_LOCK})`);
    await using _ = await waiting;
    await other.end();
  });

  it("needs no turn where nothing is missing", async () => {
    const url = await server.database();
    await (await openAt(url))[Symbol.asyncDispose]();
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    await other.query(`select pg_advisory_lock(${MIGRATION_LOCK})`);
    await using _ = await openAt(url, { turnMs: 1 });
    await other.end();
  });

  it("tells a role without the right to define which statement is missing", async () => {
    const url = await server.database();
    await expect(openAt(asStranger(url))).rejects.toThrow(
      'PostgreSQL refuses restartd\'s role (permission denied for schema public) the statement: create table if not exists meta (key text collate "C" primary key, value text collate "C" not null). Run what `restartd store sql` prints',
    );
    await (await openAt(url))[Symbol.asyncDispose]();
    await server.sql("grant select, insert, update, delete on all tables in schema public to restartd", url);
    await expect(openAt(asStranger(url), next)).rejects.toThrow(
      /must be owner of table operations\) the statement: alter table operations add column weight integer not null default 7\./,
    );
  });

  it("works for a role without the right to define once the schema is current", async () => {
    const url = await server.database();
    await server.sql(await definitionsFrom(0), url);
    const grant = /grant .* to ROLE;/.exec(await definitionsFrom(0))?.[0].replace("ROLE", "restartd");
    await server.sql(grant ?? "", url);
    await using store = await openAt(asStranger(url));
    const one = record({ requestId: randomUUID() });
    await store.insert([one], { event: "accepted" });
    const ended = await store.change(one, { state: "SUCCEEDED", endTime: 1, blocks: false }, { event: "ended" });
    if (ended === undefined) throw new Error("not changed");
    expect(await store.remove(ended)).toBe(true);
    await store.beat();
  });

  it("prints what a start runs, once", async () => {
    const [started, printed] = [await server.database(), await server.database()];
    await (await openAt(started))[Symbol.asyncDispose]();
    await server.sql(await definitionsFrom(0), printed);
    expect(await definitions(printed)).toEqual(await definitions(started));
    const meta = "select key, value from meta where key <> 'store_id' order by key";
    expect(await server.sql(meta, printed)).toEqual(await server.sql(meta, started));
    await expect(server.sql(await definitionsFrom(0), printed)).rejects.toThrow('relation "meta" already exists');
  });
});
