import { DatabaseSync } from "node:sqlite";
import { Kysely, SqliteDialect } from "kysely";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Db, Tables, Trx } from "../../../src/operations/store/schema.ts";
import { adaptDatabase } from "../../../src/operations/store/sqlite/database.ts";
import { createGroups } from "../../../src/operations/store/sqlite/group.ts";
import { UncertainCommit } from "../../../src/operations/store/store.ts";

let database: DatabaseSync;
let db: Db;
let commits: number;
/** Called before each commit. */
let committing: () => void;
beforeEach(() => {
  database = new DatabaseSync(":memory:");
  database.exec("create table meta (key text primary key, value text not null)");
  commits = 0;
  committing = () => {};
  const adapted = adaptDatabase(database);
  const counting: typeof adapted = {
    ...adapted,
    prepare: (sql) => {
      const statement = adapted.prepare(sql);
      if (sql !== "commit") return statement;
      const run: typeof statement.run = (parameters) => {
        commits++;
        committing();
        return statement.run(parameters);
      };
      return { ...statement, run };
    },
  };
  db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: counting }) });
});
afterEach(() => db.destroy());

const put = (key: string) => async (trx: Trx) => {
  await trx.insertInto("meta").values({ key, value: "" }).execute();
  return key;
};
const keys = () =>
  database
    .prepare("select key from meta order by key")
    .all()
    .map(({ key }) => key);

describe("createGroups()", () => {
  it("writes nothing while the files are not those that it opened, and goes on when they are again", async () => {
    let lost: Error | undefined = new Error("restartd.db cannot be found any longer");
    const notes: number[] = [];
    const transaction = createGroups(database, db, {
      check: () => {
        if (lost !== undefined) throw lost;
      },
      note: () => notes.push(commits),
    });
    expect(await Promise.allSettled([transaction(put("a")), transaction(put("b"))])).toEqual([
      { status: "rejected", reason: lost },
      { status: "rejected", reason: lost },
    ]);
    expect({ keys: keys(), notes }).toEqual({ keys: [], notes: [] });
    lost = undefined;
    await transaction(put("c"));
    expect({ keys: keys(), notes }).toEqual({ keys: ["c"], notes: [1] });
  });

  it("commits what comes in one turn together, and what comes later for itself", async () => {
    const transaction = createGroups(database, db);
    expect(await Promise.all(["a", "b", "c"].map((key) => transaction(put(key))))).toEqual(["a", "b", "c"]);
    expect(commits).toBe(1);
    await transaction(put("d"));
    expect(commits).toBe(2);
    expect(keys()).toEqual(["a", "b", "c", "d"]);
  });

  it("shares a commit by 32 at most", async () => {
    const transaction = createGroups(database, db);
    await Promise.all(Array.from({ length: 70 }, (_, at) => transaction(put(`k${at}`))));
    expect(commits).toBe(3);
    expect(keys()).toHaveLength(70);
  });

  it("rolls one back for itself, and shows each what those before it wrote", async () => {
    const transaction = createGroups(database, db);
    const refused = new Error("no");
    const results = await Promise.allSettled([
      transaction(put("a")),
      transaction(async (trx) => {
        await put("b")(trx);
        throw refused;
      }),
      transaction(put("a")),
      transaction(async (trx) => (await trx.selectFrom("meta").select("key").execute()).map(({ key }) => key)),
    ]);
    expect(results).toEqual([
      { status: "fulfilled", value: "a" },
      { status: "rejected", reason: refused },
      { status: "rejected", reason: expect.objectContaining({ errstr: "constraint failed" }) },
      { status: "fulfilled", value: ["a"] },
    ]);
    expect([commits, keys()]).toEqual([1, ["a"]]);
  });

  it("rolls back without a commit what is alone and fails, and goes on afterwards", async () => {
    const transaction = createGroups(database, db);
    const no = new Error("no");
    const failed = transaction(async (trx) => {
      await put("a")(trx);
      throw no;
    });
    await expect(failed).rejects.toBe(no);
    expect([commits, keys()]).toEqual([0, []]);
    await transaction(put("b"));
    expect([commits, keys()]).toEqual([1, ["b"]]);
  });

  it("tells nobody anything before the commit", async () => {
    const transaction = createGroups(database, db);
    const told: string[] = [];
    committing = () => told.push("commit");
    await Promise.allSettled([
      transaction(put("a")).then(() => told.push("a")),
      transaction(() => Promise.reject(new Error("no"))).catch(() => told.push("no")),
    ]);
    expect(told).toEqual(["commit", "a", "no"]);
  });

  it("is in doubt about all when the commit is", async () => {
    const transaction = createGroups(database, db);
    committing = () => {
      throw new UncertainCommit("nobody knows");
    };
    const all = [transaction(put("a")), transaction(() => Promise.reject(new Error("no")))];
    for (const one of all) await expect(one).rejects.toThrow(UncertainCommit);
    expect(keys()).toEqual([]);
    committing = () => {};
    expect(await transaction(put("b"))).toBe("b");
  });

  it("writes nothing of any when the database has rolled back by itself, and goes on afterwards", async () => {
    const transaction = createGroups(database, db);
    const full = new Error("full");
    const all = [
      transaction(put("a")),
      transaction(async (trx) => {
        await put("b")(trx);
        database.exec("rollback"); // as SQLite does by itself after some errors
        throw full;
      }),
      transaction(put("c")),
    ];
    await expect(all[0]).rejects.toThrow("The store has rolled back a transaction: try again.");
    await expect(all[1]).rejects.toBe(full);
    await expect(all[2]).rejects.toThrow("The store has rolled back a transaction: try again.");
    expect(keys()).toEqual([]);
    expect(await transaction(put("d"))).toBe("d");
    expect(keys()).toEqual(["d"]);
  });

  it("refuses everything once the database is closed", async () => {
    const transaction = createGroups(database, db);
    await transaction(put("a"));
    await db.destroy();
    await expect(transaction(put("b"))).rejects.toThrow();
  });
});
