import { readArgs } from "./read-args.ts";

/** What the command works with. */
export interface StoreContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** The definitions of PostgreSQL's tables from a schema version on. */
  readonly sql: () => Promise<{
    readonly NEWEST: number;
    readonly definitionsFrom: (from: number) => Promise<string>;
  }>;
  /** Looks through a copy of a SQLite store: what it holds, or what is wrong with it. */
  readonly verify: (file: string) => Promise<Verified | { readonly wrong: string }>;
}

/** What a copy that is whole holds. */
export interface Verified {
  readonly schemaVersion: number;
  readonly operations: number;
  readonly audits: number;
  readonly tombstones: number;
}

/** What `restartd store --help` prints. */
export const STORE_HELP = `Looks after stores, without a server.

Usage: npm start -- store sql [--from N]
       npm start -- store verify FILE

Commands:
  sql            print the definitions of a PostgreSQL store, for who defines tables with another role than restartd's
  verify FILE    look through a copy of a SQLite store: its structure, its definitions, and that each row is as it was written;
                 nothing is written. Exits 0 when it is whole, else 1

Options:
  --from N       sql: from this schema version on (default 0: there is no store yet)
  --help         print this
`;

/** Runs `restartd store ...` and answers the exit code. */
export async function runStore(args: readonly string[], context: StoreContext): Promise<number> {
  const parsed = parse(args);
  if (typeof parsed === "string") return mistake(context, parsed);
  switch (parsed.kind) {
    case "help":
      context.out(STORE_HELP);
      return 0;
    case "sql":
      return printSql(parsed.from, context);
    case "verify":
      return verify(parsed.file, context);
  }
}

function mistake({ err }: StoreContext, wrong: string): number {
  err(`restartd store: ${wrong}\nTry: npm start -- store --help\n`);
  return 2;
}

async function printSql(from: number, context: StoreContext): Promise<number> {
  const { definitionsFrom, NEWEST } = await context.sql();
  if (from > NEWEST) return mistake(context, `--from ${from}: this restartd knows schema versions up to ${NEWEST}`);
  context.out(await definitionsFrom(from));
  return 0;
}

async function verify(file: string, context: StoreContext): Promise<number> {
  const found = await context.verify(file);
  if ("wrong" in found) {
    context.err(`restartd store: ${found.wrong}\n`);
    return 1;
  }
  const { schemaVersion, operations, audits, tombstones } = found;
  context.out(
    `${file} is whole: schema version ${schemaVersion}, ${operations} operations with ${audits} rows of their audit trail, ${tombstones} tombstones\n`,
  );
  return 0;
}

type ParsedArguments =
  | { readonly kind: "help" }
  | { readonly kind: "sql"; readonly from: number }
  | { readonly kind: "verify"; readonly file: string };

/** What is asked for, or what is wrong with how. */
function parse(args: readonly string[]): ParsedArguments | string {
  const read = readArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" }, from: { type: "string" } },
  });
  if ("wrong" in read) return read.wrong;
  const { values, positionals } = read;
  if (values.help) return { kind: "help" };
  const [command, file, ...more] = positionals;
  const { from } = values;
  if (command === "sql" && file === undefined) {
    if (from !== undefined && !/^\d{1,9}$/.test(from)) {
      return `--from ${JSON.stringify(from)} is no schema version`;
    }
    return { kind: "sql", from: Number(from ?? 0) };
  }
  if (command === "verify" && from === undefined && file !== undefined && file !== "" && more.length === 0) {
    return { kind: "verify", file };
  }
  return "the commands are: store sql [--from N], and store verify FILE";
}
