import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { pack } from "tar-stream";
import manifest from "../package.json" with { type: "json" };
import { bundleServer, commit } from "../scripts/bundle.ts";
import { APP, appEntries, type Entry, NODE, runtimeEntries, USER } from "./rootfs.ts";

/*
 * Makes the image without an engine: `npm run image [-- --out FOLDER]` writes an OCI layout, by default dist/image, which skopeo,
 * podman, crane and buildah read. Made twice of the same sources on the same machine it is the same, byte for byte.
 * `--rootfs FOLDER` writes the file system itself instead, for deploy/Dockerfile.
 */

/** What the image's configuration says of a layer and a manifest. */
interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const MEDIA = "application/vnd.oci.image";

/** Every time in the image: that of the commit for who sets it, else the beginning of 1970. */
const created = new Date(Number(process.env.SOURCE_DATE_EPOCH ?? 0) * 1000);

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { out: { type: "string" }, rootfs: { type: "string" } } });
  const bundle = mkdtempSync(join(tmpdir(), "restartd-bundle-"));
  try {
    await bundleServer(bundle);
    const layers = [runtimeEntries(realpathSync(process.execPath)), appEntries(bundle)];
    if (values.rootfs !== undefined) {
      for (const layer of layers) unpack(layer, resolve(values.rootfs));
      return;
    }
    const out = resolve(values.out ?? join(import.meta.dirname, "../dist/image"));
    process.stdout.write(`${await writeLayout(out, layers)}\n`);
  } finally {
    rmSync(bundle, { recursive: true, force: true });
  }
}

/** Writes an OCI layout. @returns the digest of the image's manifest. */
async function writeLayout(out: string, layers: readonly (readonly Entry[])[]): Promise<string> {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "blobs/sha256"), { recursive: true });
  const add = (mediaType: string, content: Uint8Array | string): Descriptor => {
    const bytes = Buffer.from(content);
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(out, "blobs/sha256", hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.byteLength };
  };
  const tars: Descriptor[] = [];
  for (const layer of layers) tars.push(add(`${MEDIA}.layer.v1.tar`, await tar(layer)));
  const config = add(`${MEDIA}.config.v1+json`, JSON.stringify(imageConfig(tars)));
  const content = { schemaVersion: 2, mediaType: `${MEDIA}.manifest.v1+json`, config, layers: tars, annotations };
  const image = add(`${MEDIA}.manifest.v1+json`, JSON.stringify(content));
  const platform = { os: "linux", architecture: ARCHITECTURE };
  const tagged = { ...image, platform, annotations: { "org.opencontainers.image.ref.name": manifest.version } };
  const index = { schemaVersion: 2, mediaType: `${MEDIA}.index.v1+json`, manifests: [tagged] };
  writeFileSync(join(out, "index.json"), JSON.stringify(index));
  writeFileSync(join(out, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return image.digest;
}

const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

const annotations = {
  "org.opencontainers.image.title": "restartd",
  "org.opencontainers.image.description": manifest.description,
  "org.opencontainers.image.version": manifest.version,
  "org.opencontainers.image.revision": commit(),
  "org.opencontainers.image.licenses": "Apache-2.0",
  "org.opencontainers.image.created": created.toISOString(),
};

const imageConfig = (layers: readonly Descriptor[]) => ({
  created: created.toISOString(),
  architecture: ARCHITECTURE,
  os: "linux",
  config: {
    User: `${USER}:${USER}`,
    // Node itself is the first process: npm and shells swallow signals.
    Entrypoint: [NODE, `${APP}/lib/restartd/main.js`],
    Cmd: ["--config", "/etc/restartd/restartd.yaml"],
    WorkingDir: "/var/lib/restartd",
    Env: ["PATH=/usr/bin", "NODE_ENV=production"],
    ExposedPorts: { "8080/tcp": {}, "8081/tcp": {} },
    StopSignal: "SIGTERM",
    Labels: annotations,
  },
  rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
  history: ["Node and its libraries", "restartd"].map((comment) => ({ created: created.toISOString(), comment })),
});

function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { path, kind, mode, owner = 0, content = Buffer.alloc(0), to } of entries) {
    const type = ({ folder: "directory", file: "file", link: "symlink" } as const)[kind];
    const name = `${path.slice(1)}${kind === "folder" ? "/" : ""}`;
    const header = { name, type, mode: mode ?? defaultMode(kind), uid: owner, gid: owner, mtime: created };
    archive.entry(to === undefined ? header : { ...header, linkname: to }, Buffer.from(content));
  }
  archive.finalize();
  return buffer(archive);
}

const defaultMode = (kind: Entry["kind"]): number => (kind === "file" ? 0o644 : 0o755);

function unpack(entries: readonly Entry[], root: string): void {
  for (const { path, kind, mode, owner, content = Buffer.alloc(0), to = "" } of entries) {
    const place = join(root, path);
    mkdirSync(dirname(place), { recursive: true });
    if (kind === "folder") mkdirSync(place, { recursive: true });
    else if (kind === "link") symlinkSync(to, place);
    else writeFileSync(place, content);
    if (kind === "link") continue;
    chmodSync(place, mode ?? defaultMode(kind));
    if (owner !== undefined && process.getuid?.() === 0) chownSync(place, owner, owner);
  }
}

await main();
