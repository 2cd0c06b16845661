import { constants, fstatSync, openSync, write } from "node:fs";
import { isatty } from "node:tty";
import type { Message } from "./log-messages.ts";

/** Where lines of the log go. It takes every line at once, and never waits for whoever reads them. */
export interface LogOutput {
  /** Takes a line. It is dropped, and counted, when too many lines wait to be written already. */
  write(line: string): void;
  /**
   * Waits until everything that was taken is written, or one try to write it has failed.
   *
   * @param limitMs waits at most so many milliseconds.
   * @returns whether nothing is left.
   */
  end(limitMs: number): Promise<boolean>;
}

/** Writes some bytes, without ever blocking the process, and says how many of them, or why none. */
export type WriteBytes = (bytes: Buffer, done: (error: Error | null, written: number) => void) => void;

/** At most so many bytes wait to be written. */
const MAX_WAITING = 1024 * 1024;

/** What could not be written is tried again after so many milliseconds. */
const RETRY_MS = 500;

/**
 * Lines to stderr, whatever it is: a terminal, a file on a disk that may be full, a pipe that nobody may read.
 *
 * @param now the wall clock.
 */
export const openLogOutput = (now: () => Date): LogOutput => createLogOutput(writerOf(2), now);

/**
 * A queue of lines before what may be slow, stuck or full. Once it can be written again, a line says how many were dropped.
 *
 * @param now the wall clock.
 * @param maxWaiting default 1 MiB.
 */
export function createLogOutput(writeBytes: WriteBytes, now: () => Date, maxWaiting = MAX_WAITING): LogOutput {
  let lines: string[] = [];
  let waiting = 0;
  let dropped = 0;
  let idle = true;
  let failed = false;
  let whenTried = Promise.withResolvers<void>();
  const take = (line: string): void => {
    lines.push(line);
    waiting += Buffer.byteLength(line);
  };
  const send = (bytes: Buffer): void => {
    idle = false;
    writeBytes(bytes, (error, written) => {
      failed = error !== null;
      const left = bytes.subarray(failed ? 0 : written);
      waiting -= bytes.length - left.length;
      if (failed) setTimeout(() => send(left), RETRY_MS).unref();
      else if (left.length > 0) send(left);
      else next();
      whenTried.resolve();
      whenTried = Promise.withResolvers();
    });
  };
  const next = (): void => {
    if (dropped > 0) {
      const msg: Message = "the log could not be written: lines were dropped";
      take(`${JSON.stringify({ level: "warn", time: now().toISOString(), lines: dropped, msg })}\n`);
      dropped = 0;
    }
    idle = lines.length === 0;
    if (idle) return;
    const bytes = Buffer.from(lines.join(""));
    lines = [];
    send(bytes);
  };
  return {
    write(line) {
      if (waiting + line.length > maxWaiting) dropped++;
      else take(line);
      if (idle) next();
    },
    async end(limitMs) {
      const limit = Promise.withResolvers<"late">();
      const timer = setTimeout(() => limit.resolve("late"), limitMs);
      while (!idle && !failed && (await Promise.race([whenTried.promise, limit.promise])) !== "late");
      clearTimeout(timer);
      return idle;
    },
  };
}

function writerOf(fd: number): WriteBytes {
  const { stderr } = process;
  // Whatever writes to it beside the log, Node's own warnings say, must not end the process either.
  stderr.on("error", () => {});
  const stat = fstatSync(fd);
  if (stat.isFIFO() || stat.isSocket()) {
    return (bytes, done) => void stderr.write(bytes, (error) => done(error ?? null, bytes.length));
  }
  const file = isatty(fd) ? openTerminal(fd) : fd;
  return (bytes, done) => write(file, bytes, done);
}

/** A terminal can be stopped by a key, and whoever writes to it then waits; opened anew, it can be told not to let us wait. */
function openTerminal(fd: number): number {
  try {
    return openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd; // such as where the terminal is another user's
  }
}
