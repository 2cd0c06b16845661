import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { appendFile, chmod, copyFile, link, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { backup, DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MIGRATIONS } from "../../../src/operations/store/migrations.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import { backupDatabase } from "../../../src/operations/store/sqlite/backup.ts";
import { IN_MEMORY, openSqliteStore, type SqliteStoreOptions } from "../../../src/operations/store/sqlite/open.ts";
import { type Store, StoreRefused } from "../../../src/operations/store/store.ts";
import { type Folder, temporaryFolder } from "../../support/folder.ts";
import { record } from "../records.ts";
import { storeSuite } from "./store-suite.ts";

const open = (path: string, options: Partial<SqliteStoreOptions> = {}) =>
  openSqliteStore({
    path,
    replica: randomUUID(),
    now: () => new Date(),
    warn: () => {},
    ...options,
  });

storeSuite("SQLite in memory", async () => {
  const store = await open(IN_MEMORY);
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
});

storeSuite("SQLite in a file", async () => {
  const folder = await temporaryFolder();
  const store = await open(join(folder.path, "restartd.db"));
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
});

let folder: Folder;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "restartd.db");
});
afterEach(() => folder[Symbol.asyncDispose]());

/** Why a store was refused; fails when it was not. */
async function refusal(opening: Promise<Store>): Promise<string> {
  const error = await opening.then(
    (store) => store[Symbol.asyncDispose](),
    (refused: unknown) => refused,
  );
  if (!(error instanceof StoreRefused)) throw new Error("not refused", { cause: error });
  return error.message;
}

/** Fills a store: `count` operations, all that is known of them. */
async function fill(store: Store, count: number): Promise<OperationRecord[]> {
  const all: OperationRecord[] = [];
  for (let at = 0; at < count; at++) {
    const one = record({ createTime: at, reason: `because of ${at}`, principal: `user-${at % 5}` });
    await store.insert([one], { event: "accepted" });
    const sent = await store.change(one, { state: "SENT", blocks: at % 3 === 0 }, { event: "sent" });
    if (sent !== undefined) all.push(sent);
  }
  return all;
}

describe("openSqliteStore()", () => {
  it("keeps what was written, for its owner alone, until it is opened again", async () => {
    const first = await open(path);
    const written = await fill(first, 3);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(`${path}-wal`)).mode & 0o777).toBe(0o600);
    await first[Symbol.asyncDispose]();
    await chmod(path, 0o644);
    await using second = await open(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await second.list({ where: [], limit: 10 })).toEqual(written.toReversed());
  });

  it.runIf(process.platform === "linux")(
    "writes to no file but its own, transactions that share a commit neither",
    async () => {
      await using store = await open(path);
      const many = Array.from({ length: 200 }, () => record());
      await store.insert(many, { event: "" });
      // In the same commit as something else, so that it can be rolled back for itself; and more than SQLite keeps in memory by itself.
      const steps = many.map((before) => ({ before, change: { progress: "p".repeat(100) }, event: { event: "" } }));
      await Promise.all([store.changeAll(steps), store.insert([record()], { event: "" })]);
      const files = readdirSync("/proc/self/fd").flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/self/fd/${fd}`)];
        } catch {
          return []; // the one of this look
        }
      });
      expect(files.filter((file) => file.includes("etilqs"))).toEqual([]); // as SQLite names its temporary files
      expect(files).toContain(path);
    },
  );

  it("refuses a second opener at once, in this process and in another one", async () => {
    await using first = await open(path);
    const began = performance.now();
    expect(await refusal(open(path))).toBe(
      `${path} is in use by another process, most likely another restartd: a SQLite store serves one process. Stop the other one, or use store.postgres for several.`,
    );
    expect(performance.now() - began).toBeLessThan(4_500); // SQLite itself would wait for five seconds
    const writer = spawn(process.execPath, [join(import.meta.dirname, "sqlite-writer.ts"), path]);
    let errors = "";
    writer.stderr.on("data", (data) => {
      errors += data;
    });
    expect(await new Promise((resolve) => writer.on("close", resolve))).toBe(1);
    expect(errors).toContain("is in use by another process");
    await fill(first, 1);
  });

  describe("once its files are not its own any longer", () => {
    it.each<[string, string, () => Promise<void>]>([
      ["the database is removed", "cannot be found any longer", () => rm(path)],
      ["the log is removed", "-wal cannot be found any longer", () => rm(`${path}-wal`)],
      ["the folder is moved away", "cannot be found any longer", () => rename(folder.path, `${folder.path}-moved`)],
      ["the database is replaced", "was replaced by another file", () => replace(path)],
      ["the log is replaced", "-wal was replaced by another file", () => replace(`${path}-wal`)],
      ["the database is copied over", "was changed by something else", () => writeFile(path, "another")],
      ["the database is cut", "was changed by something else", () => truncate(path, 4096)],
      ["the log grows", "-wal was changed by something else", () => appendFile(`${path}-wal`, "x")],
      ["the database is another one as well", "was changed by something else", () => link(path, `${path}.copy`)],
    ])("writes nothing when %s", async (_, message, harm) => {
      await using store = await open(path);
      const [first] = await fill(store, 3);
      await harm();
      for (const write of [
        () => store.insert([record()], { event: "accepted" }),
        () => store.change(first ?? record(), { state: "SUCCEEDED" }, { event: "succeeded" }),
        () => store.beat(),
      ]) {
        await expect(write()).rejects.toThrow(message);
      }
      await rename(`${folder.path}-moved`, folder.path).catch(() => {});
    });

    it.each([
      ["removed", "cannot be found any longer", () => rm(path)],
      ["replaced", "was replaced by another file", () => replace(path)],
    ] as const)("writes nothing when the database was %s while it was opened", async (_, message, harm) => {
      let isHarmed = false;
      const migrations = MIGRATIONS.map((step): (typeof MIGRATIONS)[number] => async (...args) => {
        await step(...args);
        if (!isHarmed) await harm();
        isHarmed = true;
      });
      await using store = await open(path, { migrations });
      await expect(store.insert([record()], { event: "accepted" })).rejects.toThrow(message);
    });

    it("goes on when the same file is in its place again", async () => {
      await using store = await open(path);
      await rename(path, `${path}.aside`);
      await expect(store.beat()).rejects.toThrow(`${path} cannot be found any longer`);
      await rename(`${path}.aside`, path);
      await fill(store, 1);
    });

    it("takes its own writes for nobody else's, when the log is written into the database too", async () => {
      await using store = await open(path);
      const size = (await stat(path)).size;
      for (let rounds = 0; (await stat(path)).size === size; rounds++) {
        if (rounds > 100) throw new Error("the log is never written into the database");
        await fill(store, 50);
      }
      await fill(store, 1);
    });

    const replace = async (file: string): Promise<void> => {
      await copyFile(file, `${file}.new`);
      await rename(`${file}.new`, file);
    };
  });

  it.each([
    [0x6969, "NFS"],
    [0xff534d42, "CIFS"],
    [0xff534d42 | 0, "CIFS"],
    [0x65735546, "FUSE"],
    [0x01021997, "9p"],
  ])("refuses the network file system %i", async (type, name) => {
    expect(await refusal(open(path, { statfs: () => ({ type }) }))).toBe(
      `${path} is on a network file system (${name}), where SQLite can lose what it has written: set store.sqlite.path to a local disk, or use store.postgres.`,
    );
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });

  it("warns of a file system in memory, and of no other one", async () => {
    const warn = vi.fn();
    await (await open(path, { warn }))[Symbol.asyncDispose]();
    await (await open(path, { warn, statfs: () => ({ type: 0xef53 }) }))[Symbol.asyncDispose]();
    expect(warn).not.toHaveBeenCalled();
    await (await open(path, { warn, statfs: () => ({ type: 0x01021994 }) }))[Symbol.asyncDispose]();
    expect(warn.mock.calls).toEqual([
      [
        `${path} is in memory (tmpfs): when the machine restarts, restartd forgets which request ids were used, and a repeated request restarts again. Set store.sqlite.path to a disk.`,
      ],
    ]);
  });

  it("refuses a folder that is not there, and a path that is no file", async () => {
    expect(await refusal(open(join(folder.path, "none", "restartd.db")))).toBe(
      `The folder ${join(folder.path, "none")} of the store does not exist: make it, or set store.sqlite.path.`,
    );
    expect(await refusal(open(folder.path))).toBe(
      `${folder.path} is not a file: set store.sqlite.path to the path of a file.`,
    );
  });

  it("refuses an old SQLite", async () => {
    for (const version of ["3.51.2", "3.9.9", "2.99.99"]) {
      expect(await refusal(open(path, { version }))).toBe(
        `This Node has SQLite ${version}, and 3.51.3 is needed: use a newer Node.`,
      );
    }
    for (const version of ["3.51.3", "3.52.0", "4.0.0"]) await (await open(path, { version }))[Symbol.asyncDispose]();
  });

  it("leaves a store as it was when a migration fails", async () => {
    const first = await open(path);
    const [written] = await fill(first, 1);
    await first[Symbol.asyncDispose]();
    const failing = async (trx: Parameters<(typeof MIGRATIONS)[0]>[0]) => {
      await trx.deleteFrom("operations").execute();
      throw new Error("half way");
    };
    await expect(open(path, { migrations: [...MIGRATIONS, failing] })).rejects.toThrow("half way");
    await using again = await open(path);
    expect(await again.list({ where: [], limit: 9 })).toEqual([written]);
  });

  it("refuses a database of something else, and a file that is none", async () => {
    const other = new DatabaseSync(path);
    other.exec("create table theirs (a)");
    other.close();
    const theirs = await readFile(path);
    expect(await refusal(open(path))).toBe(
      `${path} is a database of something else than restartd: set store.sqlite.path to another file.`,
    );
    expect(Buffer.compare(await readFile(path), theirs)).toBe(0);
    await writeFile(path, "just text, ".repeat(1_000));
    expect(await refusal(open(path))).toBe(
      `${path} cannot be used as a store (file is not a database): restore a backup.`,
    );
  });

  it("refuses definitions that are not its own", async () => {
    await (await open(path))[Symbol.asyncDispose]();
    const tool = new DatabaseSync(path);
    tool.exec("drop index operations_blocks_target");
    tool.close();
    expect(await refusal(open(path))).toBe(
      `${path} is damaged (its tables are not defined as restartd defines them): nothing in it can be relied on. Restore a backup.`,
    );
  });
});

describe("a full disk", () => {
  it("fails the write and nothing else", async () => {
    await using store = await open(path, { maxPages: 40 });
    const written: OperationRecord[] = [];
    const failed: unknown[] = [];
    while (failed.length < 3) {
      const one = record({ evidence: JSON.stringify({ filler: "x".repeat(2_000) }) });
      await store.insert([one], { event: "accepted" }).then(
        () => written.push(one),
        (error: unknown) => failed.push(error),
      );
    }
    expect(String(failed[0])).toBe("Error: database or disk is full");
    expect(written.length).toBeGreaterThan(5);
    const kept = await store.list({ where: [], limit: 1_000 });
    expect(kept.map(({ name }) => name).sort()).toEqual(written.map(({ name }) => name).sort());
    const [first] = kept;
    if (first === undefined) throw new Error("nothing kept");
    await store.change(first, { state: "CANCELLED", endTime: 1, evidence: "{}", blocks: false }, undefined);
    expect(await store.open()).toHaveLength(written.length - 1);
  });
});

describe("kill -9", () => {
  it("loses nothing that was acknowledged", async () => {
    for (let round = 0; round < 5; round++) {
      const writer = spawn(process.execPath, [join(import.meta.dirname, "sqlite-writer.ts"), path]);
      const ended = once(writer, "exit"); // its stdout is closed before its file is
      const acknowledged: string[] = [];
      for await (const line of createInterface({ input: writer.stdout })) {
        if (acknowledged.push(line) === 20 + round * 10) writer.kill("SIGKILL");
      }
      expect(acknowledged.length).toBeGreaterThanOrEqual(20 + round * 10);
      await ended;
      await using store = await open(path);
      for (const name of acknowledged) {
        expect(await store.get(name)).toMatchObject({ state: "SENDING" });
        expect(await store.audit(name)).toHaveLength(2);
      }
    }
  });
});

describe("backup()", () => {
  it("copies a moment of the store while it is written to", async () => {
    await using store = await open(path);
    const before = await fill(store, 300);
    const file = join(folder.path, "copy.db");
    let copying = true;
    const copied = store.backup?.(file).finally(() => {
      copying = false;
    });
    let during = 0;
    while (copying && during < 1_000) during += (await fill(store, 1)).length;
    await copied;
    expect(during).toBeGreaterThan(0);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await using copy = await open(file);
    for (const one of before) expect(await copy.get(one.name)).toEqual(one);
    const count = (await copy.list({ where: [], limit: 10_000 })).length;
    expect(count).toBeGreaterThanOrEqual(before.length);
    expect(count).toBeLessThanOrEqual(before.length + during + 1);
  });

  it("is made although it begins while a transaction is being written", async () => {
    const file = join(folder.path, "copy.db");
    using database = new DatabaseSync(path);
    database.exec("create table meta (key text, value text); insert into meta values ('starts', '3'); begin immediate");
    database.exec("insert into meta values ('late', 'x')");
    // This is what Node does: SQLite's documents say SQLITE_LOCKED.
    await expect(backup(database, join(folder.path, "other.db"))).rejects.toThrow("not an error");
    let waited = 0;
    await backupDatabase(database, file, () => {
      waited += 1;
      if (waited === 3) database.exec("commit");
    });
    expect(waited).toBe(3);
    using copy = new DatabaseSync(file);
    expect(copy.prepare("select value from meta order by key").all()).toEqual([{ value: "x" }, { value: "2" }]);
    database.exec("begin immediate; insert into meta values ('never', 'y')");
    const never = join(folder.path, "never.db");
    await expect(backupDatabase(database, never)).rejects.toThrow("not an error");
    expect(existsSync(never)).toBe(false);
  });

  it("overwrites nothing", async () => {
    await using store = await open(path);
    const file = await folder.write("precious", "mine");
    await expect(store.backup?.(file)).rejects.toThrow("EEXIST");
    expect(await readFile(file, "utf8")).toBe("mine");
  });
});

/** A small generator of numbers that are the same in every run (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** All that a store says of these operations. */
const everything = async (store: Store, written: readonly OperationRecord[]) => ({
  list: await store.list({ where: [], limit: 1_000 }),
  open: (await store.open()).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  each: await Promise.all(written.map(({ name }) => store.get(name))),
  audit: await Promise.all(written.map(({ name }) => store.audit(name))),
  found: await Promise.all(written.map(({ principal, requestId = "" }) => store.find(principal, requestId))),
});

/** Opens a file and reads all of it: either what was written, or why not. */
async function readDamaged(file: string, written: readonly OperationRecord[]) {
  try {
    // It is put in the place of one that was opened before.
    await using store = await open(file, { acceptRestore: true });
    return { data: await everything(store, written) };
  } catch (error) {
    return { error };
  }
}

describe("a flipped byte", () => {
  it("in the file is refused, or says so when it is read, or changes nothing", { timeout: 300_000 }, async () => {
    const store = await open(path);
    const written = await fill(store, 60);
    for (const one of written.slice(40)) {
      const ended = await store.change(one, { endTime: 1, blocks: false, state: "SUCCEEDED" }, { event: "ended" });
      if (ended !== undefined) await store.remove(ended);
    }
    const expected = await everything(store, written);
    await store[Symbol.asyncDispose]();
    const intact = await readFile(path);
    const random = numbers(7);
    const outcomes = { refused: 0, damaged: 0, same: 0 };
    const file = join(folder.path, "flipped.db");
    for (let round = 0; round < 400; round++) {
      const bytes = Buffer.from(intact);
      const at = random(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      await writeFile(file, bytes);
      const { data, error } = await readDamaged(file, written);
      if (error === undefined) expect(data, `byte ${at}`).toEqual(expected);
      if (error === undefined) outcomes.same++;
      else if (error instanceof StoreRefused) outcomes.refused++;
      else outcomes.damaged++;
      expect(String(error)).not.toContain("because of");
    }
    // Most of a store is rows and indexes: were nothing found, nothing would have been looked at.
    expect(outcomes.refused).toBeGreaterThan(20);
    expect(outcomes.damaged).toBeGreaterThan(20);
  });

  it("in the log of a process that was killed is refused, but for its last commit", async () => {
    const store = await open(path);
    const written = await fill(store, 20);
    const [database, log] = [await readFile(path), await readFile(`${path}-wal`)];
    const expected = await everything(store, written);
    await store[Symbol.asyncDispose]();
    const random = numbers(11);
    const file = join(folder.path, "flipped.db");
    /** The last frame: 24 bytes and a page. What it commits may as well not have been finished. */
    const last = log.length - 10 * (4_096 + 24);
    let refused = 0;
    for (let round = 0; round < 200; round++) {
      const bytes = Buffer.from(log);
      const at = random(last);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      await Promise.all([writeFile(file, database), writeFile(`${file}-wal`, bytes)]);
      const { data, error } = await readDamaged(file, written);
      if (error instanceof StoreRefused) {
        refused++;
        // To refuse it is not to repair it: it is refused again, and nothing is lost for whoever looks into it.
        expect(Buffer.compare(await readFile(`${file}-wal`), bytes)).toBe(0);
      } else expect(data, `byte ${at} of the log: ${error}`).toEqual(expected);
    }
    expect(refused).toBeGreaterThan(100);
  });

  it("nowhere is what an intact copy is read as", async () => {
    const store = await open(path);
    const written = await fill(store, 5);
    const expected = await everything(store, written);
    const copy = join(folder.path, "copy.db");
    await Promise.all([copyFile(path, copy), copyFile(`${path}-wal`, `${copy}-wal`)]);
    await store[Symbol.asyncDispose]();
    expect(await readDamaged(copy, written)).toEqual({ data: expected });
  });
});
