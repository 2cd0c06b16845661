import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { SecretSchema } from "../../gen/restart/config/v1/secret_pb.ts";
import { createReport } from "../../src/config/report.ts";
import { readStore } from "../../src/config/store.ts";
import { type Config, loadConfig, makeConfig } from "../../src/config.ts";
import { ConfigError } from "../../src/core/problem.ts";
import { withDependencies } from "../../src/core/schema.ts";

const options = {
  validator: createValidator({ registry: createRegistry(...withDependencies([file_restart_config_v1_config])) }),
  readSections: () => undefined,
};

/** The first line of every file here; what is tested begins in the second. */
const CLUSTERS = "kubernetes: { clusters: [{ name: a, in_cluster: true }] }";

const SHAPE =
  "must hold an address, postgres://user:password@host:port/database, with / ? # and @ of user and password as";

const HIDDEN = "(what it is instead is not shown: it may be a password)";

/** What is wrong, the section, and what is reported (the folder's name left out). */
const MISTAKES: readonly (readonly [string, string, readonly string[]])[] = [
  [
    "two stores",
    "store: { sqlite: {}, postgres: { url: { env: A } } }",
    ["2:22: store.postgres: cannot stand beside sqlite (line 2)"],
  ],
  [
    "a mistyped store",
    "store: { sqllite: { path: /x } }",
    ["2:10: store.sqllite: is not a known key; did you mean sqlite?"],
  ],
  [
    "a retention of nothing",
    "store:\n  retention: 0s\n  sqlite: { path: a.db }",
    ['3:14: store.retention: must be greater than or equal to 1s and less than or equal to 315360000s, but is "0s"'],
  ],
  [
    "a retention in days",
    "store: { retention: 30d }",
    ['2:21: store.retention: must be a duration, such as 60s or 1h30m, but is "30d"'],
  ],
  [
    "an empty path",
    'store: { sqlite: { path: "" } }',
    ['2:26: store.sqlite.path: must be the path of a file, but is ""'],
  ],
  [
    "a folder that is not there",
    "store:\n  sqlite:\n    path: no/such/restartd.db",
    [
      '4:11: store.sqlite.path: must be the path of a file that can be written, but its folder "/no/such" cannot be written: no such file or directory',
    ],
  ],
  [
    "a folder that is a file",
    "store: { sqlite: { path: restartd.yaml/restartd.db } }",
    [
      '2:26: store.sqlite.path: must be the path of a file that can be written, but its folder "/restartd.yaml" cannot be written: not a directory',
    ],
  ],
  [
    "a path that is a folder",
    "store: { sqlite: { path: folder } }",
    ['2:26: store.sqlite.path: must be the path of a file that can be written, but "/folder" is no regular file'],
  ],
  ["no address", "store: { postgres: {} }", ["2:20: store.postgres.url: must be set"]],
  [
    "an address in the configuration itself, without showing it",
    "store: { postgres: { url: postgres://me:hunter2@db/restartd } }",
    ["2:27: store.postgres.url: must be a section with the keys file, env, but is a single value"],
  ],
  ["an address from nowhere", "store: { postgres: { url: {} } }", ["2:27: store.postgres.url: must have file or env"]],
  [
    "an address as the name of a variable, without its password",
    'store: { postgres: { url: { env: "postgres://me:hunter2@db/restartd" } } }',
    ['2:34: store.postgres.url.env: must be the name of an environment variable, but is "postgres://***@db/restartd"'],
  ],
  [
    "an address as the name of a file, without its password",
    'store: { postgres: { url: { file: "postgres://me:hunter2@db/restartd" } } }',
    [
      '2:35: store.postgres.url.file: must be a file with the secret in it, but "postgres://***@db/restartd" cannot be read: no such file or directory',
    ],
  ],
  [
    "a file that is not there",
    "store:\n  postgres:\n    url:\n      file: no-such-secret",
    [
      '5:13: store.postgres.url.file: must be a file with the secret in it, but "no-such-secret" cannot be read: no such file or directory',
    ],
  ],
  [
    "a file that is a folder",
    "store: { postgres: { url: { file: folder } } }",
    ['2:35: store.postgres.url.file: must be a file with the secret in it, but "folder" is no regular file'],
  ],
  [
    "a file with nothing but white space in it",
    "store: { postgres: { url: { file: blank } } }",
    ['2:35: store.postgres.url.file: must be a file with the secret in it, but "blank" is empty'],
  ],
  [
    "a variable that is not set",
    "store: { postgres: { url: { env: RESTARTD_TEST_NOT_SET } } }",
    [
      "2:34: store.postgres.url.env: must be an environment variable with the secret in it, but RESTARTD_TEST_NOT_SET is not set; set it before the start",
    ],
  ],
  [
    "an address of something else, without showing it",
    "store: { postgres: { url: { file: mysql } } }",
    [`2:35: store.postgres.url.file: must hold an address that begins with postgres:// or postgresql:// ${HIDDEN}`],
  ],
  [
    "an address that is none, without showing it",
    "store: { postgres: { url: { file: unescaped } } }",
    [`2:35: store.postgres.url.file: ${SHAPE} %2F %3F %23 and %40 ${HIDDEN}`],
  ],
];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-store-"));
  mkdirSync(join(folder, "folder"));
  write("blank", " \n\t\n");
  write("mysql", "mysql://me:hunter2@db/restartd\n");
  write("unescaped", "postgres://me:hunter2#3@db/restartd\n");
  write("url", "postgres://me:hunter2@db/restartd\n");
});

afterEach(() => rmSync(folder, { recursive: true }));

describe("loadConfig()", () => {
  it.each(MISTAKES)("reports %s", (_, section, expected) => {
    const lines = mistakes(`${CLUSTERS}\n${section}`).split("\n").slice(1);
    expect(lines.map((line) => line.replace(/^ {2}\/restartd\.yaml:/, "").trim())).toEqual(expected);
    expect(lines.join("\n")).not.toContain("hunter2");
  });

  it("keeps operations in a file beside the configuration where it does not say where", () => {
    const path = join(folder, "restartd.db");
    expect(load(CLUSTERS).store).toEqual({ kind: "sqlite", path, retentionMs: 2_592_000_000 });
    expect(load(`${CLUSTERS}\nstore: { retention: 60s }`).store).toEqual({ kind: "sqlite", path, retentionMs: 60_000 });
    expect(load(`${CLUSTERS}\nstore: { sqlite: {} }`).store).toEqual(load(CLUSTERS).store);
  });

  it("takes paths as relative to the configuration", () => {
    expect(load(`${CLUSTERS}\nstore: { sqlite: { path: folder/a.db } }`).store).toMatchObject({
      path: join(folder, "folder/a.db"),
    });
    expect(load(`${CLUSTERS}\nstore: { sqlite: { path: ${folder}/b.db } }`).store).toMatchObject({
      path: join(folder, "b.db"),
    });
  });

  it("takes a file that is there already", () => {
    write("restartd.db", "");
    expect(load(CLUSTERS).store).toMatchObject({ path: join(folder, "restartd.db") });
  });

  it("reads the address of PostgreSQL out of a file, as it is now", () => {
    const { store } = load(`${CLUSTERS}\nstore: { postgres: { url: { file: url } } }`);
    if (store.kind !== "postgres") throw new Error(store.kind);
    expect(store.url()).toBe("postgres://me:hunter2@db/restartd");
    write("url", "postgresql://me:other@db/restartd  \n");
    expect(store.url()).toBe("postgresql://me:other@db/restartd");
  });

  it.skipIf(process.getuid?.() === 0)("reports a folder and a file that cannot be written", () => {
    write("locked.db", "");
    chmodSync(join(folder, "locked.db"), 0o400);
    expect(mistakes(`${CLUSTERS}\nstore: { sqlite: { path: locked.db } }`)).toContain(
      '"/locked.db" cannot be used: permission denied',
    );
    chmodSync(join(folder, "folder"), 0o500);
    expect(mistakes(`${CLUSTERS}\nstore: { sqlite: { path: folder/a.db } }`)).toContain(
      'its folder "/folder" cannot be written: permission denied',
    );
  });
});

describe("makeConfig()", () => {
  const make = () => ({
    kubernetes: { clusters: [{ name: "a", source: { case: "inCluster", value: true } as const }] },
  });

  it("keeps operations in memory where that is asked for", () => {
    expect(makeConfig(make, { ...options, storeInMemory: true }).store).toEqual({
      kind: "memory",
      retentionMs: 2_592_000_000,
    });
  });

  it("keeps operations in the working directory otherwise", () => {
    expect(makeConfig(make, options).store).toMatchObject({ kind: "sqlite", path: join(process.cwd(), "restartd.db") });
  });

  it("keeps operations where the sections say, even if memory is asked for", () => {
    const sections = () => ({
      ...make(),
      store: { kind: { case: "sqlite", value: { path: join(folder, "a.db") } } as const },
    });
    expect(makeConfig(sections, { ...options, storeInMemory: true }).store).toMatchObject({ kind: "sqlite" });
  });
});

describe("readStore()", () => {
  it("takes the address of PostgreSQL from the environment", () => {
    const report = reportOf();
    const url = secret({ case: "env", value: "DATABASE" });
    const settings = readStore(
      {
        $typeName: "restart.config.v1.Store",
        kind: { case: "postgres", value: { $typeName: "restart.config.v1.Postgres", url } },
      },
      report.reader,
      { environment: { DATABASE: "postgres://db" } },
    );
    expect(report.problems).toEqual([]);
    expect(settings?.kind === "postgres" && settings.url()).toBe("postgres://db");
  });
});

const secret = (source: NonNullable<MessageInitShape<typeof SecretSchema>["source"]>) =>
  create(SecretSchema, { source });

const reportOf = () => createReport({ file: undefined, folder, positionOf: () => undefined }, [], new Set());

const load = (text: string): Config<unknown> => loadConfig(write("restartd.yaml", text), options);

/** The report that a file makes, its folder left out. */
function mistakes(text: string): string {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.replaceAll(folder, "");
  }
  throw new Error("no mistake was found");
}

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}
