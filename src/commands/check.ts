import type { StoreSettings } from "../config/store.ts";
import { formatProblem, type Problem } from "../core/problem.ts";
import { readArgs } from "./read-args.ts";

/** What the command works with. */
export interface CheckContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Reads and judges a configuration file, with all that it names. Throws ConfigError. */
  readonly load: (file: string) => { readonly store: StoreSettings; readonly warnings: readonly Problem[] };
}

/** What `restartd check --help` prints. */
export const CHECK_HELP = `Reads and judges a configuration with every file and secret that it names, and opens nothing: no port, no store, no connection.

Usage: npm start -- check --config FILE

It exits 0 when a server could start with it, and 2 when it has a mistake, or the command line. Mistakes and warnings go to stderr.

Options:
  --config FILE    the configuration
  --help           print this
`;

/** Runs `restartd check ...` and answers the exit code. */
export async function runCheck(args: readonly string[], { out, err, load }: CheckContext): Promise<number> {
  const parsed = parse(args);
  if ("wrong" in parsed) {
    err(`restartd check: ${parsed.wrong}\nTry: npm start -- check --help\n`);
    return 2;
  }
  if (parsed.help) {
    out(CHECK_HELP);
    return 0;
  }
  const { store, warnings } = load(parsed.config);
  for (const warning of warnings) err(`warning: ${formatProblem(warning)}\n`);
  const wrong = await wrongStore(store);
  if (wrong !== undefined) {
    err(`${parsed.config}: ${wrong}\n`);
    return 2;
  }
  out(`${parsed.config} has no mistakes\n`);
  return 0;
}

/** What is wrong with the store's address; what is not shown of it may be a password. */
async function wrongStore(store: StoreSettings): Promise<string | undefined> {
  if (store.kind !== "postgres") return undefined;
  const { wrongAddress } = await import("../operations/store/postgres/address.ts");
  return wrongAddress(store.url());
}

function parse(
  args: readonly string[],
): { readonly wrong: string } | { readonly help: boolean; readonly config: string } {
  const read = readArgs({
    args: [...args],
    strict: true,
    options: { help: { type: "boolean", short: "h" }, config: { type: "string" } },
  });
  if ("wrong" in read) return read;
  const { help = false, config = "" } = read.values;
  return help || config !== "" ? { help, config } : { wrong: "--config FILE is missing: say which configuration" };
}
