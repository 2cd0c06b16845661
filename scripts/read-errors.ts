/** Makes gen/advice.ts out of docs/errors.md: what to do about each reason, for the console and the command line. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");

const rows = readFileSync(join(ROOT, "docs/errors.md"), "utf8")
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter(([, reason]) => /^[A-Z][A-Z_]+( \*)?$/.test(reason ?? ""))
  .map(([, reason = "", , , advice = ""]) => [reason.replace(" *", ""), advice.replaceAll("`", "")] as const);

const lines = rows.map(([reason, advice]) => `  ${reason}: ${JSON.stringify(advice)},\n`);
writeFileSync(
  join(ROOT, "gen/advice.ts"),
  `// Made of docs/errors.md by scripts/read-errors.ts; do not edit.\n
/** What to do about a failure, by its reason. */
export const ADVICE: Readonly<Record<string, string | undefined>> = {\n${lines.join("")}};\n`,
);
