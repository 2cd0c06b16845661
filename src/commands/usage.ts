import { parseArgs } from "node:util";

/** What `restartd operations ...` asks for. */
export type OperationsCommand =
  | { readonly kind: "help" }
  | ({ readonly address: string; readonly json: boolean; readonly tokenFile: string | undefined } & (
      | { readonly kind: "list"; readonly filter: string; readonly limit: number }
      | { readonly kind: "show"; readonly name: string }
      | { readonly kind: "watch"; readonly name: string }
      | { readonly kind: "cancel"; readonly name: string }
      | { readonly kind: "resolve"; readonly name: string; readonly applied: boolean; readonly note: string }
      | { readonly kind: "backup"; readonly file: string }
    ));

/** A command line that cannot be understood. Its message says what is wrong. */
export class OperationsUsageError extends Error {
  override readonly name = "OperationsUsageError";
}

const DEFAULT_ADDRESS = "http://127.0.0.1:8080";

const DEFAULT_LIMIT = 50;

/** What `restartd operations --help` prints. */
export const OPERATIONS_HELP = `Looks after the operations of a running restartd.

Usage: npm start -- operations COMMAND [options]

Commands:
  list                 newest first: name, state, outcome, target, action, age, principal
  show NAME            everything that is known of one
  watch NAME           its progress until its end; exits 0 when it succeeded, else 1
  cancel NAME          keeps it from being sent; what was sent already cannot be recalled
  resolve NAME         ends the doubt about one that is UNRESOLVED, and frees its target
  backup FILE          fetches a consistent copy of a SQLite store into a new file

NAME is operations/{id}, or the id alone.

Options:
  --address URL        the server (default ${DEFAULT_ADDRESS})
  --token-file FILE    who calls: a file with the bearer token (default: the variable RESTARTD_TOKEN)
  --json               print JSON, one document per line (list, show, watch, cancel, resolve)
  --filter FILTER      list: comparisons of target, state, principal, parent, create_time with =, <, > joined by AND,
                       such as 'state = UNRESOLVED AND create_time > "2026-01-31T00:00:00Z"'
  --limit N            list: at most so many (default ${DEFAULT_LIMIT})
  --outcome OUTCOME    resolve: applied or not_applied
  --note TEXT          resolve: how that was found out, for the audit trail
  --help               print this

A mistake in the command line exits 2, anything else that fails 1.
`;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  json: { type: "boolean" },
  address: { type: "string" },
  "token-file": { type: "string" },
  filter: { type: "string" },
  limit: { type: "string" },
  outcome: { type: "string" },
  note: { type: "string" },
} as const;

type Option = keyof typeof OPTIONS;

/** Options that each command knows beside --address, --token-file and --help, and what it is about. */
const COMMANDS = {
  list: { options: ["json", "filter", "limit"], operand: undefined },
  show: { options: ["json"], operand: "NAME" },
  watch: { options: ["json"], operand: "NAME" },
  cancel: { options: ["json"], operand: "NAME" },
  resolve: { options: ["json", "outcome", "note"], operand: "NAME" },
  backup: { options: [], operand: "FILE" },
} as const satisfies Record<string, { options: readonly Option[]; operand: string | undefined }>;

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
  const common = { address: addressOf(values.address), json: values.json === true, tokenFile: values["token-file"] };
  switch (name) {
    case "list":
      return { ...common, kind: name, filter: values.filter ?? "", limit: limitOf(values.limit) };
    case "resolve":
      return { ...common, kind: name, name: nameOf(operand), ...resolution(values.outcome, values.note) };
    case "backup":
      return { ...common, kind: name, file: operand ?? "" };
    default:
      return { ...common, kind: name, name: nameOf(operand) };
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], strict: true, allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new OperationsUsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function refuseForeign(command: string, known: readonly Option[], given: Partial<Record<Option, unknown>>): void {
  for (const option of Object.keys(given)) {
    if (option !== "address" && option !== "token-file" && !known.some((name) => name === option)) {
      throw new OperationsUsageError(`${command} does not take --${option}`);
    }
  }
}

/** The base URL of a server, of a URL or HOST:PORT. */
function addressOf(text = DEFAULT_ADDRESS): string {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === "") {
    throw new OperationsUsageError(`--address ${JSON.stringify(text)} is not a URL such as ${DEFAULT_ADDRESS}`);
  }
  return url.href.replace(/\/$/, "");
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
