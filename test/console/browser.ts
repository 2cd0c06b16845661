/** Chromium with the console in it, and what no page of it may ever do. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { need } from "../e2e/tools.ts";
import { type Program, startProgram } from "../support/program.ts";

/** Debian's Chromium; a test file is skipped where it is not there. */
export const needed = need("chromium");

/** A browser for a test file. */
export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: needed.path, args: ["--no-sandbox", "--disable-dev-shm-usage"] });

/** How a visitor sees the page. */
export interface Look {
  readonly colorScheme?: "light" | "dark";
  readonly viewport?: { readonly width: number; readonly height: number };
}

/** A visitor of the console: tabs of one browser profile. */
export interface Visitor extends AsyncDisposable {
  readonly context: BrowserContext;
  /** Opens a tab. */
  open(path: string): Promise<Page>;
  /** What went wrong in any tab: errors, refused by the policy, requests elsewhere. Looked at when the visitor leaves. */
  readonly wrongs: readonly string[];
}

/** A new visitor, whose leaving fails the test when a page did what none may do. */
export async function visitor(browser: Browser, origin: string, look: Look = {}): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...look });
  const wrongs: string[] = [];
  context.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) wrongs.push(`a request to ${request.url()}`);
  });
  context.on("weberror", (error) => wrongs.push(`a page error: ${error.error().stack}`));
  context.on("console", (message) => {
    // Chromium itself writes down that an answer had a status of 400 or that there was none.
    if (/^Failed to load resource/.test(message.text())) return;
    if (["error", "warning"].includes(message.type())) wrongs.push(`on the console: ${message.text()}`);
  });
  context.setDefaultTimeout(60_000);
  return {
    context,
    wrongs,
    async open(path) {
      const page = await context.newPage();
      await page.goto(origin + path);
      return page;
    },
    async [Symbol.asyncDispose]() {
      await context.close();
      expect(wrongs).toEqual([]);
    },
  };
}

/** The sandbox, and a browser before it. */
export interface Sandbox {
  readonly url: string;
  /**
   * A new visitor of its console.
   *
   * @param origin where that is. Default the sandbox itself.
   */
  visit(look?: Look, origin?: string): Promise<Visitor>;
}

/** The sandbox of a test file: there from before its first test until after its last one. Nothing is where Chromium is not. */
export function sandboxOfFile(): Sandbox {
  let browser: Browser;
  let program: Program;
  beforeAll(async () => {
    if (needed.missing) return;
    [browser, program] = await Promise.all([launch(), startProgram()]);
  });
  afterAll(async () => {
    await browser?.close();
    await program?.[Symbol.asyncDispose]();
  });
  return {
    get url() {
      return program.url;
    },
    visit: (look = {}, origin = program.url) => visitor(browser, origin, look),
  };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds: rules and the elements that break them. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
    const found = await axe.run({ runOnly: tags });
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`),
    );
  });
}

/** Requests that a tab made to an rpc. */
export function callsOf(
  page: Page,
  rpc: string,
): { readonly headers: Record<string, string>; readonly body: Buffer }[] {
  const calls: { headers: Record<string, string>; body: Buffer }[] = [];
  page.on("request", (request) => {
    if (new URL(request.url()).pathname.endsWith(`/${rpc}`)) {
      calls.push({ headers: request.headers(), body: request.postDataBuffer() ?? Buffer.alloc(0) });
    }
  });
  return calls;
}
