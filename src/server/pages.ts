import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { GateRequest } from "./gate.ts";

/** The browser console: files that `npm run generate` makes, under /console/. */
export interface Pages {
  /** Answers what a browser asks for a page; undefined when the request is for none. It has passed the gate. */
  answer(request: GateRequest, path: string): Promise<UniversalServerResponse | undefined>;
}

/** Where the console's pages are. */
export const CONSOLE_PATH = "/console/";

/** Where `npm run generate` puts them. */
const FOLDER = fileURLToPath(new URL("../../gen/console/", import.meta.url));

/** Nothing but our own files, no inline script or style, and no text that becomes markup: a vendor's words stay words. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** Headers of every answer under /console/. */
const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  vary: "accept-encoding",
};

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Names of assets have a hash in them, so that what is at one never changes. */
const FOR_EVER = "public, max-age=31536000, immutable";

/** The document is asked for each time, and answered with 304 where it is what the browser has. */
const EACH_TIME = "no-cache";

interface File {
  readonly type: string;
  readonly tag: string;
  readonly plain: Uint8Array;
  readonly packed: Uint8Array;
}

/**
 * Serves the console. Files are read and packed at the first request and kept: at a start it would take more time than the start.
 *
 * @param folder default: where `npm run generate` puts it.
 */
export function createPages(folder: string = FOLDER): Pages {
  let reading: Promise<ReadonlyMap<string, File>> | undefined;
  return {
    async answer({ method, headers }, path) {
      if (method !== "GET" && method !== "HEAD") return undefined;
      if (path === "/" ? /\btext\/html\b/.test(String(headers.accept)) : path === "/console") {
        return { status: 302, header: new Headers({ ...HEADERS, location: CONSOLE_PATH }) };
      }
      if (!path.startsWith(CONSOLE_PATH)) return undefined;
      reading ??= read(folder).catch((error: unknown) => {
        reading = undefined; // the next request tries again
        throw error;
      });
      const files = await reading;
      const name = path.slice(CONSOLE_PATH.length);
      // A page that is not there is the page's own to say; a missing script must not be answered by markup.
      const isAsset = name.startsWith("assets/");
      const file = files.get(isAsset ? name : "index.html");
      return file === undefined
        ? { status: 404, header: new Headers({ ...HEADERS, "content-type": "text/plain" }), body: once(NOT_FOUND) }
        : show(file, isAsset ? FOR_EVER : EACH_TIME, method, headers);
    },
  };
}

const NOT_FOUND = Buffer.from("there is no such file in the console\n");

function show(file: File, caching: string, method: string, headers: GateRequest["headers"]): UniversalServerResponse {
  const packed = /\bgzip\b/.test(String(headers["accept-encoding"]));
  const tag = packed ? `"${file.tag}-gzip"` : `"${file.tag}"`;
  const header = new Headers({ ...HEADERS, "cache-control": caching, etag: tag });
  if (String(headers["if-none-match"]).includes(tag)) return { status: 304, header };
  const bytes = packed ? file.packed : file.plain;
  header.set("content-type", file.type);
  header.set("content-length", String(bytes.byteLength));
  if (packed) header.set("content-encoding", "gzip");
  return { status: 200, header, ...(method === "GET" && { body: once(bytes) }) };
}

async function read(folder: string): Promise<ReadonlyMap<string, File>> {
  const names = await readdir(folder, { recursive: true });
  const known = names.filter((name) => extname(name) in TYPES);
  return new Map(await Promise.all(known.map(async (name) => [name, await readOne(folder, name)] as const)));
}

async function readOne(folder: string, name: string): Promise<File> {
  const plain = await readFile(join(folder, name));
  return {
    type: TYPES[extname(name)] ?? "",
    tag: createHash("sha256").update(plain).digest("base64url").slice(0, 22),
    plain,
    packed: await promisify(gzip)(plain, { level: 9 }),
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
