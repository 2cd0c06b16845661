import { TOKEN } from "../core/authenticators.ts";
import { wrongGroups, wrongUsername } from "../core/principal.ts";
import { readArgs } from "./read-args.ts";

/** What the command works with. */
export interface TokenContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Random bytes, as many as asked for. */
  readonly random: (bytes: number) => Buffer;
  /** SHA-256 of a token in hexadecimal. */
  readonly hash: (token: string) => string;
}

/** What `restartd token --help` prints. */
export const TOKEN_HELP = `Makes static tokens, for callers that no issuer knows.

Usage: npm start -- token new --name NAME [--group GROUP ...] [--expires TIME]

It prints the token, once, and the line to add to the file that authentication.tokens names: the file has the token's hash alone.
To replace a token, make a second one of the same name, and remove the first line when nobody uses it any longer.

Options:
  --name NAME      who has it: rules know it as token:NAME
  --group GROUP    a group of its holder: rules know it as token:GROUP; may stand several times
  --expires TIME   when it ends, such as 2027-01-31T00:00:00Z (default: it does not)
  --help           print this
`;

/** Runs `restartd token ...` and answers the exit code. */
export function runToken(args: readonly string[], { out, err, random, hash }: TokenContext): number {
  const parsed = parse(args);
  if ("wrong" in parsed) {
    err(`restartd token: ${parsed.wrong}\nTry: npm start -- token --help\n`);
    return 2;
  }
  if (parsed.help) {
    out(TOKEN_HELP);
    return 0;
  }
  const token = `rsd_${random(32).toString("base64url")}`;
  const groups =
    parsed.groups.length === 0 ? "" : `, groups: [${parsed.groups.map((group) => JSON.stringify(group)).join(", ")}]`;
  const expires = parsed.expires === undefined ? "" : `, expires: ${parsed.expires}`;
  out(`${token}\n- { name: ${JSON.stringify(parsed.name)}, sha256: ${hash(token)}${groups}${expires} }\n`);
  return 0;
}

/** RFC 3339. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

type ParsedArguments =
  | { readonly wrong: string }
  | {
      readonly help: boolean;
      readonly name: string;
      readonly groups: readonly string[];
      readonly expires: string | undefined;
    };

function parse(args: readonly string[]): ParsedArguments {
  const read = readArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      name: { type: "string" },
      group: { type: "string", multiple: true },
      expires: { type: "string" },
    },
  });
  if ("wrong" in read) return read;
  const { values, positionals } = read;
  const { help = false, name = "", group: groups = [], expires } = values;
  if (help) return { help, name, groups, expires };
  if (positionals.length !== 1 || positionals[0] !== "new")
    return { wrong: "the one command is: token new --name NAME" };
  if (name === "") return { wrong: "--name is missing: say who has the token" };
  const wrongName = wrongUsername(TOKEN, name);
  if (wrongName !== undefined) return { wrong: `--name must be a plain name: ${wrongName}` };
  const wrongGroup = wrongGroups(TOKEN, groups);
  if (wrongGroup !== undefined) return { wrong: `--group must be at most 200 plain names: ${wrongGroup}` };
  if (expires !== undefined && (!TIME.test(expires) || Number.isNaN(Date.parse(expires)))) {
    return { wrong: `--expires ${JSON.stringify(expires)} is not a time such as 2027-01-31T00:00:00Z` };
  }
  return { help, name, groups, expires };
}
