/**
 * For work on the console: `npm run console` serves the sandbox, and whenever a source of the page changes makes the page anew and starts
 * the server again. What follows `--` is the server's.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { context } from "esbuild";

const ROOT = join(import.meta.dirname, "..");
const SOURCE = join(ROOT, "src/console");

let server: ChildProcess | undefined;

async function again(): Promise<void> {
  const { status } = spawnSync(process.execPath, [join(ROOT, "scripts/build-console.ts")], { stdio: "inherit" });
  if (status !== 0) return; // it has said why; what was served before stays
  if (server?.exitCode === null) {
    server.kill();
    await once(server, "exit");
  }
  server = spawn(process.execPath, [join(ROOT, "src/main.ts"), ...process.argv.slice(2)], { stdio: "inherit" });
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    server?.kill(signal);
    process.exit();
  });
}

// Bundled to know which files belong to the page, and when one of them changes.
const watching = await context({
  entryPoints: [join(SOURCE, "main.tsx"), join(SOURCE, "style.css")],
  outdir: join(ROOT, "gen/console"),
  bundle: true,
  write: false,
  logLevel: "error",
  jsx: "automatic",
  jsxImportSource: "preact",
  format: "esm",
  plugins: [
    {
      name: "again",
      setup: ({ onEnd }) => onEnd(({ errors }) => (errors.length === 0 ? again() : undefined)),
    },
  ],
});
await watching.watch();
