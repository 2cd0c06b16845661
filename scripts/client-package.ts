import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");
const SOURCE = join(ROOT, "clients/typescript");

/**
 * What its messages are generated from. Without rules and annotations, so that two peers are all that it needs; the configuration is no
 * caller's business.
 */
const TEMPLATE = {
  version: "v2",
  inputs: [
    { directory: "proto", exclude_types: ["buf.validate", "google.api", "restart.config.v1"] },
    {
      directory: "node_modules/google-proto-files",
      paths: ["longrunning/operations.proto", "rpc/error_details.proto", "rpc/status.proto"].map(
        (path) => `node_modules/google-proto-files/google/${path}`,
      ),
      exclude_types: ["google.api"],
    },
    { directory: "node_modules/grpc-health-check/proto" },
  ],
};

/** Packages whose names others have too. */
const NAMESPACES: Readonly<Record<string, string>> = {
  "restart/dcs/v1": "dcs",
  "restart/ddm/v1": "ddm",
};

/**
 * Builds the npm package @restartd/client: `node scripts/client-package.ts [FOLDER]`, by default dist/client.
 *
 * @param folder is made anew: what `npm pack` takes.
 */
export function buildClientPackage(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  const work = join(ROOT, "node_modules/.cache/restartd/client-package");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  cpSync(join(SOURCE, "src"), join(work, "src"), { recursive: true });
  const out = join(work, "src/gen");
  const plugin = {
    local: [process.execPath, join(ROOT, "node_modules/.bin/protoc-gen-es")],
    out,
    opt: ["target=ts", "import_extension=js", "erasable_syntax=true"],
  };
  const program = (name: string): string => join(ROOT, "node_modules/.bin", name);
  const run = (name: string, ...args: string[]): void => {
    execFileSync(program(name), args, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  };
  execFileSync(process.execPath, ["scripts/materialise-validate.ts"], { cwd: ROOT });
  run("buf", "generate", "--template", JSON.stringify({ ...TEMPLATE, plugins: [plugin] }));
  writeFileSync(join(work, "src/messages.ts"), messages(out, join(work, "src")));
  const options = {
    extends: join(SOURCE, "tsconfig.json"),
    compilerOptions: { rootDir: "src", outDir: "dist" },
    include: ["src"],
  };
  writeFileSync(join(work, "tsconfig.json"), JSON.stringify(options));
  run("tsc", "-p", join(work, "tsconfig.json"));
  mkdirSync(folder, { recursive: true });
  for (const name of ["package.json", "README.md"]) cpSync(join(SOURCE, name), join(folder, name));
  cpSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  cpSync(join(work, "dist"), join(folder, "dist"), { recursive: true });
}

/** One file that exports every message and service; packages whose names collide become namespaces, each by a file of its own. */
function messages(generated: string, source: string): string {
  // Rules and options are about the schema, and empty here.
  const files = globSync("{restart,google,health}/**/*_pb.ts", { cwd: generated })
    .filter((file) => !/\/rules_pb\.ts$|^restart\/options\//.test(file))
    .sort();
  const lines: string[] = [];
  const spaces = new Map<string, string[]>();
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf("/"));
    const module = `./gen/${file.replace(/\.ts$/, ".js")}`;
    const space = NAMESPACES[folder];
    if (space === undefined) lines.push(`export * from "${module}";`);
    else spaces.set(space, [...(spaces.get(space) ?? []), `export * from "${module}";`]);
  }
  for (const [space, exported] of spaces) {
    writeFileSync(join(source, `${space}.ts`), `${exported.join("\n")}\n`);
    const alias = `${space.charAt(0).toUpperCase()}${space.slice(1)}InstanceService`;
    lines.push(`export * as ${space} from "./${space}.js";`);
    lines.push(`export { InstanceService as ${alias} } from "./${space}.js";`);
  }
  return `${lines.join("\n")}\n`;
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(ROOT, "dist/client"));
  buildClientPackage(folder);
  process.stdout.write(`${folder}\n`);
}
