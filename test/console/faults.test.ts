import { fromBinary } from "@bufbuild/protobuf";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { RestartRequestSchema } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { freePorts } from "../cluster/ports.ts";
import { startProgram } from "../support/program.ts";
import { callsOf, needed, sandboxOfFile } from "./browser.ts";
import { openLossyProxy } from "./lossy-proxy.ts";

const SHOP = "/console/clusters/sandbox/apps/v1/namespaces/shop";

const sandbox = sandboxOfFile();

/** Whether a request is a restart that is meant. */
const isDeed = (path: string, body: Buffer): boolean =>
  path.endsWith("/Restart") && !fromBinary(RestartRequestSchema, body).validateOnly;

async function submit(page: Page, workload: string): Promise<void> {
  await page.getByRole("button", { name: "Restart…" }).click();
  await page.locator('[data-testid=check][data-state="ok"]').waitFor();
  await page.getByRole("button", { name: `Restart ${workload}`, exact: true }).click();
}

describe.skipIf(needed.missing)("an answer that is lost", () => {
  it("is asked for again under the same id, and nothing is done twice", async () => {
    await using proxy = await openLossyProxy(sandbox.url);
    proxy.loses = isDeed;
    await using one = await sandbox.visit({}, proxy.origin);
    const page = await one.open(`${SHOP}/statefulsets/db`);
    const calls = callsOf(page, "Restart");
    await submit(page, "db");
    await page.getByText("No answer came. Asking what became of it (nothing is sent twice).").waitFor();
    proxy.loses = () => false;
    await page.waitForURL(/operations/);
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
    const ids = calls
      .filter(({ body }) => isDeed("/Restart", body))
      .map(({ body }) => fromBinary(RestartRequestSchema, body).requestId);
    expect(ids.length).toBeGreaterThan(1);
    expect(new Set(ids).size).toBe(1);
    await page.goto(
      `${proxy.origin}/console/operations?target=${encodeURIComponent("clusters/sandbox/apps/v1/namespaces/shop/statefulsets/db")}`,
    );
    await page.locator("tr[data-name]").waitFor();
    await expect.poll(() => page.locator("tr[data-name]").count()).toBe(1);
  });

  it("is not known in the end, and can be asked for again", { timeout: 150_000 }, async () => {
    await using proxy = await openLossyProxy(sandbox.url);
    proxy.loses = isDeed;
    await using one = await sandbox.visit({}, proxy.origin);
    const page = await one.open(`${SHOP}/daemonsets/agent`);
    await submit(page, "agent");
    const problem = page.getByRole("dialog").locator('[data-testid=problem][data-reason="NO_ANSWER"]');
    await problem.waitFor({ timeout: 90_000 });
    await expect.poll(() => problem.getAttribute("data-outcome")).toBe("unknown");
    await expect.poll(() => problem.textContent()).toContain("It may have been applied.");
    proxy.loses = () => false;
    await problem.getByRole("button", { name: "Ask again" }).click();
    await page.waitForURL(/operations/);
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
  });

  it("is looked for by the page that is loaded instead", async () => {
    await using proxy = await openLossyProxy(sandbox.url);
    proxy.loses = isDeed;
    await using one = await sandbox.visit({}, proxy.origin);
    const page = await one.open(`${SHOP}/deployments/legacy`);
    const address = page.url();
    await submit(page, "legacy");
    await page.getByText("No answer came.").waitFor();
    await page.goto("about:blank"); // what the first page asked for again is none of the second one's calls
    const calls = callsOf(page, "Restart");
    await page.goto(address);
    await page
      .getByTestId("pending")
      .getByRole("link", { name: /^operations\// })
      .click();
    await page.getByTestId("operation").waitFor();
    expect(calls).toEqual([]);
  });
});

describe.skipIf(needed.missing)("a stream that is cut", () => {
  it("is taken up again, and the state stays", async () => {
    await using proxy = await openLossyProxy(sandbox.url);
    await using one = await sandbox.visit({}, proxy.origin);
    const page = await one.open(`${SHOP}/deployments/stuck`);
    await submit(page, "stuck");
    await page.waitForURL(/operations/);
    await page.getByTestId("rollout").waitFor();
    const watches = () => [...proxy.open].filter(({ path }) => path.endsWith("/WatchRollout")).length;
    await expect.poll(watches).toBe(1);
    proxy.cut();
    await expect.poll(() => page.getByTestId("operation").getAttribute("data-state")).toBe("STATE_SENT");
    await expect.poll(watches).toBe(1);
    await expect.poll(() => page.getByTestId("rollout").count()).toBe(1);
  });
});

describe.skipIf(needed.missing)("a server that goes away", () => {
  it("is said once, over what was known, until it comes back", async () => {
    const [port = 0] = await freePorts(1);
    const address = `127.0.0.1:${port}`;
    let server = await startProgram(["--listen", address]);
    const { url } = server;
    try {
      await using one = await sandbox.visit({}, url);
      const page = await one.context.newPage();
      await page.clock.install();
      await page.goto(`${url}/console/clusters/sandbox`);
      const web = page.getByRole("rowheader", { name: "web" });
      await web.waitFor();
      await server.stop("SIGKILL");
      const banner = page.locator('[data-testid=stale][data-reason="NO_ANSWER"]');
      await banner.waitFor();
      await expect.poll(() => banner.count()).toBe(1);
      await expect
        .poll(() => banner.textContent())
        .toMatch(/Showing what was known at \d\d:\d\d:\d\d\..*Trying again in \d+ s\./);
      await expect.poll(() => web.count()).toBe(1);
      await page.getByRole("link", { name: "Operations" }).click();
      await page.locator('[data-testid=problem][data-reason="NO_ANSWER"]').waitFor();
      await banner.waitFor();
      // By itself it tries no more from here on: it would take the banner away before anybody can click.
      await page.clock.pauseAt(await page.evaluate(() => Date.now() + 1000));
      server = await startProgram(["--listen", address]);
      const tried = page.waitForRequest("**/ListOperations");
      await banner.getByRole("button", { name: "Try now" }).click();
      await tried;
      await page.clock.resume();
      await banner.waitFor({ state: "detached" });
      await page.getByTestId("empty").waitFor();
    } finally {
      await server[Symbol.asyncDispose]();
    }
  });
});

describe.skipIf(needed.missing)("tabs", () => {
  it("that nobody looks at are quiet, and know at once when somebody does", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${SHOP}/deployments/stuck`);
    await page.getByTestId("rollout").waitFor();
    let requests = 0;
    const see = (state: string) =>
      page.evaluate((now) => {
        Object.defineProperty(document, "visibilityState", { configurable: true, get: () => now });
        document.dispatchEvent(new Event("visibilitychange"));
      }, state);
    await see("hidden");
    await page.waitForLoadState("networkidle");
    page.on("request", () => requests++);
    // Longer than any poll of the page.
    await page.clock.install();
    await page.clock.runFor(60_000);
    expect(requests).toBe(0);
    await see("visible");
    await expect.poll(() => requests).toBeGreaterThan(0);
  });
});
