import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Secret } from "../../gen/restart/config/v1/secret_pb.ts";
import { SqliteSchema, type Store } from "../../gen/restart/config/v1/store_pb.ts";
import { type FieldPath, readFailure } from "../core/problem.ts";
import { type GiveSecret, readSecret } from "../core/secret.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { quote } from "../core/show-value.ts";

/** Where operations are kept. */
export type StoreKind =
  /** In this process alone: they end with it. */
  | { readonly kind: "memory" }
  /** In a SQLite file, by its absolute path. */
  | { readonly kind: "sqlite"; readonly path: string }
  /** In a PostgreSQL database, by its address with our credentials. */
  | { readonly kind: "postgres"; readonly url: GiveSecret };

/** What the section `store` says. */
export type StoreSettings = StoreKind & {
  /** How long an operation is kept after its end, in ms. */
  readonly retentionMs: number;
};

/** What reading the section takes beside it. */
export interface StoreOptions {
  /** Whether operations are kept in memory when the section does not say where. Default: in a file. */
  readonly inMemory?: boolean | undefined;
  /** The process's variables. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** How long an ended operation is kept when the configuration does not say; the schema's comment names it too. */
const RETENTION_MS = 30 * 86_400_000;

/** Reads the section `store`: a file's folder has to be there, and an address to be one. Nothing is opened yet. */
export function readStore(
  section: Store | undefined,
  reader: SectionReader,
  { inMemory = false, environment = process.env }: StoreOptions = {},
): StoreSettings | undefined {
  const retentionMs = section?.retention === undefined ? RETENTION_MS : durationMs(section.retention);
  const kind = readKind(section?.kind ?? { case: undefined }, reader, inMemory, environment);
  return kind && { ...kind, retentionMs };
}

function readKind(
  kind: Store["kind"],
  reader: SectionReader,
  inMemory: boolean,
  environment: Readonly<Record<string, string | undefined>>,
): StoreKind | undefined {
  switch (kind.case) {
    case "sqlite":
      return readSqlite(kind.value.path, reader);
    case "postgres":
      return readPostgres(kind.value.url, reader, environment);
    default:
      return inMemory ? { kind: "memory" } : readSqlite(create(SqliteSchema).path, reader);
  }
}

function readSqlite(path: string, reader: SectionReader): StoreKind | undefined {
  const file = reader.resolve(path);
  const wrong = wrongPlace(file);
  if (wrong === undefined) return { kind: "sqlite", path: file };
  reader.problem(["store", "sqlite", "path"], `must be the path of a file that can be written, but ${wrong}`);
  return undefined;
}

function wrongPlace(file: string): string | undefined {
  const folder = dirname(file);
  try {
    // SQLite writes files of its own beside the one that it was told. The dot makes it a mistake that the folder is a file.
    accessSync(`${folder}/.`, constants.W_OK | constants.X_OK);
  } catch (error) {
    return `its folder ${quote(folder)} cannot be written: ${readFailure(error)}`;
  }
  try {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat === undefined) return undefined; // it will be made
    if (!stat.isFile()) return `${quote(file)} is no regular file`;
    accessSync(file, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return `${quote(file)} cannot be used: ${readFailure(error)}`;
  }
}

function readPostgres(
  url: Secret | undefined,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>>,
): StoreKind | undefined {
  if (url === undefined) return undefined; // the schema wants one, and has reported this
  const path: FieldPath = ["store", "postgres", "url"];
  const give = readSecret(url, path, reader, environment);
  if (give === undefined) return undefined;
  const wrong = wrongAddress(give());
  if (wrong === undefined) return { kind: "postgres", url: give };
  reader.problem([...path, url.source.case ?? ""], `${wrong} (what it is instead is not shown: it may be a password)`);
  return undefined;
}

/** As libpq takes them; `pg`, and so restartd, connects to one host. */
const SEVERAL_HOSTS = /^[a-z]+:\/\/([^/?#@]*@)?[^/?#@]*,[^/?#@]*([/?#]|$)/;

function wrongAddress(url: string): string | undefined {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    return "must hold an address that begins with postgres:// or postgresql://";
  }
  if (SEVERAL_HOSTS.test(url)) {
    return "must hold an address of one host, that always leads to the primary, such as a Service, a proxy or a virtual address";
  }
  return URL.canParse(url)
    ? undefined
    : "must hold an address, postgres://user:password@host:port/database, with / ? # and @ of user and password as %2F %3F %23 and %40";
}
