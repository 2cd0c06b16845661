import { createLog, type Logger } from "../../src/server/log.ts";
import { wrongLine } from "./log-schema.ts";

/** A line of the log. */
export type LogLine = Readonly<Record<string, unknown>>;

/**
 * A log whose lines a test sees. One that is not as docs/operations/log.schema.json says fails the test's file.
 *
 * @param level the least important level that is written.
 * @param take what is done with a line, and with its text.
 */
export const heldLog = (level: string, take: (line: LogLine, text: string) => void = () => {}): Logger =>
  createLog(
    {
      write(text) {
        const line = JSON.parse(text);
        const wrong = wrongLine(line);
        // Not to whoever logs, which may be what handles errors: vitest reports it.
        if (wrong !== undefined) setImmediate(() => void Promise.reject(new Error(wrong)));
        take(line, text);
      },
    },
    level,
  );

/**
 * The line of a log that a process has written.
 *
 * @throws Error when it is none by docs/operations/log.schema.json.
 */
export function readLine(text: string): LogLine {
  const line = JSON.parse(text);
  const wrong = wrongLine(line);
  if (wrong !== undefined) throw new Error(wrong);
  return line;
}
