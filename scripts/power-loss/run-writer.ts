import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Kind, openKeeping } from "./stores.ts";

/** A {@link Writer} that says nothing for so long (ms) hangs. */
const SILENCE_MS = 30_000;

/** The process of writer.ts, with what it has been acknowledged. Killed at the end. */
export class Writer implements AsyncDisposable {
  readonly inserted: string[] = [];
  readonly permitted: string[] = [];
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** @param stopping kills it when it is aborted. */
  constructor(kind: Kind, file: string, stopping: AbortSignal) {
    stopping.throwIfAborted();
    const child = spawn(process.execPath, [join(import.meta.dirname, "writer.ts"), kind, file], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    stopping.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
    this.#child = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  /** How many writes were acknowledged. */
  get acknowledged(): number {
    return this.inserted.length + this.permitted.length;
  }

  /** Takes notice of so many acknowledgements more, or of fewer and the failure of a write. */
  async write(limit = Number.POSITIVE_INFINITY): Promise<string | undefined> {
    for (const end = this.acknowledged + limit; this.acknowledged < end; ) {
      const [event, ...rest] = (await this.#line()).split(" ");
      const text = rest.join(" ");
      if (event === "inserted") this.inserted.push(text);
      if (event === "permitted") this.permitted.push(text);
      if (event === "failed") return text;
    }
    return undefined;
  }

  /** Has it go on after a failure. */
  goOn(): void {
    this.#child.stdin?.write("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
  }

  async #line(): Promise<string> {
    const silence = Promise.withResolvers<never>();
    const timer = setTimeout(() => silence.reject(new Error("the writer hangs")), SILENCE_MS);
    try {
      const { done, value } = await Promise.race([this.#lines.next(), silence.promise]);
      if (done === true) throw new Error("the writer ended by itself");
      return value;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What of a writer's acknowledged writes is not there any more, by opening the file again. */
export async function lostOf({ inserted, permitted }: Writer, kind: Kind, file: string): Promise<string[]> {
  await using keeping = await openKeeping(kind, file);
  const lost: string[] = [];
  for (const name of inserted) {
    const kept = await keeping.find(name);
    if (kept === undefined || kept.audits < 1) lost.push(`insert of ${name}`);
    // What is there is there as a whole: the change with its row of the audit trail, or neither.
    else if ((kept.state === "SENDING") !== (kept.audits === 2)) lost.push(`half of a change of ${name}`);
  }
  for (const name of permitted) {
    if ((await keeping.find(name))?.state !== "SENDING") lost.push(`change of ${name}`);
  }
  return lost;
}
