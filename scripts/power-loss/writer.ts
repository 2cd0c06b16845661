/**
 * `node writer.ts store|control FILE`: writes operations, W1 and W2 of each, and prints a line for each write as soon as it is
 * acknowledged. When a write fails it says so and goes on with the next operation once it is sent a line. It ends by being killed.
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { record } from "../../test/operations/records.ts";
import { type Kind, openKeeping } from "./stores.ts";

/** At once, not when there is time: whoever reads it has it before the next write begins. */
const say = (line: string): void => void writeSync(1, `${line}\n`);

const [kind, file = ""] = process.argv.slice(2);
const keeping = await openKeeping(kind as Kind, file);
const told = createInterface(process.stdin)[Symbol.asyncIterator]();
say("ready");
for (;;) {
  const one = record();
  try {
    await keeping.insert(one);
    say(`inserted ${one.name}`);
    await keeping.permit(one);
    say(`permitted ${one.name}`);
  } catch (error) {
    say(`failed ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`);
    await told.next();
  }
}
