import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** One entry of an image's file system. Times, owners and order are the image's: nothing of the machine that makes it shows. */
export interface Entry {
  /** Absolute, without a slash at its end. */
  readonly path: string;
  readonly kind: "folder" | "file" | "link";
  /** Default: 0755 for folders and what is run, 0644 for other files. */
  readonly mode?: number;
  /** User and group. Default 0: nothing that runs may change it. */
  readonly owner?: number;
  readonly content?: Uint8Array;
  /** Of a link: where it leads. */
  readonly to?: string;
}

/** Who the server runs as: nobody in particular, as in distroless images. */
export const USER = 65532;

/** Where Node is in the image. */
export const NODE = "/usr/bin/node";

/** Where the bundle is in the image. */
export const APP = "/usr/share/restartd";

/**
 * What Node needs to run: itself, its libraries with their licences, and the folders that a container expects. No shell, no packages.
 *
 * @param node its executable on this machine.
 */
export function runtimeEntries(node: string): Entry[] {
  const libraries = librariesOf(node);
  return complete([
    ...["/dev", "/proc", "/sys", "/run"].map(folder),
    { ...folder("/tmp"), mode: 0o1777 },
    { ...folder("/var/lib/restartd"), owner: USER, mode: 0o700 },
    folder("/etc/restartd"),
    text(
      "/etc/passwd",
      `root:x:0:0:root:/:/sbin/nologin\nrestartd:x:${USER}:${USER}:restartd:/var/lib/restartd:/sbin/nologin\n`,
    ),
    text("/etc/group", `root:x:0:\nrestartd:x:${USER}:\n`),
    text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    { ...file(NODE, node), mode: 0o755 },
    ...libraries.map((library) => ({ ...file(library, realpathSync(library)), mode: 0o755 })),
    ...libraries.flatMap(copyrightOf),
    ...licenceOf(node),
  ]);
}

/** The program: a bundle as scripts/bundle.ts makes it. */
export function appEntries(bundle: string): Entry[] {
  const names = readdirSync(bundle, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const files = names.map(({ parentPath, name }) => {
    const path = join(parentPath, name);
    return file(join(APP, path.slice(bundle.length)), path);
  });
  const licences = ["LICENSE", "THIRD_PARTY_NOTICES.md"].map((name) =>
    file(join(APP, name), join(import.meta.dirname, "..", name)),
  );
  return complete([...files, ...licences]);
}

const folder = (path: string): Entry => ({ path, kind: "folder" });
const text = (path: string, content: string): Entry => ({ path, kind: "file", content: Buffer.from(content) });
const file = (path: string, from: string): Entry => ({ path, kind: "file", content: readFileSync(from) });

/** Adds the folders above, and sorts: a tar of them is the same wherever it is made. */
function complete(entries: readonly Entry[]): Entry[] {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries) {
    for (let above = dirname(path); above !== "/"; above = dirname(above)) {
      if (!all.has(above)) all.set(above, folder(above));
    }
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The libraries that an executable is linked to, its loader among them, where the loader looks for them. */
function librariesOf(executable: string): string[] {
  const lines = execFileSync("ldd", [executable], { encoding: "utf8" }).split("\n");
  const paths = lines.flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  if (paths.length === 0) throw new Error(`ldd finds no libraries of ${executable}: is this Linux with glibc?`);
  return [...new Set(paths)].sort();
}

/** What the distribution says of a library's licence: GNU's libraries ask for it to go along. */
function copyrightOf(library: string): Entry[] {
  const packages: readonly (readonly [RegExp, string])[] = [
    [/^libstdc\+\+/, "libstdc++6"],
    [/^libgcc_s/, "libgcc-s1"],
    [/./, "libc6"],
  ];
  const name = packages.find(([pattern]) => pattern.test(basename(library)))?.[1] ?? "";
  const path = `/usr/share/doc/${name}/copyright`;
  return existsSync(path) ? [file(path, path)] : [];
}

/** Node's own licence, wherever its package keeps it. */
function licenceOf(node: string): Entry[] {
  const places = [
    join(dirname(node), "../LICENSE"),
    join(dirname(node), "../../LICENSE"),
    join(dirname(node), "LICENSE"),
  ];
  const found = places.find(existsSync);
  return found === undefined ? [] : [file("/usr/share/doc/node/LICENSE", found)];
}
