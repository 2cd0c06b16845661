import { createHash } from "node:crypto";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, resolve } from "node:path";
import type { Metafile } from "esbuild";
import manifest from "../package.json" with { type: "json" };
import lock from "../package-lock.json" with { type: "json" };

const ROOT = resolve(import.meta.dirname, "..");

/** What package-lock.json says of a package. */
interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** Somebody else's package that a release has in it. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** SPDX expression. */
  readonly license: string;
  /** SHA-512 of its archive, in hex; undefined where the lock file has none. */
  readonly sha512: string | undefined;
  /** Its folder. */
  readonly folder: string;
}

const PACKAGES = lock.packages as Readonly<Record<string, Locked>>;

/** Pages and command line that gen/ has ready-made, and the schema's imports. */
const MADE_BEFORE = ["src/console/**/*.{ts,tsx}", "src/client.ts", "src/commands/**/*.ts"];

/** The image's Node, and what protos are imported from. */
const BESIDE = [`node-linux-${process.arch}`, "google-proto-files", "@bufbuild/protovalidate", "grpc-health-check"];

/** Everything that a release has of others: what the bundle took, what gen/ was made of, and Node. @param metafile esbuild's. */
export function componentsOf(metafile: Metafile): Component[] {
  const folders = new Set<string>();
  for (const input of Object.keys(metafile.inputs)) {
    const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? [];
    if (folder !== undefined) folders.add(folder);
  }
  const add = (name: string): void => {
    const folder = `node_modules/${name}`;
    if (folders.has(folder) || PACKAGES[folder] === undefined) return;
    folders.add(folder);
    for (const dependency of Object.keys(PACKAGES[folder]?.dependencies ?? {})) add(dependency);
  };
  for (const file of MADE_BEFORE.flatMap((pattern) => globSync(pattern, { cwd: ROOT }))) {
    for (const [, from = ""] of readFileSync(join(ROOT, file), "utf8").matchAll(/(?:from|import) "([^."][^"]*)"/g)) {
      if (!isBuiltin(from)) add(/^(?:@[^/]+\/)?[^/]+/.exec(from)?.[0] ?? from);
    }
  }
  for (const name of BESIDE) folders.add(`node_modules/${name}`);
  return [...folders].sort().map((folder) => {
    const { version, license, integrity = "" } = PACKAGES[folder] ?? {};
    const name = folder.replace(/^.*node_modules\//, "");
    if (version === undefined) throw new Error(`package-lock.json does not know ${folder}`);
    const [, digest] = /^sha512-(\S+)/.exec(integrity) ?? [];
    const sha512 = digest === undefined ? undefined : Buffer.from(digest, "base64").toString("hex");
    return { name, version, license: license ?? declared(folder), sha512, folder: join(ROOT, folder) };
  });
}

function declared(folder: string): string {
  const { license } = JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8"));
  if (typeof license !== "string") throw new Error(`${folder} says no licence`);
  return license;
}

const purlOf = (name: string, version: string): string => `pkg:npm/${name.replace("@", "%40")}@${version}`;

/** The bill of materials, CycloneDX 1.5. What the standard wants to be random, or now, is derived from the commit. */
export function sbom(components: readonly Component[], { commit, time }: { commit: string; time: Date }): string {
  const root = purlOf(manifest.name, manifest.version);
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    serialNumber: `urn:uuid:${uuidOf(`${manifest.version} ${commit}`)}`,
    version: 1,
    metadata: {
      timestamp: time.toISOString(),
      component: {
        type: "application",
        "bom-ref": root,
        name: manifest.name,
        version: manifest.version,
        purl: root,
        licenses: [{ license: { id: "Apache-2.0" } }],
      },
    },
    components: components.map(({ name, version, license, sha512 }) => ({
      type: "library",
      "bom-ref": purlOf(name, version),
      name,
      version,
      purl: purlOf(name, version),
      licenses: [/[ ()]/.test(license) ? { expression: license } : { license: { id: license } }],
      ...(sha512 !== undefined && { hashes: [{ alg: "SHA-512", content: sha512 }] }),
    })),
    dependencies: [{ ref: root, dependsOn: components.map(({ name, version }) => purlOf(name, version)) }],
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** A UUID of version 8, which is for whoever has a way of their own. */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  const variant = (Number.parseInt(hex.charAt(16), 16) & 3) | 8;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant.toString(16)}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** One Node is as another, by its licence: the notices are the same wherever they are made. */
const NODE = /^node-linux-.*/;

/** What the licences of others want to be shipped with them. */
export function notices(components: readonly Component[]): string {
  const texts = components.map(({ name, version, license, folder }) => {
    const files = readdirSync(folder).filter((file) => /^(?:licen[cs]e|copying|notice)/i.test(file));
    const text = files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim());
    const said =
      text.length === 0
        ? ["It has no file of its licence; the text of Apache-2.0 is in restartd's own LICENSE."]
        : text.map(fenced);
    return [`## ${name.replace(NODE, "node")} ${version}`, license, ...said].join("\n\n");
  });
  const libraries =
    "The image has glibc (LGPL-2.1-or-later) and libstdc++ (GPL-3.0-or-later WITH GCC-exception-3.1) of the machine that it was made on, with their copyright files.";
  return `${["# Third-party notices", "restartd is made with these.", libraries, ...texts].join("\n\n")}\n`;
}

/** A text as it is, whatever stands in it. */
const fenced = (text: string): string => `\`\`\`\`text\n${text.replaceAll("\r\n", "\n")}\n\`\`\`\``;
