import { readArgs } from "./commands/read-args.ts";
import { CLIENT_COMMANDS } from "./commands/table.ts";
import { nearName } from "./core/near-name.ts";

/** Commands of the server with a command line of their own; those of the client are in commands/table.ts. */
const SUBCOMMANDS = ["check", "policy", "store", "token"] as const;

/** What the command line asks for. */
export type Command =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  /** A command of its own; `args` is what follows. */
  | { readonly kind: (typeof SUBCOMMANDS)[number]; readonly args: readonly string[] }
  | {
      readonly kind: "serve";
      /** What is restarted: simulated systems, or what a file says. */
      readonly source:
        | { readonly kind: "sandbox" }
        | { readonly kind: "config"; readonly file: string }
        | { readonly kind: "kubeconfig"; readonly file: string };
      /** HOST:PORT, in place of the configuration's. */
      readonly listen: string | undefined;
      /** Whether a store that was restored from a copy is meant to be used. */
      readonly acceptRestore: boolean;
    };

/** A command line that cannot be understood. Its message says what is wrong. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What `--help` prints. */
export const HELP = `restartd restarts things safely: one typed API, nothing restarted twice by accident.

Usage: npm start -- [serve] [options]
       npm start -- COMMAND ...    restart, get, operations and so on: asks a running server (npm start -- help)
       npm start -- check --config FILE    judge a configuration, and start nothing (check --help)
       npm start -- store COMMAND    print a store's definitions, verify a copy (store --help)
       npm start -- token new --name NAME    make a static token (token --help)
       npm start -- policy test ...    ask the rules of a configuration who may do what (policy --help)

Without a file it serves the sandbox: simulated systems on this machine. Nothing real is restarted.

Options:
  --config FILE        serve what a configuration file says (README: Your own clusters)
  --kubeconfig FILE    serve every context of a kubeconfig as a cluster; several files as in $KUBECONFIG
  --listen HOST:PORT   listen there; port 0 picks a free one (default 127.0.0.1:8080)
  --accept-restore     use a SQLite store that was restored from a copy; needed once, where a start was refused and says so
  --version            print the version, the commit and the Node
  --help               print this

It prints one line on stdout when it accepts calls, and logs JSON on stderr. SIGTERM lets calls in flight finish, then exits 0.
Operations are kept in restartd.db: beside the configuration file unless it says otherwise, with --kubeconfig in the working
directory. The sandbox keeps them in memory. One process at a time can have such a file.
A mistake in the command line or the configuration exits 2, with nothing started.
`;

/**
 * Reads the command line.
 *
 * @throws UsageError
 */
export function parseCommand(args: readonly string[]): Command {
  const [first, ...rest] = args;
  const subcommand = SUBCOMMANDS.find((name) => name === first);
  if (subcommand !== undefined) {
    return { kind: subcommand, args: rest };
  }
  const commands = [...CLIENT_COMMANDS, ...SUBCOMMANDS, "serve"];
  if (first !== undefined && !first.startsWith("-") && !commands.includes(first)) {
    const near = nearName(first, commands);
    const meant = near === undefined ? "" : `; did you mean ${near}?`;
    throw new UsageError(`there is no command ${JSON.stringify(first)}${meant}`);
  }
  const {
    help,
    version,
    config,
    kubeconfig,
    listen,
    "accept-restore": acceptRestore = false,
  } = parseOptions(first === "serve" ? rest : args);
  if (help) {
    return { kind: "help" };
  }
  if (version) {
    return { kind: "version" };
  }
  if (config !== undefined && kubeconfig !== undefined) {
    throw new UsageError(
      "--config and --kubeconfig exclude each other: a configuration can name kubeconfig files itself",
    );
  }
  for (const [option, value] of Object.entries({ config, kubeconfig, listen })) {
    if (value === "") {
      throw new UsageError(`--${option} needs a value`);
    }
  }
  if (config !== undefined) {
    return { kind: "serve", source: { kind: "config", file: config }, listen, acceptRestore };
  }
  if (kubeconfig !== undefined) {
    return { kind: "serve", source: { kind: "kubeconfig", file: kubeconfig }, listen, acceptRestore };
  }
  return { kind: "serve", source: { kind: "sandbox" }, listen, acceptRestore };
}

function parseOptions(args: readonly string[]) {
  const read = readArgs({
    args: [...args],
    strict: true,
    options: {
      help: { type: "boolean", short: "h" },
      version: { type: "boolean" },
      config: { type: "string" },
      kubeconfig: { type: "string" },
      listen: { type: "string" },
      "accept-restore": { type: "boolean" },
    },
  });
  if ("wrong" in read) throw new UsageError(read.wrong);
  return read.values;
}
