import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPages, type Pages } from "../../src/server/pages.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { type Fixture, type RawAnswer, send, serve } from "./fixture.ts";

const DOCUMENT = "<!doctype html><title>console</title>";

/** What every answer under /console/ has. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'self'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  vary: "accept-encoding",
};

let folder: Folder;
let pages: Pages;
let fixture: Fixture;

beforeAll(async () => {
  folder = await temporaryFolder();
  await mkdir(join(folder.path, "assets"));
  await folder.write("index.html", DOCUMENT);
  await folder.write("assets/main-ABC.js", "run();");
  await folder.write("secret.key", "secret");
  pages = createPages(folder.path);
  fixture = await serve({}, { pages });
});
afterAll(async () => {
  await fixture[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Node's client of HTTP/1.1 takes the dots out of a path; that of HTTP/2 sends it as it is. */
const get = (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<RawAnswer> =>
  send(path.includes("..") ? 2 : 1, fixture.server.url, { method, path, headers: { host: "localhost", ...headers } });

describe("createPages()", () => {
  it.each(["/console/", "/console/operations/1", "/console/no/such/page", "/console/../../etc/passwd"])(
    "answers %s with the document",
    async (path) => {
      const answer = await get(path);
      expect([answer.status, answer.body.toString()]).toEqual([200, DOCUMENT]);
      expect(answer.headers).toMatchObject({
        ...HEADERS,
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-cache",
        etag: expect.stringMatching(/^"[\w-]{22}"$/),
      });
    },
  );

  it("answers an asset for ever, packed where the browser unpacks", async () => {
    const plain = await get("/console/assets/main-ABC.js");
    expect(plain.body.toString()).toBe("run();");
    expect(plain.headers).toMatchObject({ ...HEADERS, "cache-control": "public, max-age=31536000, immutable" });
    const packed = await get("/console/assets/main-ABC.js", { "accept-encoding": "gzip, br" });
    expect(packed.headers).toMatchObject({
      "content-encoding": "gzip",
      "content-type": "text/javascript; charset=utf-8",
    });
    expect(gunzipSync(packed.body).toString()).toBe("run();");
    expect(packed.headers.etag).not.toBe(plain.headers.etag);
  });

  it.each(["/console/assets/none.js", "/console/assets/", "/console/assets/../secret.key"])(
    "never answers %s with markup",
    async (path) => {
      const answer = await get(path, { accept: "text/html" });
      expect(answer.status).toBe(404);
      expect(answer.headers).toMatchObject({ ...HEADERS, "content-type": "text/plain" });
    },
  );

  it("says that the browser has it already", async () => {
    const { headers } = await get("/console/");
    const again = await get("/console/", { "if-none-match": String(headers.etag) });
    expect([again.status, again.body.length]).toEqual([304, 0]);
    expect(again.headers).toMatchObject(HEADERS);
  });

  it("answers HEAD without a body", async () => {
    const answer = await get("/console/", {}, "HEAD");
    expect([answer.status, answer.body.length, answer.headers["content-length"]]).toEqual([
      200,
      0,
      String(DOCUMENT.length),
    ]);
  });

  it("leads browsers from / to the console, and tells everybody else that / is no procedure", async () => {
    const browser = await get("/", { accept: "text/html,application/xhtml+xml;q=0.9" });
    expect([browser.status, browser.headers.location]).toEqual([302, "/console/"]);
    const curl = await get("/", { accept: "*/*" });
    expect([curl.status, JSON.parse(curl.body.toString()).code]).toEqual([404, "unimplemented"]);
    const posted = await get("/", { accept: "text/html", "content-type": "application/json" }, "POST");
    expect(posted.status).toBe(404);
  });

  it("answers no page through a name that was rebound to us", async () => {
    for (const path of ["/", "/console/", "/console/assets/main-ABC.js"]) {
      const answer = await get(path, { host: "rebound.example", accept: "text/html" });
      expect([path, answer.status]).toEqual([path, 403]);
    }
  });

  it("answers a link from another site", async () => {
    expect((await get("/console/", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" })).status).toBe(200);
  });
});

describe("an rpc's answer", () => {
  it("is never taken for another type than it says", async () => {
    const { headers } = await get(
      "/restart.kubernetes.v1.WorkloadService/ListClusters?connect=v1&encoding=json&message={}",
    );
    expect(headers).toMatchObject({ "cache-control": "no-store", "x-content-type-options": "nosniff" });
  });
});
