import { CommandMistake } from "../core/command.ts";
import { nearName } from "../core/near-name.ts";
import { ConfigError } from "../core/problem.ts";
import { TARGET_COMMANDS } from "../targets/commands.ts";
import { CannotAsk } from "./ask.ts";
import { change } from "./change.ts";
import { type Client, type ClientContext, connect, openClient } from "./client.ts";
import { defaultsOf } from "./client-file.ts";
import { complete, completion } from "./completion.ts";
import { config } from "./config.ts";
import { EXIT, EXIT_HELP } from "./exit.ts";
import { get } from "./get.ts";
import { runOperations } from "./operations.ts";
import { type Parsed, parseFlags } from "./parse.ts";
import { problemOf, sentenceOf } from "./problem.ts";
import { rolloutStatus } from "./status.ts";
import { CLIENT_COMMANDS, COMMANDS, helpOf, helpOfAll, type Spec, specOf } from "./table.ts";
import { version } from "./version.ts";

/** Runs a command of the client, and answers the exit code. What goes wrong is said on stderr. */
export async function runClient(args: readonly string[], context: ClientContext): Promise<number> {
  if (args[0] === "operations") return operations(args.slice(1), context);
  if (args[0] === "__complete") return complete(args.slice(1), context, open);
  if (args[0] === "help") return help(args.slice(1), context);
  const found = specOf(args);
  const name = found?.spec.path.join(" ") ?? args[0] ?? "";
  let address = "";
  let close = (): void => {};
  try {
    if (found === undefined) throw new CommandMistake(unknown(args));
    const { spec, rest } = found;
    const parsed = parseFlags(spec, rest);
    if (parsed.has("help")) {
      context.out(helpOf(spec));
      return EXIT.DONE;
    }
    const opened = (): Client => {
      const client = open(parsed, context);
      ({ address, close } = client);
      return client;
    };
    return await run(spec, parsed, opened, context);
  } catch (error) {
    return explain(error, name, address, context);
  } finally {
    close();
  }
}

const operations = (args: readonly string[], context: ClientContext): Promise<number> =>
  runOperations(args, {
    ...context,
    services: TARGET_COMMANDS.map(({ service }) => service),
    connect: (flags) => connect(flags, context, defaultsOf(flags.context, context.env, context.err)),
  });

const open = (parsed: Parsed, context: ClientContext): Client =>
  openClient(parsed, context, defaultsOf(parsed.text("context"), context.env, context.err));

async function run(spec: Spec, parsed: Parsed, open: () => Client, context: ClientContext): Promise<number> {
  switch (spec.kind) {
    case "change":
      return change(spec.verb ?? "restart", parsed, open, context);
    case "status":
      return rolloutStatus(parsed, open, context);
    case "get":
      return get(parsed, open, context);
    case "version":
      return version(parsed, open, context);
    case "config":
      return config(parsed, context);
    case "completion":
      return completion(parsed, context);
    default:
      throw new Error(`${spec.path.join(" ")} is not run here`);
  }
}

function explain(error: unknown, name: string, address: string, { err, interrupted }: ClientContext): number {
  if (error instanceof CommandMistake) {
    const words = specOf(name.split(" ")) === undefined ? "" : `${name} `;
    err(`error: ${error.message}\nTry: restartd ${words}--help\n`);
    return EXIT.MISTAKE;
  }
  if (error instanceof ConfigError) {
    err(`${error.message}\n`);
    return EXIT.MISTAKE;
  }
  if (error instanceof CannotAsk) {
    err(`error: ${error.message}\nnothing was changed\n`);
    return EXIT.REFUSED;
  }
  if (interrupted.aborted) return Number(interrupted.reason);
  if (address === "") throw error; // a defect: nothing was asked yet
  const problem = problemOf(error, address, false);
  err(`error: ${sentenceOf(problem)}\n`);
  for (const line of problem.more) err(`${line}\n`);
  return problem.exit;
}

function unknown(args: readonly string[]): string {
  const [first = "", second] = args;
  if (first === "rollout") {
    return `rollout ${second === undefined ? "needs a command" : `knows no ${JSON.stringify(second)}`}: restart or status`;
  }
  const near = nearName(first, CLIENT_COMMANDS);
  return `there is no command ${JSON.stringify(first)}${near === undefined ? "" : `; did you mean ${near}?`}`;
}

function help(args: readonly string[], { out, err }: ClientContext): number {
  const words = args.filter((word) => !word.startsWith("-"));
  if (words.length === 0) {
    out(helpOfAll());
    return EXIT.DONE;
  }
  if (words[0] === "exit-codes") {
    out(EXIT_HELP);
    return EXIT.DONE;
  }
  const specs = COMMANDS.filter(({ path }) => words.every((word, index) => path[index] === word));
  if (specs.length === 0) {
    err(`error: there is no command ${JSON.stringify(words.join(" "))}\nTry: restartd help\n`);
    return EXIT.MISTAKE;
  }
  out(specs.map(helpOf).join("\n"));
  return EXIT.DONE;
}
