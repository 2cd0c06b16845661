import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientContext, Terminal } from "./commands/client.ts";
import { runClient } from "./commands/index.ts";

/** Signals that end the waiting, and their exit codes. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

/** Runs the client's part of the command line in this process: what it writes, asks and listens to. Sets the exit code. */
export async function client(args: readonly string[]): Promise<void> {
  const { stdin, stdout, stderr, env } = process;
  const isCi = env.CI !== undefined && env.CI !== "" && env.CI !== "false";
  const isTerminal = stdout.isTTY === true && env.TERM !== "dumb" && !isCi;
  // Whoever reads no further, such as head, is no reason to complain.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    stderr.write(`error: what was found cannot be written: ${error.message}\n`);
    process.exit(1);
  });
  const interrupted = new AbortController();
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.once(signal, () => {
      interrupted.abort(code);
      process.once(signal, () => process.exit(code)); // a second one ends it at once
    });
  }
  const context: ClientContext = {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    now: () => Date.now(),
    newId: randomUUID,
    env,
    terminal: isTerminal ? terminalOf(stdout) : undefined,
    ask:
      stdin.isTTY === true && stderr.isTTY === true && !isCi
        ? (question) => ask(question, interrupted.signal)
        : undefined,
    interrupted: interrupted.signal,
    sleep: (ms, signal) => sleep(ms, undefined, { signal }),
    colors: wantsColor(),
  };
  process.exitCode = await runClient(args, context);
}

function terminalOf(stdout: NodeJS.WriteStream): Terminal {
  let hidden = false;
  process.once("exit", () => {
    if (hidden) stdout.write(SHOW_CURSOR);
  });
  return {
    get columns() {
      return stdout.columns || 80; // it may be made wider meanwhile
    },
    get rows() {
      return stdout.rows || 24;
    },
    cursor(shown) {
      hidden = !shown;
      stdout.write(shown ? SHOW_CURSOR : HIDE_CURSOR);
    },
  };
}

/** By the conventions: NO_COLOR and TERM=dumb take colour away, FORCE_COLOR gives it where no terminal is. */
function wantsColor(): boolean {
  const { env, stderr } = process;
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== "") return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "0") return true;
  return stderr.isTTY === true && env.TERM !== "dumb";
}

/** Asks on stderr; undefined at the end of what is typed, and when a signal comes. */
async function ask(question: string, interrupted: AbortSignal): Promise<string | undefined> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  try {
    return await new Promise((resolve) => {
      interrupted.addEventListener("abort", () => resolve(undefined), { once: true });
      lines.once("close", () => resolve(undefined));
      lines.once("line", resolve);
      process.stderr.write(question);
    });
  } finally {
    lines.close();
  }
}
