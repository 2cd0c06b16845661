import { execFileSync } from "node:child_process";
import { cpSync, globSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";

const ROOT = resolve(import.meta.dirname, "..");

/** A server in JavaScript, with everything that it needs but Node. */
export interface Bundle {
  /** The file to run, relative to the folder. */
  readonly main: string;
  /** What went in, as esbuild says it. */
  readonly metafile: Metafile;
}

/**
 * Bundles the server: `node scripts/bundle.ts [FOLDER]`, by default dist/bundle.
 *
 * Files stand as deep as in the sources, lib/restartd/*.js beside gen/console/, since the program looks for its pages from where it is.
 *
 * @param folder is made anew.
 */
export async function bundleServer(folder: string): Promise<Bundle> {
  rmSync(folder, { recursive: true, force: true });
  const workers = findWorkers();
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ["src/main.ts", ...workers],
    entryNames: "[name]",
    outdir: join(folder, "lib/restartd"),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    charset: "utf8",
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
    define: { "process.env.RESTARTD_COMMIT": JSON.stringify(commit()) },
    // Some packages are CommonJS and ask for what modules do not have.
    banner: {
      js: [
        'import { createRequire as __createRequire } from "node:module";',
        "const require = __createRequire(import.meta.url), __dirname = import.meta.dirname;",
      ].join("\n"),
    },
    // pg tries its native binding, which nobody here installs.
    external: ["pg-native"],
    plugins: [workersByName],
  });
  cpSync(join(ROOT, "gen/console"), join(folder, "gen/console"), { recursive: true });
  return { main: "lib/restartd/main.js", metafile };
}

/** The commit that is bundled; empty outside a repository. */
export function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "";
  }
}

/** Files that are started as threads: `new URL("./name.ts", import.meta.url)`. */
const WORKER = /new URL\("(\.\/[^"]+)\.ts", import\.meta\.url\)/g;

function findWorkers(): string[] {
  const files = globSync("src/**/*.ts", { cwd: ROOT }).sort(); // git is not everywhere where it is bundled
  return files.flatMap((file) =>
    [...readFileSync(join(ROOT, file), "utf8").matchAll(WORKER)].map(([, name]) => join(dirname(file), `${name}.ts`)),
  );
}

/** All outputs stand in one folder, and are JavaScript. */
const workersByName: Plugin = {
  name: "workers",
  setup(builder) {
    builder.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      const contents = text.replace(WORKER, (_, name: string) => `new URL("./${basename(name)}.js", import.meta.url)`);
      return contents === text ? undefined : { contents, loader: "ts" };
    });
  },
};

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(ROOT, "dist/bundle"));
  const { main } = await bundleServer(folder);
  process.stdout.write(`${join(folder, main)}\n`);
}
