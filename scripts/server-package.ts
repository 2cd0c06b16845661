import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { type Bundle, bundleServer } from "./bundle.ts";

const ROOT = resolve(import.meta.dirname, "..");

/** The licences of what is bundled, which they want to be shipped with it. */
const NOTICES = "THIRD_PARTY_NOTICES.md";

/** The oldest Node that runs it: node:sqlite without a warning. */
const OLDEST = "24.15";

/**
 * Builds the npm package restartd: `node scripts/server-package.ts [FOLDER]`, by default dist/package. It is the bundle, and has no
 * dependencies.
 *
 * @param folder is made anew: what `npm pack` takes.
 */
export async function buildServerPackage(folder: string): Promise<Bundle> {
  const bundle = await bundleServer(folder);
  cpSync(join(ROOT, "gen/client"), join(folder, "gen/client"), { recursive: true });
  for (const name of ["README.md", "LICENSE", "CHANGELOG.md", NOTICES]) cpSync(join(ROOT, name), join(folder, name));
  const { name, version, description } = manifest;
  const published = {
    name,
    version,
    description,
    license: "Apache-2.0",
    type: "module",
    bin: { restartd: "bin/restartd.cjs" },
    engines: { node: `>=${OLDEST}` },
    files: ["bin", "gen", "lib", "CHANGELOG.md", NOTICES],
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(published, undefined, 2)}\n`);
  mkdirSync(join(folder, "bin"), { recursive: true });
  writeFileSync(join(folder, "bin/restartd.cjs"), SHIM);
  writeFileSync(join(folder, "bin/start.cjs"), start(bundle.main));
  chmodSync(join(folder, "bin/restartd.cjs"), 0o755);
  return bundle;
}

/** What is run first. Any Node can read it, however old, so that an old one is told in a sentence and not by a syntax error. */
const SHIM = `#!/usr/bin/env node
"use strict";
var OLDEST = "${OLDEST}";
var have = process.versions.node.split(".").map(Number);
var need = OLDEST.split(".").map(Number);
if (have[0] < need[0] || (have[0] === need[0] && have[1] < need[1])) {
  process.stderr.write("restartd needs Node.js " + OLDEST + " or newer, and this is " + process.versions.node + "\\n");
  process.exitCode = 1;
} else {
  require("./start.cjs");
}
`;

/** The client where its words are used, else the server, in this very process. */
function start(main: string): string {
  const [, words] = /^const CLIENT = (.*);$/m.exec(readFileSync(join(ROOT, "bin/restartd.js"), "utf8")) ?? [];
  if (words === undefined) throw new Error("bin/restartd.js does not say which commands are the client's");
  return `"use strict";
const args = process.argv.slice(2);
const ended = ${words}.test(args[0] ?? "")
  ? import("../gen/client/restartd.js").then(({ client }) => client(args))
  : import("../${main}");
ended.catch((error) => {
  process.stderr.write(\`restartd: \${error?.stack ?? error}\\n\`);
  process.exitCode = 1;
});
`;
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(ROOT, "dist/package"));
  await buildServerPackage(folder);
  process.stdout.write(`${folder}\n`);
}
