import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { STORE_HELP } from "../../src/commands/store.ts";
import { MIGRATIONS } from "../../src/operations/store/migrations.ts";
import { definitionsFrom } from "../../src/operations/store/postgres/sql.ts";
import { openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import { record } from "../operations/records.ts";
import { temporaryFolder } from "../support/folder.ts";
import { runProgram } from "../support/program.ts";

const store = (...args: string[]) => runProgram(["store", ...args]);

describe("restartd store", () => {
  it("prints the definitions of PostgreSQL, from any version", async () => {
    const all = await definitionsFrom(0);
    expect(await store("sql")).toMatchObject({ code: 0, stdout: all, stderr: "" });
    expect(all).toMatch(/^-- .*\nbegin;\n.*\ncreate table operations \(\n {2}name text.*\ncommit;\n$/s);
    const newest = MIGRATIONS.length;
    expect(await store("sql", "--from", String(newest))).toMatchObject({
      code: 0,
      stdout: `-- A store of schema version ${newest} has all that this restartd needs.\n`,
      stderr: "",
    });
    expect(await store("sql", "--from", String(newest + 1))).toMatchObject({ code: 2, stdout: "" });
  });

  it("verifies a copy", async () => {
    await using folder = await temporaryFolder();
    const copy = join(folder.path, "copy.db");
    {
      await using own = await openSqliteStore({
        path: join(folder.path, "restartd.db"),
        replica: "r",
        now: () => new Date(),
        warn: () => undefined,
      });
      await own.insert([record()], { event: "accepted" });
      await own.backup?.(copy);
    }
    expect(await runProgram(["store", "verify", copy])).toMatchObject({
      code: 0,
      stdout: `${copy} is whole: schema version ${MIGRATIONS.length}, 1 operations with 1 rows of their audit trail, 0 tombstones\n`,
      stderr: "",
    });
    const text = await folder.write("text", "just text, ".repeat(1_000));
    expect(await store("verify", text)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: `restartd store: ${text} cannot be read as a store (file is not a database).\n`,
    });
  });

  it("explains itself, and what it does not understand", async () => {
    expect(await store("--help")).toMatchObject({ code: 0, stdout: STORE_HELP, stderr: "" });
    for (const args of [
      [],
      ["drop"],
      ["verify"],
      ["verify", "a", "b"],
      ["sql", "--from", "x"],
      ["sql", "--form", "1"],
    ]) {
      const { code, stdout, stderr } = await store(...args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(/^restartd store: .*\nTry: npm start -- store --help\n$/);
    }
  });
});
