/**
 * The way in. What the command line can say of itself is said before anything of a server is loaded, which takes most of the time that a
 * start takes; and what was loaded once is kept compiled, where this may be written to.
 */
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { HELP } from "./cli.ts";

// Not the folder of temporary files that Node would take, where others could put code: it is run as it is found.
enableCompileCache(join(import.meta.dirname, "../node_modules/.cache/restartd"));

const [first, second, ...others] = process.argv.slice(2);
const isHelp = (word: string | undefined): boolean => word === "--help" || word === "-h";

if (isHelp(first) && second === undefined) {
  process.stdout.write(HELP);
} else if (first === "operations" && isHelp(second) && others.length === 0) {
  const { OPERATIONS_HELP } = await import("./commands/usage.ts");
  process.stdout.write(OPERATIONS_HELP);
} else {
  await import("./program.ts");
}
