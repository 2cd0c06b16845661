/**
 * Makes gen/client/restartd.js out of src/client.ts: `npm run generate` runs it. The same sources make the same bytes.
 *
 * One file of plain JavaScript, that starts fast and runs on Node 20, whose modules are not looked for one by one.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import manifest from "../package.json" with { type: "json" };

const ROOT = join(import.meta.dirname, "..");
const OUTPUT = join(ROOT, "gen/client");

/** Messages without rules and annotations (buf.gen.console.yaml). */
const SLIM = join(ROOT, "node_modules/.cache/restartd/console-gen");

/** The client checks nothing that the server checks: it needs no rules. */
const slimMessages: Plugin = {
  name: "slim messages",
  setup({ onResolve }) {
    onResolve({ filter: /\/gen\/.*_pb\.ts$/ }, ({ path }) => {
      const slim = join(SLIM, path.replace(/^.*?\/gen\//, ""));
      return existsSync(slim) ? { path: slim } : undefined;
    });
  },
};

/** Modules that not every command needs, and what connect-node uses of them: they are loaded when it does. */
const LATE: ReadonlyMap<string, readonly string[]> = new Map([
  ["node:https", ["request"]],
  ["node:http2", ["connect", "constants"]],
]);

const lateExport = (path: string, name: string): string =>
  `Object.defineProperty(exports, "${name}", { enumerable: true, get: () => require("${path}").${name} });\n`;

/**
 * Node's own modules are asked for by require: an import reads everything that they export, and what node:http exports loads a second
 * HTTP client, for half of the time that a start takes.
 */
const builtinsByRequire: Plugin = {
  name: "builtins by require",
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^[a-z_:0-9/]+$/ }, ({ path, namespace }) => {
      if (!isBuiltin(path)) return undefined;
      const name = path.replace(/^(node:)?/, "node:");
      return namespace === "builtin" ? { path: name, external: true } : { path: name, namespace: "builtin" };
    });
    onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents:
        LATE.get(path)
          ?.map((name) => lateExport(path, name))
          .join("") ?? `module.exports = require(${JSON.stringify(path)});`,
      loader: "js",
    }));
  },
};

/** The version is all that the client says of its package: a file that another field changed would have to be made anew. */
const versionAlone: Plugin = {
  name: "version alone",
  setup({ onLoad }) {
    onLoad({ filter: /\/package\.json$/ }, () => ({
      contents: JSON.stringify({ version: manifest.version }),
      loader: "json",
    }));
  },
};

const { outputFiles } = await build({
  entryPoints: [join(ROOT, "src/client.ts")],
  absWorkingDir: ROOT,
  outfile: join(OUTPUT, "restartd.js"),
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  charset: "utf8",
  legalComments: "none",
  minify: true,
  define: { "process.env.RESTARTD_COMMIT": '""' },
  // Some packages are CommonJS and ask for what modules do not have.
  banner: {
    js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
  },
  plugins: [versionAlone, slimMessages, builtinsByRequire],
  write: false,
});
const [file] = outputFiles;
if (file === undefined) throw new Error("esbuild made no file");
rmSync(OUTPUT, { recursive: true, force: true });
mkdirSync(OUTPUT, { recursive: true });
writeFileSync(file.path, file.contents);
process.stderr.write(`client/restartd.js: ${file.contents.length} bytes\n`);
