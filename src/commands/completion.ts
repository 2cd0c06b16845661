import { CommandMistake } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import { LIST_WORDS, TARGET_COMMANDS } from "../targets/commands.ts";
import type { Client, ClientContext } from "./client.ts";
import { openFile } from "./client-file.ts";
import { CONFIG_COMMANDS } from "./config.ts";
import { EXIT } from "./exit.ts";
import { get } from "./get.ts";
import { type Parsed, parseFlags } from "./parse.ts";
import { COMMANDS, FLAGS, type Flag, type FlagName, flagsOf, type Spec, specOf } from "./table.ts";
import { OPERATIONS_COMMANDS } from "./usage.ts";

/** Every script asks the program itself, which knows its own table. */
const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_restartd() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(restartd __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]]; then compopt -o nospace; fi
}
complete -F _restartd restartd
`,
  zsh: `#compdef restartd
_restartd() {
  local -a lines whole begun
  local line candidate
  lines=("\${(@f)$(restartd __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    candidate="\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}"
    if [[ $line == */$'\\t'* ]]; then begun+=("$candidate"); else whole+=("$candidate"); fi
  done
  _describe restartd whole
  _describe restartd begun -S ''
}
compdef _restartd restartd
if [[ \${funcstack[1]} == _restartd ]]; then _restartd "$@"; fi
`,
  fish: `function __restartd_complete
    set -l words (commandline -opc) (commandline -ct)
    restartd __complete $words[2..-1] 2>/dev/null
end
complete -c restartd -f -a '(__restartd_complete)'
`,
};

/** Prints the script of a shell, and answers the exit code. */
export function completion({ operands }: Parsed, { out }: ClientContext): number {
  const [shell = "", ...more] = operands;
  const script = SCRIPTS[shell];
  if (script === undefined || more.length > 0) {
    throw new CommandMistake(`completion needs a shell: ${Object.keys(SCRIPTS).join(", ")}`);
  }
  out(script);
  return EXIT.DONE;
}

/** So long (ms) the server may take to tell names: nobody waits longer at a Tab. */
const NAMES_LIMIT_MS = 1_000;

type Candidate = readonly [value: string, description: string];

/** Opens a client by what the command line says so far. */
type Open = (parsed: Parsed, context: ClientContext) => Client;

/** Prints what could stand in the place of the last word, one candidate a line; silent where nothing can be told. */
export async function complete(words: readonly string[], context: ClientContext, open: Open): Promise<number> {
  const current = words.at(-1) ?? "";
  const found = await candidates(words.slice(0, -1), current, context, open).catch((): Candidate[] => []);
  const fitting = found.filter(([value]) => value.startsWith(current));
  context.out(fitting.map(([value, description]) => `${plain(value)}\t${plain(description)}\n`).join(""));
  return EXIT.DONE;
}

async function candidates(
  before: readonly string[],
  current: string,
  context: ClientContext,
  open: Open,
): Promise<Candidate[]> {
  const found = specOf(before);
  if (found === undefined) return pathsAfter(before);
  const { spec, rest } = found;
  const flag = flagBefore(spec, rest);
  if (flag !== undefined) return valuesOf(flag, spec, rest, context, open);
  if (current.startsWith("-")) return flagsOf(spec).map((name) => [`--${name}`, FLAGS[name].what]);
  switch (spec.kind) {
    case "operations":
      return rest.length === 0 ? OPERATIONS_COMMANDS.map((name) => [name, ""]) : [];
    case "config":
      if (rest.length === 0) return CONFIG_COMMANDS.map((name) => [name, ""]);
      return rest.length === 1 && rest[0] === "use-context" ? contextNames(context) : [];
    case "completion":
      return rest.length === 0 ? Object.keys(SCRIPTS).map((name) => [name, ""]) : [];
    case "help":
      return [...pathsAfter(rest), ["exit-codes", "what the exit codes mean"]];
    case "get":
      return LIST_WORDS.flatMap(({ words }) => words.map((word): Candidate => [word, ""]));
    case "change":
    case "status":
      return targets(spec, rest, current, context, open);
    default:
      return [];
  }
}

/** The next words of commands that begin so. */
function pathsAfter(before: readonly string[]): Candidate[] {
  const next = new Map<string, string>();
  for (const { path, what } of COMMANDS) {
    const word = path[before.length];
    if (word === undefined || !before.every((each, index) => path[index] === each)) continue;
    next.set(word, path.length > before.length + 1 ? "" : what);
  }
  return [...next];
}

/** The flag that the last word is the value of. */
function flagBefore(spec: Spec, rest: readonly string[]): FlagName | undefined {
  const last = rest.at(-1) ?? "";
  return flagsOf(spec).find((name) => {
    const flag: Flag = FLAGS[name];
    if (flag.value === undefined || flag.bare !== undefined) return false;
    return last === `--${name}` || (flag.short !== undefined && last === `-${flag.short}`);
  });
}

async function valuesOf(
  name: FlagName,
  spec: Spec,
  rest: readonly string[],
  context: ClientContext,
  open: Open,
): Promise<Candidate[]> {
  const flag: Flag = FLAGS[name];
  if (flag.values !== undefined) return flag.values.map((value) => [value, ""]);
  if (name === "context") return contextNames(context);
  const [word, cut] =
    name === "cluster"
      ? ["clusters", 9]
      : name === "site"
        ? ["sites", 6]
        : name === "project"
          ? ["projects", 9]
          : ["", 0];
  if (word === "") return [];
  const names = await namesOf([word], spec, rest.slice(0, -1), context, open);
  return names.map((each) => [each.slice(cut), ""]);
}

function contextNames({ env }: ClientContext): Candidate[] {
  return openFile(env)?.file.contexts.map(({ name, address }): Candidate => [name, address]) ?? [];
}

async function targets(
  spec: Spec,
  rest: readonly string[],
  current: string,
  context: ClientContext,
  open: Open,
): Promise<Candidate[]> {
  const verb = spec.verb ?? "restart";
  const types = TARGET_COMMANDS.filter(({ verbs }) => verbs.includes(verb)).flatMap((each) => each.types);
  const [type, ofSlash] = current.split("/");
  if (ofSlash !== undefined && type !== undefined) {
    const names = await namesOf([type], spec, rest, context, open);
    return names.map((name) => [`${type}/${name.slice(name.indexOf("/") + 1)}`, ""]);
  }
  const before = rest.find((word) => types.includes(word));
  if (before === undefined) return types.map((each) => [`${each}/`, ""]);
  const names = await namesOf([before], spec, rest, context, open);
  return names.map((name) => [name.slice(name.indexOf("/") + 1), ""]);
}

/** What `get -o name` says, within a second and without a word on stderr. */
async function namesOf(
  operands: readonly string[],
  spec: Spec,
  rest: readonly string[],
  context: ClientContext,
  open: Open,
): Promise<string[]> {
  let text = "";
  const quiet: ClientContext = {
    ...context,
    out: (more) => {
      text += more;
    },
    err: () => {},
    interrupted: AbortSignal.any([context.interrupted, AbortSignal.timeout(NAMES_LIMIT_MS)]),
  };
  const flags = parseFlags(spec, rest);
  const parsed: Parsed = {
    ...flags,
    operands,
    text: (flag) => (flag === "output" ? "name" : flag === "selector" ? undefined : flags.text(flag)),
  };
  await get(parsed, () => open(parsed, quiet), quiet);
  return text.split("\n").filter((line) => line !== "");
}
