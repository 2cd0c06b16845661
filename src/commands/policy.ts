import type { Authorizer, Decision } from "../core/access.ts";
import type { Principal } from "../core/principal.ts";
import { readArgs } from "./read-args.ts";

/** A configuration's rules, as the command asks them. */
export interface PolicyUnderTest {
  readonly authorizer: Authorizer;
  /** Whether there is such a permission, and the near one where there is not. */
  readonly unknown: (permission: string) => string | undefined;
  /** What one question comes to: the request is taken as empty. */
  readonly ask: (principal: Principal, permission: string, target: string) => Decision;
}

/** What the command works with. */
export interface PolicyContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Reads the rules that a configuration file says or names. Throws ConfigError. */
  readonly load: (file: string) => PolicyUnderTest;
}

/** What `restartd policy --help` prints. */
export const POLICY_HELP = `Asks the rules of a configuration, without a server: who may do what, and which rule says so.

Usage: npm start -- policy test --config FILE --as PRINCIPAL [--group GROUP ...] PERMISSION TARGET

  npm start -- policy test --config restartd.yaml --as okta:ann --group okta:shop \\
    kubernetes.workloads.restart clusters/prod/apps/v1/namespaces/shop/deployments/web

It exits 0 when that is allowed, 1 when it is not, and 2 when the command line or the configuration has a mistake. Conditions are
asked with an empty request and without claims.

Options:
  --config FILE    the configuration
  --as PRINCIPAL   who asks: AUTHENTICATOR:NAME
  --group GROUP    a group of theirs, AUTHENTICATOR:GROUP; may stand several times
  --help           print this
`;

/** Runs `restartd policy ...` and answers the exit code. */
export function runPolicy(args: readonly string[], { out, err, load }: PolicyContext): number {
  const parsed = parse(args);
  if ("wrong" in parsed) {
    err(`restartd policy: ${parsed.wrong}\nTry: npm start -- policy --help\n`);
    return 2;
  }
  if (parsed.help) {
    out(POLICY_HELP);
    return 0;
  }
  const { principal, permission, target } = parsed;
  const policy = load(parsed.config);
  const unknown = policy.unknown(permission);
  if (unknown !== undefined) {
    err(`restartd policy: ${unknown}\n`);
    return 2;
  }
  const { allowed, kind, rule, groups } = policy.ask(principal, permission, target);
  const by = rule === undefined ? "no rule allows it" : `rule ${rule}`;
  const via = groups.length === 0 ? "" : `, for ${groups.join(", ")}`;
  out(`${kind}: ${principal.id} ${allowed ? "may" : "may not"} ${permission} ${target} (${by}${via})\n`);
  const reasons = allowed ? policy.authorizer.wrongReasons(permission, [target], "") : [];
  if (reasons.length > 0) out(`with a reason, which ${reasons.join(", and ")}\n`);
  return allowed ? 0 : 1;
}

type ParsedArguments =
  | { readonly wrong: string }
  | { readonly help: true }
  | {
      readonly help: false;
      readonly config: string;
      readonly principal: Principal;
      readonly permission: string;
      readonly target: string;
    };

function parse(args: readonly string[]): ParsedArguments {
  const read = readArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      config: { type: "string" },
      as: { type: "string" },
      group: { type: "string", multiple: true },
    },
  });
  if ("wrong" in read) return read;
  const { values, positionals } = read;
  if (values.help) return { help: true };
  const [command, permission, target, ...others] = positionals;
  if (command !== "test") return { wrong: "the one command is: policy test" };
  if (permission === undefined || target === undefined || others.length > 0) {
    return { wrong: "policy test needs a permission and a target, and nothing else" };
  }
  const { config = "", as = "", group: groups = [] } = values;
  if (config === "") return { wrong: "--config is missing: say whose rules are asked" };
  const bare = groups.find((group) => !isCaller(group));
  if (!isCaller(as)) return { wrong: `--as must be AUTHENTICATOR:NAME: got ${JSON.stringify(as)}` };
  if (bare !== undefined) return { wrong: `--group must be AUTHENTICATOR:GROUP: got ${JSON.stringify(bare)}` };
  return { help: false, config, principal: principalOf(as, groups), permission, target };
}

const isCaller = (text: string): boolean => /^[^:]+:.+$/s.test(text);

function principalOf(id: string, groups: readonly string[]): Principal {
  const colon = id.indexOf(":");
  return {
    id,
    authenticator: id.slice(0, colon),
    username: id.slice(colon + 1),
    groups,
    claims: {},
    credential: "",
    expireTime: undefined,
  };
}
