import { CommandMistake, type Named, type Session, type Subject, type Verb, type Wanted } from "../core/command.ts";
import { nearName } from "../core/near-name.ts";
import { TARGET_COMMANDS } from "../targets/commands.ts";
import { parseUrl } from "./client.ts";

/** What the command line says about its targets. */
export interface TargetArguments {
  /** What is done; undefined where a rollout is looked at. */
  readonly verb: Verb;
  readonly operands: readonly string[];
  /** Empty for none. */
  readonly selector: string;
  readonly all: boolean;
  readonly manner: Wanted["manner"];
}

/** Which server is talked to: a pasted address of another one is a mistake. */
interface Located extends Session {
  readonly address: string;
}

/**
 * The targets that a command line means, in the order given.
 *
 * @throws CommandMistake, ConnectError
 */
export async function locate(args: TargetArguments, session: Located): Promise<readonly Subject[]> {
  const { operands, selector, all } = args;
  const [first] = operands;
  if (first === undefined) throw new CommandMistake("a TARGET is missing: such as deployment/web");
  const bySelection = selector !== "" || all;
  if (selector !== "" && all) throw new CommandMistake("-l and --all exclude each other");
  if (bySelection) {
    if (operands.length > 1 || first.includes("/")) {
      throw new CommandMistake(`${all ? "--all" : "-l"} needs a TYPE alone, such as deployment`);
    }
    const found: Subject[] = [];
    for (const type of first.split(",")) found.push(...(await find(type, [], args, session)));
    return found;
  }
  if (first.includes("/")) {
    const found: Subject[] = [];
    for (const operand of operands) found.push(...(await one(operand, args, session)));
    return unique(found);
  }
  const names = operands.slice(1);
  if (names.length === 0) throw new CommandMistake(`${first} needs a NAME, -l SELECTOR or --all`);
  const slashed = names.find((name) => name.includes("/"));
  if (slashed !== undefined) throw new CommandMistake(`${slashed}: write TYPE/NAME everywhere, or TYPE NAME...`);
  return unique(await find(first, names, args, session));
}

function unique(subjects: readonly Subject[]): readonly Subject[] {
  return subjects.filter((subject, index) => subjects.findIndex(({ target }) => target === subject.target) === index);
}

async function one(operand: string, args: TargetArguments, session: Located): Promise<readonly Subject[]> {
  const resource = resourceNameOf(operand, session.address);
  if (resource !== undefined) {
    const segments = resource.split("/").map(decode);
    for (const target of TARGET_COMMANDS) {
      const found: Named | undefined = target.named(segments, args, session);
      if (found === undefined) continue;
      refuseForeignVerb(target, args.verb, operand);
      return [await found];
    }
    throw new CommandMistake(`${operand} is not the name of something that can be restarted`);
  }
  const [type = "", name = "", ...more] = operand.split("/");
  if (type === "" || name === "" || more.length > 0) throw new CommandMistake(`${operand} is not TYPE/NAME`);
  return find(type, [name], args, session);
}

/** A resource name, as such or out of the address of its page; undefined for TYPE/NAME. */
function resourceNameOf(operand: string, address: string): string | undefined {
  if (/^https?:\/\//.test(operand)) {
    const url = parseUrl(operand);
    const base = new URL(address);
    const [, path] = /\/console\/(.*?)\/?$/.exec(url?.pathname ?? "") ?? [];
    if (url === undefined || path === undefined) throw new CommandMistake(`${operand} is no page of the console`);
    if (url.origin !== base.origin) {
      throw new CommandMistake(`${operand} is of another server than ${address}: say --address ${url.origin}`);
    }
    return path;
  }
  return /^(clusters|sites|projects)\//.test(operand) ? operand : undefined;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new CommandMistake(`${segment} is not percent-encoded`);
  }
}

type Target = (typeof TARGET_COMMANDS)[number];

async function find(type: string, names: readonly string[], args: TargetArguments, session: Session) {
  const target = TARGET_COMMANDS.find(({ takes }) => takes(type));
  if (target === undefined) {
    const near = nearName(
      type.toLowerCase(),
      TARGET_COMMANDS.flatMap(({ types }) => types),
    );
    throw new CommandMistake(
      `there is no type ${JSON.stringify(type)}: ${near === undefined ? "" : `did you mean ${near}? Else `}write RESOURCE.VERSION.GROUP, such as cronjobs.v1.batch`,
    );
  }
  refuseForeignVerb(target, args.verb, type);
  if (args.selector !== "" && target.selects !== true) throw new CommandMistake(`${type} has no labels: leave -l out`);
  return target.find({ ...args, type, names }, session);
}

function refuseForeignVerb({ verbs }: Target, verb: Verb, what: string): void {
  if (verbs.includes(verb)) return;
  throw new CommandMistake(`${verb} is not for ${what}: use restartd ${verbs.join(" or ")}`);
}
