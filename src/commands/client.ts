import { readFileSync } from "node:fs";
import { CommandMistake, type Scope, type Session } from "../core/command.ts";
import { isLoopbackHost } from "../core/loopback.ts";
import { readFailure } from "../core/problem.ts";
import type { Parsed } from "./parse.ts";
import { type Channel, openChannel } from "./transport.ts";

/** A terminal, as far as the command line needs one. */
export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  /** Hides the cursor, or shows it again; however the process ends, it is shown. */
  readonly cursor: (shown: boolean) => void;
}

/** What a command works with. */
export interface ClientContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Epoch ms. */
  readonly now: () => number;
  /** A new request id. */
  readonly newId: () => string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where lines are rewritten: stdout, where it is a terminal that can. */
  readonly terminal?: Terminal | undefined;
  /** Asks a person, on stderr; undefined where nobody can be asked. Answers undefined at the end of what they type. */
  readonly ask?: ((question: string) => Promise<string | undefined>) | undefined;
  /** Aborted by the first signal; its reason is the exit code. */
  readonly interrupted: AbortSignal;
  /** Waits; rejects when the signal is aborted. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Whether stderr is coloured where nobody says. */
  readonly colors: boolean;
}

/** A server, and who asks it. */
export interface Client extends Session, Channel {
  readonly address: string;
}

/** Defaults of flags, out of the client's file. */
export interface Defaults extends Scope {
  readonly address?: string | undefined;
  readonly token?: string | undefined;
  readonly ca?: string | undefined;
}

/** Where the server is when nobody says. */
export const DEFAULT_ADDRESS = "http://127.0.0.1:8080";

/** Milliseconds that a read may take. */
const READ_LIMIT_MS = 30_000;

/** What flags say about the server. */
export interface ServerFlags {
  readonly address: string | undefined;
  readonly tokenFile: string | undefined;
  readonly ca: string | undefined;
  /** Whether many streams will be open at a time. */
  readonly many?: boolean;
}

/**
 * How the server is talked to, by flags, then the environment, then the context.
 *
 * @throws CommandMistake
 */
export function connect(
  flags: ServerFlags,
  { env }: Pick<ClientContext, "env">,
  defaults: Defaults,
): Channel & { readonly address: string } {
  const address = addressOf(flags.address ?? unempty(env.RESTARTD_ADDRESS) ?? defaults.address);
  const tokenFile = flags.tokenFile ?? unempty(env.RESTARTD_TOKEN_FILE);
  const token = tokenFile === undefined ? (unempty(env.RESTARTD_TOKEN) ?? defaults.token ?? "") : readToken(tokenFile);
  const { many } = flags;
  return { address, ...openChannel({ address, token, ca: flags.ca ?? defaults.ca, ...(many && { many }) }) };
}

/**
 * Opens a client by flags, then the environment, then the context.
 *
 * @throws CommandMistake
 */
export function openClient(parsed: Parsed, context: ClientContext, defaults: Defaults): Client {
  const { env } = context;
  const flags = {
    address: parsed.text("address"),
    tokenFile: parsed.text("token-file"),
    ca: parsed.text("ca"),
    many: parsed.has("wait") && namesSeveral(parsed),
  };
  const channel = connect(flags, context, defaults);
  const pick = (flag: "cluster" | "namespace" | "site" | "project", variable: string): string | undefined =>
    parsed.text(flag) ?? unempty(env[variable]) ?? defaults[flag];
  if (parsed.has("verbose")) context.err(`address: ${channel.address}\n`);
  return {
    ...channel,
    reading: { signal: context.interrupted, timeoutMs: READ_LIMIT_MS },
    scope: {
      cluster: pick("cluster", "RESTARTD_CLUSTER"),
      namespace: pick("namespace", "RESTARTD_NAMESPACE"),
      allNamespaces: parsed.has("all-namespaces"),
      site: pick("site", "RESTARTD_SITE"),
      project: pick("project", "RESTARTD_PROJECT"),
      enterpriseProject: parsed.text("enterprise-project") ?? defaults.enterpriseProject,
    },
  };
}

/** Whether a command line may mean several targets: TYPE NAME is one. */
function namesSeveral({ operands, has, text }: Parsed): boolean {
  const one = operands[0]?.includes("/") ? 1 : 2;
  return operands.length > one || has("all") || text("selector") !== undefined;
}

/** A variable that is set to nothing is not set. */
export const unempty = (text: string | undefined): string | undefined => (text === "" ? undefined : text);

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new CommandMistake(`--token-file ${file} cannot be read: ${readFailure(error)}`);
  }
}

/**
 * The base URL of a server, of a URL or HOST:PORT.
 *
 * @throws CommandMistake
 */
export function addressOf(text = DEFAULT_ADDRESS): string {
  const url = parseUrl(text.includes("://") ? text : `http://${text}`);
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === "") {
    throw new CommandMistake(`--address ${JSON.stringify(text)} is not a URL such as ${DEFAULT_ADDRESS}`);
  }
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname)) {
    throw new CommandMistake(`--address ${JSON.stringify(text)}: http:// is for this machine alone; use https://`);
  }
  return url.href.replace(/\/$/, "");
}

/** Node 20 has no URL.parse. */
export function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
