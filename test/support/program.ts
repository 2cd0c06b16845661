import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Finished, NODE, ROOT, run } from "./command.ts";
import { temporaryFolder } from "./folder.ts";
import { type LogLine, readLine } from "./log.ts";

const MAIN = join(ROOT, "src/main.ts");

/** The real program, as a process. */
export interface Program extends AsyncDisposable {
  /** Where it says that it listens. */
  readonly url: string;
  /** The host and port of {@link url}. */
  readonly address: string;
  /** Milliseconds from its start to the line that says so. */
  readonly readyMs: number;
  /** Everything on stdout so far. */
  readonly stdout: readonly string[];
  /** Every line of the log so far. Whatever on stderr is none by docs/operations/log.schema.json fails {@link stop} and the dispose. */
  readonly log: readonly LogLine[];
  /** The first line of the log, from now on or before, that `matches`; rejects when the process ends without one. */
  line(matches: (line: LogLine) => boolean): Promise<LogLine>;
  /** The process, for signals in between. */
  readonly process: ChildProcess;
  /** Sends a signal, waits for the end and answers the exit code; null when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Variables beside the process's own. */
export type Environment = Readonly<Record<string, string>>;

/** Runs the program until it ends by itself: for command lines that start nothing. Lines of its log have to be some. */
export async function runProgram(args: readonly string[], env: Environment = {}): Promise<Finished> {
  const finished = await run(NODE, [MAIN, ...args], { env });
  for (const line of finished.stderr.split("\n")) if (line.startsWith("{")) readLine(line);
  return finished;
}

/** Starts the program and waits until it says where it listens. Default: the sandbox, on a free port. */
export async function startProgram(
  args: readonly string[] = ["--listen", "127.0.0.1:0"],
  env: Environment = {},
): Promise<Program> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder()); // a killed sandbox cannot remove its files itself
  const started = performance.now();
  const child = spawn(NODE, [MAIN, ...args], {
    cwd: folder.path, // where restartd.db lands when no configuration says where
    env: { ...process.env, TMPDIR: folder.path, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = once(child, "close").then(([code]: (number | null)[]) => code ?? null);
  const log = new LogLines(child.stderr, ended);
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    const code = await ended;
    process.off("exit", kill);
    if (log.strays.length > 0) throw new Error(`on stderr, but no line of the log:\n${log.strays.join("\n")}`);
    return code;
  };
  stack.defer(async () => void (await end("SIGKILL")));
  const stdout: string[] = [];
  const announced = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    stdout.push(line);
    announced.resolve(line);
  });
  void ended.then((code) => announced.reject(new Error(`restartd ended (${code}) before it listened:\n${log.text}`)));
  const url = /^restartd listening on (https?:\/\/\S+)$/.exec(await announced.promise)?.[1];
  const readyMs = performance.now() - started;
  if (url === undefined) throw new Error(`restartd said ${JSON.stringify(stdout)}`);
  const parts = stack.move();
  return {
    url,
    address: new URL(url).host,
    readyMs,
    stdout,
    log: log.lines,
    line: (matches) => log.line(matches),
    process: child,
    stop: (signal = "SIGTERM") => end(signal),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** The JSON lines of a stream, and whoever waits for one. */
class LogLines {
  readonly lines: LogLine[] = [];
  /** Lines that are none by the schema, and why. */
  readonly strays: string[] = [];
  readonly #changed = new EventTarget();
  #over = false;

  constructor(stream: NodeJS.ReadableStream, ended: Promise<unknown>) {
    createInterface({ input: stream }).on("line", (line) => {
      try {
        this.lines.push(readLine(line));
      } catch (error) {
        this.strays.push(`${error instanceof Error ? error.message : error}: ${line}`);
      }
      this.#changed.dispatchEvent(new Event("change"));
    });
    void ended.then(() => {
      this.#over = true;
      this.#changed.dispatchEvent(new Event("change"));
    });
  }

  get text(): string {
    return [...this.strays, ...this.lines.map((line) => JSON.stringify(line))].join("\n");
  }

  async line(matches: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const found = this.lines.find(matches);
      if (found !== undefined) return found;
      if (this.#over) throw new Error(`restartd ended without such a line in its log:\n${this.text}`);
      await once(this.#changed, "change");
    }
  }
}
