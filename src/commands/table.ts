import type { Verb } from "../core/command.ts";

/** A flag: the parser, the help and the completion read this. */
export interface Flag {
  /** What its value is called; undefined for one that is on or off. */
  readonly value?: string;
  readonly short?: string;
  /** Whether it may stand without its value, and what that then is. */
  readonly bare?: string;
  /** The values that there are. */
  readonly values?: readonly string[];
  readonly what: string;
}

/** Every flag, by its name. */
export const FLAGS = {
  cluster: { value: "NAME", what: "the cluster (default: the context's, or the only one)" },
  namespace: { value: "NAME", short: "n", what: 'the namespace (default: the context\'s, or "default")' },
  "all-namespaces": { short: "A", what: "in every namespace" },
  selector: { value: "SELECTOR", short: "l", what: "those with these labels, such as app=web" },
  all: { what: "all of the TYPE" },
  site: { value: "NAME", what: "the ArcGIS site (default: the context's, or the only one)" },
  project: { value: "ID", what: "the Huawei Cloud project (default: the context's, or the only one)" },
  "enterprise-project": { value: "ID", what: "the enterprise project of CSE engines" },
  soft: { what: "dcs, ddm: a soft restart" },
  hard: { what: "ddm: a hard restart" },
  reason: { value: "TEXT", what: "why; kept with the operation (default: the variable RESTARTD_REASON)" },
  "dry-run": {
    value: "HOW",
    bare: "server",
    values: ["server", "none"],
    what: "all checks are made, nothing is sent or stored",
  },
  wait: { what: "follow it to its end" },
  timeout: { value: "DURATION", what: "wait at most so long (--wait), such as 90s or 1h30m (default 0: no limit)" },
  "request-id": { value: "UUID", what: "the same one never restarts twice (default: a new one for each target)" },
  "acknowledge-data-loss": { what: "accept that data may be lost" },
  "acknowledge-outage": { what: "accept that services are away meanwhile" },
  "acknowledge-deletion": { what: "accept that a failed deletion goes on" },
  "override-freeze": { what: "go on although a freeze is in the way; the permission freezes.override is needed" },
  yes: { short: "y", what: "ask no question about several targets; what is lost is asked for all the same" },
  watch: {
    value: "BOOL",
    short: "w",
    bare: "true",
    values: ["true", "false"],
    what: "follow it (default true); false: say once how it stands, exit 1 when it is not complete",
  },
  output: { value: "FORMAT", short: "o", values: ["name", "json", "yaml", "wide"], what: "name, json, yaml or wide" },
  "no-headers": { what: "a table without its head" },
  client: { what: "the client's version alone; the server is not asked" },
  quiet: { short: "q", what: "no progress, no warnings" },
  address: { value: "URL", what: "the server (default: the context's, or http://127.0.0.1:8080)" },
  context: { value: "NAME", what: "the context of the client's file (default: its current_context)" },
  "token-file": { value: "FILE", what: "a file with the bearer token (default: the variable RESTARTD_TOKEN)" },
  ca: { value: "FILE", what: "certificates that the server's is checked by, PEM" },
  color: { value: "WHEN", values: ["auto", "always", "never"], what: "auto, always or never" },
  verbose: { short: "v", what: "request ids, the address and what to do, on stderr" },
  help: { short: "h", what: "print this" },
} as const satisfies Readonly<Record<string, Flag>>;

/** The name of a flag. */
export type FlagName = keyof typeof FLAGS;

/** Flags that every command knows. */
const COMMON: readonly FlagName[] = ["address", "context", "token-file", "ca", "color", "verbose", "help"];

const SCOPE: readonly FlagName[] = [
  "cluster",
  "namespace",
  "all-namespaces",
  "selector",
  "site",
  "project",
  "enterprise-project",
];

const CHANGING: readonly FlagName[] = [
  ...SCOPE,
  "all",
  "reason",
  "dry-run",
  "wait",
  "timeout",
  "request-id",
  "override-freeze",
  "yes",
  "output",
  "quiet",
];

/** What a command does; {@link Spec.verb} says to what. */
export type Kind =
  | "change"
  | "status"
  | "get"
  | "operations"
  | "config"
  | "completion"
  | "version"
  | "help"
  | "__complete";

/** A command. */
export interface Spec {
  readonly kind: Kind;
  /** The words that name it. */
  readonly path: readonly string[];
  readonly verb?: Verb;
  /** What follows. */
  readonly operands: string;
  readonly what: string;
  readonly flags: readonly FlagName[];
  readonly examples: readonly string[];
}

const RESTART = {
  kind: "change",
  verb: "restart",
  operands: "TARGET...",
  what: "restart workloads and instances",
  flags: [...CHANGING, "soft", "hard", "acknowledge-data-loss"],
} as const;

/** THE table of the client's commands. */
export const COMMANDS: readonly Spec[] = [
  {
    ...RESTART,
    path: ["restart"],
    examples: [
      "restartd restart deployment/web -n shop --wait",
      "restartd restart deploy web api -n shop --reason certificate",
      "restartd restart sts -l app=db --yes --wait --timeout 10m",
      "restartd restart dcs/dcs-sessions --soft -o json",
    ],
  },
  {
    ...RESTART,
    path: ["rollout", "restart"],
    what: "the same as restart, by kubectl's name",
    examples: ["restartd rollout restart deployment/web -n shop", "restartd rollout restart ds -l tier=node --yes"],
  },
  {
    kind: "status",
    path: ["rollout", "status"],
    operands: "TARGET",
    what: "follow the rollout that is in place now",
    flags: [...SCOPE.filter((flag) => flag !== "all-namespaces" && flag !== "selector"), "watch", "timeout", "output"],
    examples: [
      "restartd rollout status deployment/web -n shop",
      "restartd rollout status sts/db -n shop --watch=false",
    ],
  },
  {
    kind: "change",
    verb: "refresh",
    path: ["refresh"],
    operands: "TARGET...",
    what: "refresh ArcGIS deployments: their pods are made anew",
    flags: [...CHANGING, "acknowledge-outage"],
    examples: [
      "restartd refresh arcgis/shared-featureserver --wait",
      "restartd refresh arcgis/ID --acknowledge-outage --reason patch",
    ],
  },
  {
    kind: "change",
    verb: "retry",
    path: ["retry"],
    operands: "TARGET...",
    what: "run the failed job of a CSE engine again",
    flags: [...CHANGING, "acknowledge-deletion"],
    examples: ["restartd retry cse/ID --wait", "restartd retry cse/ID --dry-run"],
  },
  {
    kind: "change",
    verb: "flush",
    path: ["flush"],
    operands: "TARGET...",
    what: "delete everything that DCS instances hold",
    flags: [...CHANGING, "acknowledge-data-loss"],
    examples: ["restartd flush dcs/dcs-cache --acknowledge-data-loss", "restartd flush dcs/dcs-cache --dry-run"],
  },
  {
    kind: "get",
    path: ["get"],
    operands: "WHAT [NAME...]",
    what: "list clusters, sites, projects, workloads, arcgis, cse, dcs, ddm",
    flags: [...SCOPE, "output", "no-headers"],
    examples: [
      "restartd get workloads -A",
      "restartd get deployments,sts -n shop -l app=web",
      "restartd get dcs -o wide",
    ],
  },
  {
    kind: "operations",
    path: ["operations"],
    operands: "COMMAND",
    what: "look after operations (operations --help)",
    flags: [],
    examples: ["restartd operations list", "restartd operations watch NAME"],
  },
  {
    kind: "config",
    path: ["config"],
    operands: "COMMAND",
    what: "the client's file: get-contexts, current-context, use-context NAME, view",
    flags: ["output"],
    examples: ["restartd config get-contexts", "restartd config use-context prod"],
  },
  {
    kind: "completion",
    path: ["completion"],
    operands: "bash|zsh|fish",
    what: "print a script that completes this command line",
    flags: [],
    examples: [
      "source <(restartd completion bash)",
      "restartd completion fish > ~/.config/fish/completions/restartd.fish",
    ],
  },
  {
    kind: "version",
    path: ["version"],
    operands: "",
    what: "the client's version and the server's",
    flags: ["client", "output"],
    examples: ["restartd version", "restartd version --client"],
  },
  {
    kind: "help",
    path: ["help"],
    operands: "[COMMAND]",
    what: "what a command does; help exit-codes",
    flags: [],
    examples: ["restartd help restart", "restartd help exit-codes"],
  },
];

/** The flags that a command knows. */
export const flagsOf = ({ flags }: Spec): readonly FlagName[] => [...flags, ...COMMON];

/** The first words of the client's command lines: everything else is the server's. */
export const CLIENT_COMMANDS: readonly string[] = [...new Set(COMMANDS.map(({ path }) => path[0] ?? "")), "__complete"];

/** The command that a command line begins with, and what follows it. */
export function specOf(args: readonly string[]): { readonly spec: Spec; readonly rest: readonly string[] } | undefined {
  const spec = COMMANDS.find(({ path }) => path.every((word, index) => args[index] === word));
  return spec && { spec, rest: args.slice(spec.path.length) };
}

/** What `restartd COMMAND --help` prints. */
export function helpOf(spec: Spec): string {
  const { path, operands, what, examples } = spec;
  const flags = flagsOf(spec).map((name): [string, string] => {
    const flag: Flag = FLAGS[name];
    const value = flag.value === undefined ? "" : flag.bare === undefined ? ` ${flag.value}` : `[=${flag.bare}]`;
    return [`  ${flag.short === undefined ? "    " : `-${flag.short}, `}--${name}${value}`, flag.what];
  });
  const width = Math.max(...flags.map(([left]) => left.length)) + 2;
  return [
    `${what.charAt(0).toUpperCase()}${what.slice(1)}.`,
    "",
    `Usage: restartd ${[...path, operands, "[flags]"].filter((part) => part !== "").join(" ")}`,
    "",
    ...(operands.startsWith("TARGET") ? [TARGETS_HELP, ""] : []),
    "Examples:",
    ...examples.map((example) => `  ${example}`),
    "",
    "Flags:",
    ...flags.map(([left, right]) => `${left.padEnd(width)}${right}`),
    "",
  ].join("\n");
}

const TARGETS_HELP = `TARGET is TYPE/NAME, or TYPE NAME..., or TYPE with -l or --all, or a resource name (clusters/..., sites/..., projects/...), or the
address of its page in the console.
TYPE is deployment (deploy), statefulset (sts), daemonset (ds), rollout (ro), dcs, ddm, cse, arcgis, or RESOURCE.VERSION.GROUP.`;

/** What `restartd help` prints. */
export function helpOfAll(): string {
  const rows = COMMANDS.map(({ path, operands, what }) => [`  ${[...path, operands].join(" ")}`, what] as const);
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return [
    "restartd restarts things safely, and says what became of it.",
    "",
    "Usage: restartd COMMAND [flags]",
    "       restartd [serve] [options]    serves (restartd --help)",
    "",
    "Commands:",
    ...rows.map(([left, right]) => `${left.padEnd(width)}${right}`),
    "",
    "Examples:",
    "  restartd restart deployment/web -n shop --wait",
    "  restartd get workloads -A",
    "",
    "restartd COMMAND --help says more, restartd help exit-codes what the exit codes mean.",
    "",
  ].join("\n");
}
