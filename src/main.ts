/**
 * The way in. What the command line can say of itself is said before anything of a server is loaded, which takes most of the time that a
 * start takes; and what was loaded once is kept compiled, where this may be written to.
 */
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { HELP } from "./cli.ts";
import { CLIENT_COMMANDS } from "./commands/table.ts";
import { boundHeap } from "./heap.ts";

const args = process.argv.slice(2);
const [first, second] = args;
/** Not the folder of temporary files that Node would take, where others could put code: it is run as it is found. */
const COMPILED = join(import.meta.dirname, "../node_modules/.cache/restartd");
const isHelp = (word: string | undefined): boolean => word === "--help" || word === "-h";

if (isHelp(first) && second === undefined) {
  process.stdout.write(HELP);
} else if (CLIENT_COMMANDS.includes(first ?? "")) {
  enableCompileCache(COMPILED);
  const { client } = await import("./client.ts");
  await client(args);
} else {
  boundHeap();
  enableCompileCache(COMPILED);
  await import("./program.ts");
}
