import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { json, text } from "node:stream/consumers";
import { build } from "esbuild";
import { temporaryFolder } from "../../support/folder.ts";
import type { PageConfig, PageResult } from "./protocol.ts";

/** A site on loopback with one page, whose script is page.ts. */
export interface Site extends AsyncDisposable {
  /** Its origin, as browsers send it. */
  readonly origin: string;
  /** What the next visitor is told. */
  config: PageConfig;
  /** What the next visitor tells. */
  result(): Promise<PageResult>;
}

/** Bundles page.ts for browsers. */
async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "page.ts")],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2024",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

/** Starts a {@link Site} on a free port. */
export async function startSite(): Promise<Site> {
  const script = await bundle();
  let waiting = Promise.withResolvers<PageResult>();
  const pages: Record<string, () => [type: string, body: string]> = {
    "/": () => ["text/html", '<!doctype html><title>page</title><script type="module" src="/page.js"></script>'],
    "/page.js": () => ["text/javascript", script],
    "/config": () => ["application/json", JSON.stringify(site.config)],
  };
  const server = createServer(async (request, response) => {
    if (request.url === "/result") {
      waiting.resolve((await json(request)) as PageResult);
      response.end();
      return;
    }
    const [type, body] = pages[request.url ?? ""]?.() ?? [];
    response.writeHead(body === undefined ? 404 : 200, { "content-type": type ?? "text/plain" }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const site: Site = {
    origin: `http://localhost:${typeof address === "object" ? address?.port : 0}`,
    config: { baseUrl: "", task: "use" },
    result() {
      waiting = Promise.withResolvers();
      return waiting.promise;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return site;
}

/** Chromium's switches: nothing but the page, and no name but those of this machine. */
const switches = (profile: string): string[] => [
  "--headless",
  "--no-sandbox", // it refuses to run as root otherwise
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-extensions",
  "--disable-sync",
  "--disable-quic",
  `--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1`,
  `--user-data-dir=${profile}`,
];

const PATIENCE_MS = 90_000;

/** Opens a site's page and waits for what it tells. */
export async function visit(chromium: string, site: Site): Promise<PageResult> {
  await using browser = await open(chromium, ["--remote-debugging-pipe", `${site.origin}/`]);
  const result = site.result();
  const over = browser.ended.then((stderr): PageResult => ({ failed: `Chromium ended: ${stderr}` }));
  return await Promise.race([result, over]); // the browser goes when this is over
}

/** Opens an address and answers the text of the document that is there then. */
export async function dumpDom(chromium: string, url: string): Promise<string> {
  await using browser = await open(chromium, ["--dump-dom", url]);
  await browser.ended;
  return browser.stdout;
}

async function open(chromium: string, args: readonly string[]) {
  const profile = await temporaryFolder();
  const child = spawn(chromium, [...switches(profile.path), ...args], {
    detached: true, // a group of its own, since it has many processes
    // The last two are where it could be debugged: it stays for as long as they are open, and no longer.
    stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
    env: { ...process.env, HOME: profile.path },
  });
  const kill = () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, "SIGKILL");
  };
  process.once("exit", kill);
  const timer = setTimeout(kill, PATIENCE_MS);
  const read = async (stream: Readable | null) => (stream === null ? "" : text(stream));
  const outputs = Promise.all([read(child.stdout), read(child.stderr), once(child, "close")]);
  const browser = {
    stdout: "",
    ended: outputs.then(([stdout, stderr]) => {
      browser.stdout = stdout;
      return stderr;
    }),
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      process.off("exit", kill);
      kill();
      await browser.ended;
      await profile[Symbol.asyncDispose]();
    },
  };
  return browser;
}
