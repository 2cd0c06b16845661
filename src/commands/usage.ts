import { addressOf, DEFAULT_ADDRESS } from "./client.ts";
import { durationOf } from "./parse.ts";
import { readArgs } from "./read-args.ts";

/** How results are printed. */
export type Output = "name" | "json" | "yaml" | "wide";

const OUTPUTS: readonly Output[] = ["name", "json", "yaml", "wide"];

/** What `restartd operations ...` asks for. */
export type OperationsCommand =
  | { readonly kind: "help" }
  | ({
      /** Undefined where nothing but the environment or the context says. */
      readonly address: string | undefined;
      /** Undefined for text. */
      readonly output: Output | undefined;
      readonly tokenFile: string | undefined;
      readonly ca: string | undefined;
      readonly context: string | undefined;
    } & (
      | { readonly kind: "list"; readonly filter: string; readonly limit: number; readonly headers: boolean }
      | { readonly kind: "show"; readonly name: string }
      | { readonly kind: "watch"; readonly name: string }
      | { readonly kind: "wait"; readonly name: string; readonly timeoutMs: number }
      | { readonly kind: "cancel"; readonly name: string }
      | { readonly kind: "resolve"; readonly name: string; readonly applied: boolean; readonly note: string }
      | { readonly kind: "backup"; readonly file: string }
    ));

/** A command line that cannot be understood. Its message says what is wrong. */
export class OperationsUsageError extends Error {
  override readonly name = "OperationsUsageError";
}

const DEFAULT_LIMIT = 50;

/** What `restartd operations --help` prints. */
export const OPERATIONS_HELP = `Looks after the operations of a running restartd.

Usage: restartd operations COMMAND [options]

Commands:
  list                 newest first: name, state, outcome, target, action, age, principal
  show NAME            everything that is known of one
  watch NAME           its progress until its end; exits 0 when it succeeded, 3 when it was applied and went wrong, 5 in doubt
  wait NAME            the same, and prints its end alone
  cancel NAME          keeps it from being sent; what was sent already cannot be recalled
  resolve NAME         ends the doubt about one that is UNRESOLVED, and frees its target
  backup FILE          fetches a consistent copy of a SQLite store into a new file

NAME is operations/{id}, or the id alone.

Options:
  --address URL        the server (default: the context's, or ${DEFAULT_ADDRESS})
  --context NAME       the context of the client's file
  --token-file FILE    who calls: a file with the bearer token (default: the variable RESTARTD_TOKEN)
  --ca FILE            certificates that the server's is checked by, PEM
  --output, -o FORMAT  name, json (one document per line), yaml or wide (all but backup)
  --json               the same as -o json
  --no-headers         list: the table without its head
  --filter FILTER      list: comparisons of target, state, principal, parent, create_time with =, <, > joined by AND,
                       such as 'state = UNRESOLVED AND create_time > "2026-01-31T00:00:00Z"'
  --limit N            list: at most so many (default ${DEFAULT_LIMIT})
  --timeout DURATION   wait: at most so long, such as 90s or 5m; then it exits 124 (default 0: no limit)
  --outcome OUTCOME    resolve: applied or not_applied
  --note TEXT          resolve: how that was found out, for the audit trail
  --help               print this

Examples:
  restartd operations list --filter 'state = UNRESOLVED'
  restartd operations wait NAME --timeout 5m

What the exit codes mean: restartd help exit-codes.
`;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  json: { type: "boolean" },
  output: { type: "string", short: "o" },
  "no-headers": { type: "boolean" },
  timeout: { type: "string" },
  address: { type: "string" },
  context: { type: "string" },
  ca: { type: "string" },
  "token-file": { type: "string" },
  filter: { type: "string" },
  limit: { type: "string" },
  outcome: { type: "string" },
  note: { type: "string" },
} as const;

type Option = keyof typeof OPTIONS;

/** Options that each command knows beside those that all know, and what it is about. */
const COMMANDS = {
  list: { options: ["json", "output", "no-headers", "filter", "limit"], operand: undefined },
  show: { options: ["json", "output"], operand: "NAME" },
  watch: { options: ["json", "output"], operand: "NAME" },
  wait: { options: ["json", "output", "timeout"], operand: "NAME" },
  cancel: { options: ["json", "output"], operand: "NAME" },
  resolve: { options: ["json", "output", "outcome", "note"], operand: "NAME" },
  backup: { options: [], operand: "FILE" },
} as const satisfies Record<string, { options: readonly Option[]; operand: string | undefined }>;

/** What `operations` knows. */
export const OPERATIONS_COMMANDS: readonly string[] = Object.keys(COMMANDS);

const isCommand = (name: string): name is keyof typeof COMMANDS => Object.hasOwn(COMMANDS, name);

/**
 * Reads what follows `operations` on the command line.
 *
 * @throws OperationsUsageError
 */
export function parseOperationsCommand(args: readonly string[]): OperationsCommand {
  const { values, positionals } = parse(args);
  const [name, operand, surplus] = positionals;
  if (values.help === true) {
    return { kind: "help" };
  }
  if (name === undefined || !isCommand(name)) {
    const wrong = name === undefined ? "a command is missing" : `there is no command ${name}`;
    throw new OperationsUsageError(`${wrong}: use one of ${Object.keys(COMMANDS).join(", ")}`);
  }
  const { options, operand: wanted } = COMMANDS[name];
  refuseForeign(name, options, values);
  const extra = wanted === undefined ? operand : surplus;
  if (extra !== undefined) {
    throw new OperationsUsageError(`${name} does not take ${JSON.stringify(extra)}`);
  }
  if (wanted !== undefined && (operand === undefined || operand === "")) {
    throw new OperationsUsageError(`${name} needs a ${wanted}: operations ${name} ${wanted}`);
  }
  const common = {
    address: values.address === undefined ? undefined : checked(() => addressOf(values.address)),
    output: outputOf(values.json ? "json" : values.output),
    tokenFile: values["token-file"],
    ca: values.ca,
    context: values.context,
  };
  switch (name) {
    case "list":
      return {
        ...common,
        kind: name,
        filter: values.filter ?? "",
        limit: limitOf(values.limit),
        headers: !values["no-headers"],
      };
    case "resolve":
      return { ...common, kind: name, name: nameOf(operand), ...resolution(values.outcome, values.note) };
    case "wait": {
      const timeoutMs = checked(() => durationOf("timeout", values.timeout ?? "0"));
      return { ...common, kind: name, name: nameOf(operand), timeoutMs };
    }
    case "backup":
      return { ...common, kind: name, file: operand ?? "" };
    default:
      return { ...common, kind: name, name: nameOf(operand) };
  }
}

function parse(args: readonly string[]) {
  const read = readArgs({ args: [...args], strict: true, allowPositionals: true, options: OPTIONS });
  if ("wrong" in read) throw new OperationsUsageError(read.wrong);
  return read;
}

/** Options that every command knows. */
const EVERYWHERE: readonly string[] = ["address", "context", "token-file", "ca"];

function refuseForeign(command: string, known: readonly Option[], given: Partial<Record<Option, unknown>>): void {
  for (const option of Object.keys(given)) {
    if (!EVERYWHERE.includes(option) && !known.some((name) => name === option)) {
      throw new OperationsUsageError(`${command} does not take --${option}`);
    }
  }
}

/** Reads a value; what is wrong with it is said in this command's name. */
function checked<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw new OperationsUsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function outputOf(text: string | undefined): Output | undefined {
  const output = OUTPUTS.find((known) => known === text);
  if (text !== undefined && output === undefined) {
    throw new OperationsUsageError(`--output ${JSON.stringify(text)} is unknown: use ${OUTPUTS.join(", ")}`);
  }
  return output;
}

function limitOf(text = String(DEFAULT_LIMIT)): number {
  const limit = Number(text);
  if (!/^\d{1,9}$/.test(text) || limit < 1) {
    throw new OperationsUsageError(`--limit ${JSON.stringify(text)} is not a number from 1`);
  }
  return limit;
}

const nameOf = (text = ""): string => (text.startsWith("operations/") ? text : `operations/${text}`);

function resolution(outcome: string | undefined, note: string | undefined): { applied: boolean; note: string } {
  if (outcome !== "applied" && outcome !== "not_applied") {
    const wrong = outcome === undefined ? "is missing" : `${JSON.stringify(outcome)} is unknown`;
    throw new OperationsUsageError(`--outcome ${wrong}: say applied or not_applied, as you found out`);
  }
  if (note === undefined || note.trim() === "") {
    throw new OperationsUsageError("--note is missing: say how you found out, for the audit trail");
  }
  return { applied: outcome === "applied", note };
}
