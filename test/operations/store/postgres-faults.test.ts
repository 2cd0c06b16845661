import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openPool } from "../../../src/operations/store/postgres/pool.ts";
import { type Store, UncertainCommit } from "../../../src/operations/store/store.ts";
import { isCommit, openCommitProxy } from "../../chaos/commit-proxy.ts";
import { type Postgres, postgresMissing, promote, startPostgres, startStandby } from "../../support/postgres.ts";
import { openTcpProxy, type ProxyMode } from "../../support/tcp-proxy.ts";
import { within } from "../../support/within.ts";
import { record } from "../records.ts";
import { openAt } from "./open-postgres.ts";

/** What something comes to after a while is waited for so long. */
const PATIENT = { timeout: 60_000 };

describe.skipIf(postgresMissing())("PostgreSQL in trouble", () => {
  let server: Postgres;
  let template: string;
  beforeAll(async () => {
    server = await startPostgres();
    template = await server.database();
    await (await openAt(template))[Symbol.asyncDispose]();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const stored = async (store: Store) => {
    const one = record();
    expect(await store.insert([one], { event: "accepted" })).toEqual({ blocked: new Map() });
    return one;
  };
  const permit = (store: Store, one: ReturnType<typeof record>) =>
    store.change(one, { state: "SENDING" }, { event: "permit" });
  /** What a promise rejected with. */
  const rejection = async (promise: Promise<unknown>): Promise<{ error: unknown }> => {
    const error = await promise.then(
      (value) => ({ resolved: value }),
      (reason: unknown) => reason,
    );
    return { error };
  };

  describe("a commit that nobody confirms", () => {
    it.each<[what: string, mode: ProxyMode, happened: boolean]>([
      ["is cut before it reaches the server", "swallow", false],
      ["is cut before its answer reaches us", "deafen", true],
    ])("is doubt when it %s", async (_, onCommit, happened) => {
      let armed = false;
      await using proxy = await openTcpProxy(server.port, (chunk) => (armed && isCommit(chunk) ? onCommit : undefined));
      const url = await server.database(template);
      await using direct = await openAt(url);
      await using store = await openAt(server.through(url, proxy.port));
      const one = await stored(store);
      armed = true;
      const doubt = rejection(permit(store, one));
      const state = async () => (await direct.get(one.name))?.state;
      if (happened) {
        await vi.waitFor(async () => expect(await state()).toBe("SENDING"), PATIENT);
        proxy.reset();
      }
      expect((await doubt).error).toBeInstanceOf(UncertainCommit);
      expect((await doubt).error).toMatchObject({ message: "PostgreSQL did not say whether it has committed" });
      armed = false;
      proxy.mode = "pass";
      expect(await state()).toBe(happened ? "SENDING" : "ACCEPTED");
      expect(await direct.audit(one.name)).toHaveLength(happened ? 2 : 1);
      // The store goes on with other connections, and no lock is left behind.
      const now = await store.get(one.name);
      expect(now && (await store.change(now, { progress: "on" }, undefined))).toMatchObject({ progress: "on" });
    });

    it("is doubt when its answer does not come in time", async () => {
      let armed = false;
      await using proxy = await openTcpProxy(server.port, (chunk) => (armed && isCommit(chunk) ? "deafen" : undefined));
      const url = await server.database(template);
      await using store = await openAt(server.through(url, proxy.port));
      const one = record();
      armed = true;
      const { error } = await within(8_000, rejection(store.insert([one], { event: "accepted" })));
      expect(error).toBeInstanceOf(UncertainCommit);
      proxy.mode = "pass";
      armed = false;
      expect(await store.get(one.name)).toEqual(one);
    });

    it("is no doubt when the transaction was cut before", async () => {
      let armed = false;
      const cuts = (chunk: Buffer) => armed && chunk.includes("insert into audit (") && !isCommit(chunk);
      await using proxy = await openTcpProxy(server.port, (chunk) => (cuts(chunk) ? "swallow" : undefined));
      const url = await server.database(template);
      await using store = await openAt(server.through(url, proxy.port));
      armed = true;
      // With a request_id it takes more than one statement.
      const one = record();
      const { error } = await rejection(store.insert([one], { event: "accepted" }));
      expect(error).toBeInstanceOf(Error);
      expect(error).not.toBeInstanceOf(UncertainCommit);
      armed = false;
      proxy.mode = "pass";
      expect(await store.get(one.name)).toBeUndefined();
    });

    it("is doubt when no standby has confirmed it", async () => {
      const url = await server.database(template);
      await using store = await openAt(url);
      const all = await Promise.all(Array.from({ length: 50 }, () => stored(store)));
      await server.sql("alter system set synchronous_standby_names = 'nobody'");
      await server.sql("select pg_reload_conf()");
      const waiting = "from pg_stat_activity where wait_event = 'SyncRep' and query like 'with done as%'";
      /** One of ours that waits to be permitted: what was reloaded is in force a moment later. */
      const untilOneWaits = async () => {
        for (const one of all) {
          let over = false;
          const doubt = rejection(permit(store, one)).finally(() => {
            over = true;
          });
          while (!over) if ((await server.sql(`select pid ${waiting}`)).length === 1) return { one, doubt };
        }
        throw new Error("no commit waits for a standby");
      };
      let one: ReturnType<typeof record>;
      try {
        const waits = await untilOneWaits();
        const { doubt } = waits;
        one = waits.one;
        await server.sql(`select pg_cancel_backend(pid) ${waiting}`);
        expect((await doubt).error).toBeInstanceOf(UncertainCommit);
        expect((await doubt).error).toMatchObject({
          message:
            "PostgreSQL has committed, but not as safely as it should: canceling wait for synchronous replication due to user request; The transaction has already committed locally, but might not have been replicated to the standby.",
        });
        const silent = await within(8_000, rejection(store.insert([record()], { event: "accepted" })));
        expect(silent.error).toBeInstanceOf(UncertainCommit);
      } finally {
        await server.sql("alter system reset synchronous_standby_names");
        await server.sql("select pg_reload_conf()");
      }
      expect((await store.get(one.name))?.state).toBe("SENDING");
    });
  });

  describe("a database that is away", () => {
    const all = (store: Store, one: ReturnType<typeof record>) => [
      store.get(one.name),
      permit(store, one),
      store.insert([record()], { event: "accepted" }),
      store.open(),
      store.beat(),
      ...Array.from({ length: 30 }, () => store.get(one.name)),
    ];

    it("has every call rejected soon while it stands still, and works again after that", async () => {
      const url = await server.database(template);
      await using store = await openAt(url);
      const one = await stored(store);
      server.pause();
      try {
        const results = await within(8_000, Promise.all(all(store, one).map(rejection)));
        expect(results.filter(({ error }) => !(error instanceof Error))).toEqual([]);
      } finally {
        server.resume();
      }
      expect(await store.get(one.name)).toMatchObject({ name: one.name });
    });

    it("can be closed while it stands still", async () => {
      const store = await openAt(await server.database(template));
      server.pause();
      try {
        await within(12_000, Promise.resolve(store[Symbol.asyncDispose]()));
      } finally {
        server.resume();
      }
    });

    it("has calls rejected at once while it is dead, and works again after that", async () => {
      const url = await server.database(template);
      const warned: string[] = [];
      await using store = await openAt(url, { warn: (message) => warned.push(message) });
      const heard = vi.fn();
      await using other = await openAt(url);
      other.subscribe(heard);
      const one = await stored(store);
      await server.kill();
      const results = await within(4_000, Promise.all(all(store, one).map(rejection)));
      expect(results.filter(({ error }) => !(error instanceof Error))).toEqual([]);
      expect(warned).toContainEqual(expect.stringContaining("the connection that listens to PostgreSQL broke"));
      await server.start();
      let now = await store.get(one.name);
      // Listening comes back by itself.
      await vi.waitFor(
        async () => {
          now = now && (await store.change(now, { progress: randomUUID() }, undefined));
          expect(heard).toHaveBeenCalledWith(one.name);
        },
        { ...PATIENT, interval: 200 },
      );
    });

    it("has its standby take its place once that is promoted, and not before", async () => {
      await using primary = await startPostgres();
      const url = await primary.database();
      await using proxy = await openCommitProxy(primary.port, () => "pass");
      await using store = await openAt(primary.through(url, proxy.port));
      const one = await stored(store);
      await using standby = await startStandby(primary, { synchronous: true });
      const sent = await permit(store, one);
      const refused = "PostgreSQL is a standby, which cannot be written to: let the store's address name the primary.";
      await expect(openAt(primary.through(url, standby.port))).rejects.toThrow(refused);
      proxy.target = standby.port;
      await primary.kill();
      // Whoever reads there is told of what was, by then, and nothing says how long ago.
      await vi.waitFor(() => expect(store.get(one.name)).rejects.toThrow(refused), PATIENT);
      await promote(standby);
      await vi.waitFor(async () => expect(await store.get(one.name)).toEqual(sent), PATIENT);
      expect(sent && (await store.change(sent, { state: "SENT" }, { event: "sent" }))).toMatchObject({ state: "SENT" });
    });

    it("lets go of an operation whose replica stands still in the middle of a change", async () => {
      const url = await server.database(template);
      await using store = await openAt(url);
      const one = await stored(store);
      const frozen = openPool(
        () => url,
        () => undefined,
      );
      const client = await frozen.kysely.connect();
      await client.query("begin", []);
      await client.query("update operations set version = 5", []);
      expect(await permit(store, one)).toMatchObject({ state: "SENDING", version: 2 });
      // And what it does when it goes on comes too late.
      await expect(client.query("commit", [])).rejects.toThrow(UncertainCommit);
      client.release();
      await frozen.close();
      expect(await store.get(one.name)).toMatchObject({ state: "SENDING", version: 2 });
    });
  });
});
