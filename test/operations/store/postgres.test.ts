import { type AddressInfo, createServer } from "node:net";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { MIGRATIONS } from "../../../src/operations/store/migrations.ts";
import type { PostgresStoreOptions } from "../../../src/operations/store/postgres/open.ts";
import { openPool } from "../../../src/operations/store/postgres/pool.ts";
import { StoreRefused } from "../../../src/operations/store/store.ts";
import { type Postgres, postgresMissing, startPostgres } from "../../support/postgres.ts";
import { record } from "../records.ts";
import { openAt } from "./open-postgres.ts";
import { storeSuite } from "./store-suite.ts";

/** What something comes to after a while is waited for so long. */
const PATIENT = { timeout: 60_000 };

const NAMES = { name: "f", principal: "token:ann", reason: "incident" };

describe.skipIf(postgresMissing())("PostgreSQL", () => {
  let server: Postgres;
  let template: string;
  beforeAll(async () => {
    server = await startPostgres();
    template = await server.database();
    await (await openAt(template))[Symbol.asyncDispose]();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const refusal = async (url: string, options: Partial<PostgresStoreOptions> = {}): Promise<string> => {
    const error = await openAt(url, options).then(
      (store) => store[Symbol.asyncDispose](),
      (reason: unknown) => reason,
    );
    if (!(error instanceof StoreRefused)) throw new Error("it was not refused", { cause: error });
    return error.message;
  };
  const warnings = async (url: string): Promise<string[]> => {
    const all: string[] = [];
    await (await openAt(url, { warn: (message) => all.push(message) }))[Symbol.asyncDispose]();
    return all;
  };

  storeSuite("a store", async () => {
    const url = await server.database(template);
    const store = await openAt(url);
    return {
      store,
      second: () => openAt(url),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
  });

  it("has a statement parsed and planned once for each session, and not for each call", async () => {
    const url = await server.database(template);
    const pool = openPool(
      () => url,
      () => {},
    );
    try {
      const text = "select name from operations where name = $1";
      for (const name of ["a", "b", "c"]) await pool.single({ text, values: [name] });
      const told = "select generic_plans + custom_plans as runs from pg_prepared_statements where statement = $1";
      expect(await pool.single({ text: told, values: [text] })).toEqual([{ runs: "3" }]);
    } finally {
      await pool.close();
    }
  });

  it("keeps who changed freezes", async () => {
    const url = await server.database(template);
    await using store = await openAt(url);
    const freeze = { ...NAMES, targets: ["**"], until: Date.UTC(2100, 0, 1), message: "", createTime: 1 };
    await store.changeFreezes(0, { kind: "create", freeze, identity: '{"rule":"leads"}' });
    await store.changeFreezes(1, { kind: "lift", ...NAMES });
    const trail = "select event, actor, identity from audit where operation = 'freezes/f' order by sequence";
    expect(await server.sql(trail, url)).toEqual([
      { event: "freeze created", actor: "token:ann", identity: '{"rule":"leads"}' },
      { event: "freeze lifted", actor: "token:ann", identity: null },
    ]);
  });

  describe("openPostgresStore()", () => {
    it("warns of nothing where there is nothing to warn of", async () => {
      expect(await warnings(await server.database())).toEqual([]);
    });

    it("goes where the address says, whatever the environment has for other programs", async () => {
      const url = await server.database();
      const elsewhere = {
        PGOPTIONS: "-c default_transaction_read_only=on",
        PGSSLMODE: "require",
        PGAPPNAME: "somebody",
      };
      for (const [name, value] of Object.entries(elsewhere)) vi.stubEnv(name, value);
      try {
        expect(await warnings(url)).toEqual([]);
      } finally {
        vi.unstubAllEnvs();
      }
    });

    it("makes the tables once when replicas start at the same time", async () => {
      const url = await server.database();
      const stores = await Promise.all([1, 2, 3, 4].map(() => openAt(url)));
      const one = record();
      await stores[0]?.insert([one], { event: "accepted" });
      expect(await Promise.all(stores.map((store) => store.get(one.name)))).toEqual([one, one, one, one]);
      await Promise.all(stores.map((store) => store[Symbol.asyncDispose]()));
    });

    it("keeps what is there when it is opened again", async () => {
      const url = await server.database(template);
      const one = record();
      {
        await using store = await openAt(url);
        await store.insert([one], { event: "accepted" });
      }
      await using store = await openAt(url);
      expect(await store.get(one.name)).toEqual(one);
    });

    it("migrates all or nothing", async () => {
      const url = await server.database();
      const failing = () => Promise.reject(new Error("half way"));
      await expect(openAt(url, { migrations: [...MIGRATIONS, failing] })).rejects.toThrow("half way");
      expect(
        await server.sql("select count(*)::int as tables from pg_tables where schemaname = 'public'", url),
      ).toEqual([{ tables: 0 }]);
    });

    it.each([
      ["the database", (name: string) => `alter database ${name} set synchronous_commit = off`],
      ["the role", (name: string) => `alter role postgres in database ${name} set synchronous_commit = off`],
    ])("refuses synchronous_commit=off of %s", async (_, statement) => {
      const url = await server.database(template);
      await server.sql(statement(url.split("/").at(-1) ?? ""));
      expect(await refusal(url)).toBe(
        "PostgreSQL has synchronous_commit=off for restartd: a crash loses operations that were acknowledged, and a restart may then be sent twice. Set synchronous_commit=on in postgresql.conf, and reset it where a role, a database or the address of the store sets it: ALTER ROLE ... RESET synchronous_commit.",
      );
    });

    it("keeps to the durability that it found, whatever is set later", async () => {
      const url = await server.database(template);
      const pool = openPool(
        () => url,
        () => undefined,
      );
      const setting = async () => (await pool.pg.query("select current_setting('synchronous_commit') as now")).rows;
      await server.sql(`alter database ${url.split("/").at(-1)} set synchronous_commit = off`);
      const first = await pool.pg.connect();
      expect((await first.query("select current_setting('synchronous_commit') as now")).rows).toEqual([{ now: "off" }]);
      pool.pin("on");
      expect(await setting()).toEqual([{ now: "on" }]); // on a second connection: the first one is taken
      first.release();
      await pool.close();
    });

    it("refuses to only read", async () => {
      const url = await server.database(template);
      await server.sql(`alter database ${url.split("/").at(-1)} set default_transaction_read_only = on`);
      expect(await refusal(url)).toBe(
        "PostgreSQL lets restartd only read: reset default_transaction_read_only for its role and database.",
      );
    });

    it("refuses an encoding that cannot hold every text", async () => {
      await server.sql("create database latin encoding 'LATIN1' locale 'C' template template0");
      expect(await refusal(server.url.replace(/postgres$/, "latin"))).toBe(
        "The database has the encoding LATIN1: create one with ENCODING 'UTF8' for restartd.",
      );
    });

    it("says what its role lacks", async () => {
      const url = await server.database();
      await server.sql("create role weak login password 'open sesame'");
      const weak = url.replace("postgres@", "weak:open%20sesame@");
      expect(await refusal(weak)).toBe(
        'The store\'s tables are not as this restartd needs them, and PostgreSQL refuses restartd\'s role (permission denied for schema public) the statement: create table if not exists meta (key text collate "C" primary key, value text collate "C" not null). Run what `restartd store sql` prints as the owner of the database, or make the role the owner.',
      );
    });

    it("says that nobody is there, and no password", async () => {
      const url = server.url.replace("postgres@", "postgres:hunter2@");
      expect(await refusal(url.replace(/:\d+\//, ":1/"))).toBe(
        "PostgreSQL cannot be reached (connect ECONNREFUSED 127.0.0.1:1): make sure that it runs, and that the store's address names it.",
      );
      expect(await refusal(`${url}_none`)).toBe(
        'PostgreSQL refuses restartd (database "postgres_none" does not exist): make sure that the store\'s address names its own database, and a role that owns it.',
      );
      expect(await refusal("postgres://u:hunter2@[::/x")).toBe(
        "The address of the PostgreSQL store cannot be read: it is postgres://user:password@host:port/database, and special characters in the password are percent-encoded.",
      );
    });

    it("tells a server that refuses what it is sent from one that cannot be reached", async () => {
      const nothing = createServer((socket) => void socket.once("data", () => socket.end("?")));
      await new Promise<void>((done) => nothing.listen(0, "127.0.0.1", done));
      const { port } = nothing.address() as AddressInfo;
      const said = await refusal(`postgres://u:hunter2@127.0.0.1:${port}/x?sslmode=require`);
      nothing.close();
      expect(said).toBe(
        "PostgreSQL answers, but cannot be used as a store (There was an error establishing an SSL connection): make sure that the store's address has what the server asks for, such as a password or TLS.",
      );
    });

    it("follows its address, as long as that can be read", async () => {
      const [one, two] = [await server.database(template), await server.database(template)];
      const marked = record();
      await using direct = await openAt(two);
      await direct.insert([marked], { event: "accepted" });
      let give = (): string => one;
      const warned: string[] = [];
      await using store = await openAt("", { url: () => give(), warn: (message) => warned.push(message) });
      const reconnect = () =>
        server.sql(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${new URL(one).pathname.slice(1)}'`,
        );
      give = () => {
        throw new Error("store.postgres.url.file: cannot be read");
      };
      await reconnect();
      await vi.waitFor(async () => expect(await store.get(marked.name)).toBeUndefined(), PATIENT);
      give = () => "postgres://u:hunter2@[::/x";
      await reconnect();
      await vi.waitFor(async () => expect(await store.get(marked.name)).toBeUndefined(), PATIENT);
      const stays = "the address of the PostgreSQL store stays what it was: ";
      expect(warned).toContain(`${stays}store.postgres.url.file: cannot be read`);
      expect(warned).toContain(
        `${stays}the new one is not postgres://user:password@host:port/database, or names files that cannot be read`,
      );
      expect(warned.join()).not.toContain("hunter2");
      give = () => two;
      await reconnect();
      await vi.waitFor(async () => expect(await store.get(marked.name)).toEqual(marked), PATIENT);
    });

    it("warns when every standby is asynchronous, or may be", async () => {
      const url = await server.database(template);
      await server.sql("create role owner login");
      await server.sql(
        `grant all on all tables in schema public to owner; grant create on schema public to owner`,
        url,
      );
      const config = { connectionString: server.url, replication: "true" };
      const standby = new pg.Client(config);
      await standby.connect();
      try {
        expect(await warnings(url)).toEqual([
          "every standby of PostgreSQL is asynchronous: a failover can lose operations that were acknowledged; set synchronous_standby_names",
        ]);
        const own = await server.database();
        await server.sql(`alter database ${own.split("/").at(-1)} owner to owner`);
        expect(await warnings(own.replace("postgres@", "owner@"))).toEqual([
          "PostgreSQL has standbys, and restartd may not see whether they are synchronous: if they are not, a failover can lose operations. GRANT pg_read_all_stats to its role to have that checked",
        ]);
      } finally {
        await standby.end();
      }
    });

    it("refuses fsync=off, and warns of full_page_writes=off", async () => {
      const url = await server.database(template);
      await server.stop();
      await server.start({ full_page_writes: "off", synchronous_commit: "local" });
      expect(await warnings(url)).toEqual([
        "PostgreSQL runs with full_page_writes=off: a power loss can damage the store, unless its disk writes 8 KiB at once; set full_page_writes=on",
        "PostgreSQL runs with synchronous_commit=local: a failover can lose operations; set synchronous_commit=on and synchronous_standby_names",
      ]);
      await server.stop();
      await server.start({ fsync: "off" });
      expect(await refusal(url)).toBe(
        "PostgreSQL runs with fsync=off: a power loss loses operations that were acknowledged, and a restart may then be sent twice. Set fsync=on in postgresql.conf and restart PostgreSQL.",
      );
      await server.stop();
      await server.start();
    });
  });
});
