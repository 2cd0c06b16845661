import { randomUUID } from "node:crypto";
import { copyFile, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MIGRATIONS } from "../../../src/operations/store/migrations.ts";
import { openSqliteStore, type SqliteStoreOptions } from "../../../src/operations/store/sqlite/open.ts";
import { verifyStore } from "../../../src/operations/store/sqlite/verify.ts";
import { type Folder, temporaryFolder } from "../../support/folder.ts";
import { record } from "../records.ts";
import { NEXT, upgradeSuite } from "./upgrade-suite.ts";

let folder: Folder;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "restartd.db");
});
afterEach(() => folder[Symbol.asyncDispose]());

const open = (options: Partial<SqliteStoreOptions> = {}) =>
  openSqliteStore({ path, replica: randomUUID(), now: () => new Date(), warn: () => undefined, ...options });
const openAndClose = async (options: Partial<SqliteStoreOptions> = {}) => (await open(options))[Symbol.asyncDispose]();
const files = async () => (await readdir(folder.path)).sort();
const next = { migrations: [...MIGRATIONS, NEXT] };

describe("an upgrade of SQLite", () => {
  upgradeSuite("a file", () =>
    Promise.resolve(Object.assign(open, { [Symbol.asyncDispose]: () => Promise.resolve() })),
  );

  it("keeps a copy from before a migration, until the next one", async () => {
    const one = record();
    {
      await using store = await open();
      await store.insert([one], { event: "accepted" });
    }
    await writeFile(`${path}.before-v${MIGRATIONS.length + 1}.partial`, "of a start that was killed");
    await openAndClose(next);
    const before = `restartd.db.before-v${MIGRATIONS.length + 1}`;
    expect(await files()).toEqual(["restartd.db", before, "restartd.starts"]);
    expect((await stat(join(folder.path, before))).mode & 0o777).toBe(0o600);
    expect(await verifyStore(join(folder.path, before))).toMatchObject({
      schemaVersion: MIGRATIONS.length,
      operations: 1,
    });
    await openAndClose(next);
    expect(await files()).toContain(before);
    await openAndClose({ migrations: [...next.migrations, () => Promise.resolve()] });
    expect(await files()).toEqual(["restartd.db", `restartd.db.before-v${MIGRATIONS.length + 2}`, "restartd.starts"]);
  });

  it("still finds what is not as it was defined, in a store to which a newer program has added", async () => {
    for (const damage of [
      "drop index operations_blocks_target",
      "alter table operations drop column reason",
      "create trigger ours after insert on operations begin delete from tombstones; end",
      "drop table tombstones",
    ]) {
      await rm(path, { force: true });
      await openAndClose({ ...next, acceptRestore: true });
      const tool = new DatabaseSync(path);
      tool.exec(damage);
      tool.close();
      await expect(open(), damage).rejects.toThrow("its tables are not defined as restartd defines them");
    }
  });
});

describe("a store that was restored", () => {
  it("is refused until that is accepted, once", async () => {
    await openAndClose();
    const copy = join(folder.path, "copy");
    await copyFile(path, copy);
    await openAndClose();
    await openAndClose();
    await copyFile(copy, path);
    await expect(open()).rejects.toThrow(`${path} has counted 1 starts, and ${folder.path}/restartd.starts 3: `);
    await expect(open()).rejects.toThrow("a copy from before the last 2 starts");
    await openAndClose({ acceptRestore: true });
    await openAndClose();
  });

  it("is noticed when its copy was made by the start that was the last one", async () => {
    const copy = join(folder.path, "copy");
    {
      await using store = await open();
      await store.backup?.(copy);
      await store.insert([record()], { event: "accepted" });
    }
    await copyFile(copy, path);
    await expect(open()).rejects.toThrow("a copy from before the last start, and has forgotten every restart since");
    await expect(verifyStore(copy)).resolves.toMatchObject({ operations: 0 });
  });

  it("is the same as one that was removed", async () => {
    await openAndClose();
    await rm(path);
    await expect(open()).rejects.toThrow("start once with --accept-restore");
  });

  it("is none where a store is the newer one, where nothing counts, or in a folder of other stores", async () => {
    await openAndClose();
    await openAndClose();
    const starts = join(folder.path, "restartd.starts");
    expect(await readFile(starts, "utf8")).toBe("2\n");
    await writeFile(starts, "1\n"); // killed between the two
    await openAndClose();
    expect(await readFile(starts, "utf8")).toBe("3\n");
    await openAndClose({ path: join(folder.path, "other.db") });
    await rm(starts);
    await openAndClose();
    expect(await readFile(starts, "utf8")).toBe("4\n");
  });

  it("is not guessed at when the count is damaged", async () => {
    await openAndClose();
    await writeFile(join(folder.path, "restartd.starts"), "");
    await expect(open()).rejects.toThrow("restartd.starts does not hold a number");
  });
});

describe("verifyStore()", () => {
  beforeEach(async () => {
    await using store = await open();
    for (let count = 0; count < 3; count++) await store.insert([record()], { event: "accepted" });
  });

  it("finds a whole store whole, and leaves no trace", async () => {
    const [before, bytes] = [await files(), await readFile(path)];
    expect(await verifyStore(path)).toEqual({
      schemaVersion: MIGRATIONS.length,
      operations: 3,
      audits: 3,
      tombstones: 0,
    });
    expect(await files()).toEqual(before);
    expect(Buffer.compare(await readFile(path), bytes)).toBe(0);
  });

  it.each([
    ["update operations set state = 'SUCCEEDED' where rowid = 2", "an operation is not as it was written"],
    ["update audit set actor = 'nobody' where rowid = 2", "a row of the audit trail is not as it was written"],
    ["delete from audit where rowid = 2", "rows of the audit trail are missing"],
    ["drop index operations_parent", "its tables are not defined as restartd defines them"],
    ["pragma application_id = 7", "is no store of restartd"],
    ["update meta set value = 'x' where key = 'schema_version'", "does not say which schema version it has"],
  ])("finds: %s", async (damage, said) => {
    const tool = new DatabaseSync(path);
    tool.exec(damage);
    tool.close();
    await expect(verifyStore(path)).rejects.toThrow(said);
  });

  it("refuses a store that is in use, what is no database, and what is not there", async () => {
    {
      await using _ = await open();
      await expect(verifyStore(path)).rejects.toThrow("is in use");
    }
    await writeFile(path, "just text, ".repeat(1_000));
    await expect(verifyStore(path)).rejects.toThrow("cannot be read as a store (file is not a database)");
    await expect(verifyStore(join(folder.path, "none"))).rejects.toThrow("cannot be read as a store");
    expect(await files()).not.toContain("none");
  });

  it("refuses a file whose log has what it has not", async () => {
    await writeFile(`${path}-wal`, await readFile(path).then((bytes) => bytes.subarray(0, 10)));
    await expect(verifyStore(path)).rejects.toThrow("has a log beside it with what is not in the file yet");
  });

  it("knows a store of a newer program", async () => {
    await openAndClose(next);
    expect(await verifyStore(path)).toMatchObject({ schemaVersion: MIGRATIONS.length + 1, operations: 3 });
  });
});
