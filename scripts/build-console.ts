/**
 * Makes gen/console out of src/console: `npm run generate` runs it. The same sources make the same bytes.
 *
 * Fails when the page grows over its budget: what is not needed at the first look does not belong into it.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";
import manifest from "../package.json" with { type: "json" };

const ROOT = join(import.meta.dirname, "..");
const SOURCE = join(ROOT, "src/console");
const OUTPUT = join(ROOT, "gen/console");

/** Messages without rules and annotations (buf.gen.console.yaml). */
const SLIM = join(ROOT, "node_modules/.cache/restartd/console-gen");

/** Bytes after gzip -9. */
const BUDGETS: Readonly<Record<string, number>> = { js: 70_000, css: 6_000 };

/** The page gets the slim messages wherever its source names those that the server uses. */
const slimMessages: Plugin = {
  name: "slim messages",
  setup({ onResolve }) {
    onResolve({ filter: /\/gen\/.*_pb\.ts$/ }, ({ path }) => ({ path: join(SLIM, path.replace(/^.*?\/gen\//, "")) }));
  },
};

/** The page speaks binary alone: protobuf's JSON, which connect would bring along, is a tenth of it. Details of errors are binary too. */
const noJson: Plugin = {
  name: "no JSON",
  setup({ onLoad }) {
    onLoad({ filter: /@bufbuild\/protobuf\/dist\/esm\/(from|to)-json\.js$/ }, ({ path }) => {
      const names = [...readFileSync(path, "utf8").matchAll(/^export function (\w+)/gm)].map(([, name]) => name);
      const bodies = names.map(
        (name) => `export function ${name}() { throw new Error("${name}: this page speaks binary alone"); }`,
      );
      return { contents: bodies.join("\n"), loader: "js" };
    });
  },
};

const { outputFiles } = await build({
  entryPoints: { main: join(SOURCE, "main.tsx"), style: join(SOURCE, "style.css") },
  absWorkingDir: ROOT,
  outdir: OUTPUT,
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: ["es2024", "chrome120", "firefox121", "safari17.4"],
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  define: { RESTARTD_VERSION: JSON.stringify(manifest.version) },
  plugins: [slimMessages, noJson],
  write: false,
});

rmSync(OUTPUT, { recursive: true, force: true });
mkdirSync(join(OUTPUT, "assets"), { recursive: true });

/** Writes an asset under a name that tells its content, and answers the name. */
function asset(name: string, extension: string, content: Uint8Array): string {
  const hash = createHash("sha256")
    .update(content)
    .digest("base64url")
    .replaceAll(/[^A-Za-z0-9]/g, "")
    .slice(0, 10);
  const path = `assets/${name}-${hash}.${extension}`;
  writeFileSync(join(OUTPUT, path), content);
  const size = gzipSync(content, { level: 9 }).byteLength;
  const budget = BUDGETS[extension];
  process.stderr.write(`${path}: ${size} bytes packed${budget === undefined ? "" : `, of ${budget}`}\n`);
  if (budget !== undefined && size > budget) {
    process.stderr.write(`${path} is over its budget of ${budget} bytes\n`);
    process.exitCode = 1;
  }
  return path;
}

const made = (extension: string): Uint8Array => {
  const file = outputFiles.find(({ path }) => path.endsWith(`.${extension}`));
  if (file === undefined) throw new Error(`esbuild made no .${extension}`);
  return file.contents;
};

const names: Readonly<Record<string, string>> = {
  SCRIPT: asset("main", "js", made("js")),
  STYLE: asset("style", "css", made("css")),
  ICON: asset("icon", "svg", readFileSync(join(SOURCE, "icon.svg"))),
};
const page = readFileSync(join(SOURCE, "index.html"), "utf8").replaceAll(/%(\w+)%/g, (_, name) => names[name] ?? "");
writeFileSync(join(OUTPUT, "index.html"), page);
