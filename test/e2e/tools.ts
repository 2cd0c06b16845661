/** The programs that nobody here wrote, clients and PostgreSQL: where they are, and what a test file does while one is not there. */
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, globSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { binary, cacheFolder } from "../cluster/modules.ts";
import { ROOT } from "../support/command.ts";

/** What pip installs into the virtual environment. */
export const requirements = join(import.meta.dirname, "python/requirements.txt");

/** Where setup.ts makes the virtual environment: keyed by what is installed into it. */
export function pythonFolder(): string {
  const hash = createHash("sha256").update(readFileSync(requirements));
  return join(cacheFolder(), `e2e-python-${hash.digest("hex").slice(0, 16)}`);
}

/** Written last into the virtual environment: without it, it is half made. */
export const pythonMarker = (): string => join(pythonFolder(), "complete");

/** Path of each client, undefined while it is not there. */
export const tools = {
  buf: () => join(ROOT, "node_modules/.bin/buf"),
  curl: () => findProgram("curl"),
  grpcurl: () => binary("grpcurl"),
  connectconformance: () => binary("connectconformance"),
  python: () => (existsSync(pythonMarker()) ? join(pythonFolder(), "bin/python") : undefined),
  chromium: () => findProgram("chromium", "chromium-browser", "google-chrome"),
  postgres: () => findPostgres(),
  pgbouncer: () => findProgram("pgbouncer") ?? ["/usr/sbin/pgbouncer"].find(isExecutable),
  helm: () => binary("helm"),
  promtool: () => findProgram("promtool"),
  runc: () => findProgram("runc"),
  bash: () => findProgram("bash"),
  zsh: () => findProgram("zsh"),
  fish: () => findProgram("fish"),
  script: () => findProgram("script"),
} satisfies Record<string, () => string | undefined>;

/** A client by its name. */
export type Tool = keyof typeof tools;

/** A client for a test file. */
export interface Needed {
  /** Its path; empty while it is not there. */
  readonly path: string;
  /** For `describe.skipIf`. */
  readonly missing: boolean;
}

/**
 * Looks for a client. While it is not there this says so on stderr, for the test file to be skipped; with
 * `RESTARTD_TEST_E2E=required` it throws.
 */
export function need(tool: Tool): Needed {
  const path = tools[tool]();
  if (path !== undefined) return { path, missing: false };
  const reason = `${tool} is not there; install it by: node test/e2e/setup.ts`;
  if (process.env.RESTARTD_TEST_E2E === "required") throw new Error(reason);
  process.stderr.write(`\n  SKIPPED: every test that needs ${tool}: ${reason}\n\n`);
  return { path: "", missing: true };
}

/** Folder of PostgreSQL's server programs, which Debian keeps out of PATH. */
export function findPostgres(): string | undefined {
  const isComplete = (folder: string) =>
    ["initdb", "postgres", "pg_basebackup"].every((program) => isExecutable(join(folder, program)));
  const inPath = findProgram("initdb");
  if (inPath !== undefined && isComplete(dirname(inPath))) return dirname(inPath);
  const version = (folder: string) => Number(/(\d+)\/bin/.exec(folder)?.[1]);
  return globSync("/usr/lib/postgresql/*/bin")
    .filter(isComplete)
    .sort((one, other) => version(other) - version(one))[0];
}

/** The first of these programs that is in PATH. */
export function findProgram(...names: readonly string[]): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
