import type { ParseArgsConfig } from "node:util";
import { secondsOf } from "../config/duration.ts";
import { CommandMistake } from "../core/command.ts";
import { nearName } from "../core/near-name.ts";
import { readArgs } from "./read-args.ts";
import { FLAGS, type Flag, type FlagName, flagsOf, type Spec } from "./table.ts";

/** What a command line says. */
export interface Parsed {
  readonly operands: readonly string[];
  has(flag: FlagName): boolean;
  text(flag: FlagName): string | undefined;
}

/**
 * Reads what follows a command's name.
 *
 * @throws CommandMistake
 */
export function parseFlags(spec: Spec, args: readonly string[]): Parsed {
  const known = flagsOf(spec);
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [name, flag] of Object.entries(FLAGS) as [FlagName, Flag][]) {
    options[name] = {
      type: flag.value === undefined ? "boolean" : "string",
      ...(flag.short !== undefined && { short: flag.short }),
    };
  }
  const { values, positionals } = parse(args.flatMap(written), options);
  for (const [name, value] of Object.entries(values) as [FlagName, string | boolean][]) {
    const flag: Flag = FLAGS[name];
    if (!known.includes(name)) throw new CommandMistake(`${spec.path.join(" ")} does not take --${name}`);
    if (value === "") throw new CommandMistake(`--${name} needs a value`);
    if (name === "dry-run" && value === "client") {
      throw new CommandMistake("--dry-run=client: only the server can tell; say --dry-run=server");
    }
    if (flag.values !== undefined && !flag.values.includes(String(value))) {
      throw new CommandMistake(`--${name} ${JSON.stringify(value)} is unknown: use ${flag.values.join(", ")}`);
    }
  }
  return {
    operands: positionals,
    has: (flag) => values[flag] === true,
    text: (flag) => (typeof values[flag] === "string" ? values[flag] : undefined),
  };
}

/** kubectl's ways to write a flag that parseArgs does not know: a switch with its value, a value that may be left out, `-o=json`. */
function written(argument: string): readonly string[] {
  const short = /^-([a-zA-Z])=(.*)$/s.exec(argument);
  if (short) return [`-${short[1]}${short[2]}`];
  const [, name = "", , value] = /^--([a-z-]+)(=(.*))?$/s.exec(argument) ?? [];
  const flag: Flag | undefined = FLAGS[name as FlagName];
  if (flag === undefined) return argument === "-w" ? ["--watch=true"] : [argument];
  if (value === undefined) return flag.bare === undefined ? [argument] : [`--${name}=${flag.bare}`];
  if (flag.value !== undefined) return [argument];
  if (value === "true") return [`--${name}`];
  if (value === "false") return [];
  throw new CommandMistake(`--${name}=${value}: it is true or false`);
}

function parse(args: string[], options: NonNullable<ParseArgsConfig["options"]>) {
  const read = readArgs({ args, strict: true, allowPositionals: true, options });
  if (!("wrong" in read)) return read;
  const [, unknown] = /^Unknown option '--([^']+)'/.exec(read.wrong) ?? [];
  if (unknown === undefined) throw new CommandMistake(read.wrong);
  const near = nearName(unknown, Object.keys(FLAGS));
  throw new CommandMistake(`there is no flag --${unknown}${near === undefined ? "" : `; did you mean --${near}?`}`);
}

/**
 * A duration as Go writes it.
 *
 * @returns milliseconds; 0 for no limit.
 */
export function durationOf(flag: FlagName, text: string): number {
  if (text === "0") return 0;
  const seconds = secondsOf(text);
  if (seconds === undefined) {
    throw new CommandMistake(`--${flag} ${JSON.stringify(text)} is not a duration such as 90s, 5m or 1h30m`);
  }
  return Number.parseFloat(seconds) * 1000;
}
