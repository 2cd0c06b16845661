import { create } from "@bufbuild/protobuf";
import type { Browser, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ListWorkloadsResponseSchema, WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { ServerSchema, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { Failure } from "../../src/core/errors.ts";
import { route } from "../../src/core/route.ts";
import { type Fixture, serve } from "../server/fixture.ts";
import { type Program, startProgram } from "../support/program.ts";
import { launch, needed, violations, visitor } from "./browser.ts";
import { openLossyProxy } from "./lossy-proxy.ts";

const SHOP = "/console/clusters/sandbox/apps/v1/namespaces/shop";

/** As many workloads as are shown at once without trouble, by the contract. */
const ROWS = 500;
const A_PAGE = 100;

const refuse = (): never => {
  throw new Failure("PERMISSION_DENIED", "ann may not do this");
};

let browser: Browser;
let program: Program;
let fixture: Fixture;
beforeAll(async () => {
  if (needed.missing) return;
  const routes = [
    route(ServerService, {
      getServer: () =>
        create(ServerSchema, { version: "99.0.0", contact: "ask the platform team", systems: ["kubernetes"] }),
    }),
    route(WorkloadService, {
      restart: refuse,
      getRollout: refuse,
      watchRollout: refuse,
      listClusters: refuse,
      listWorkloads({ pageToken }) {
        const begin = Number(pageToken);
        return create(ListWorkloadsResponseSchema, {
          workloads: Array.from({ length: A_PAGE }, (_, at) => ({
            group: "apps",
            version: "v1",
            resource: "deployments",
            namespace: `team-${at % 7}`,
            name: `service-${begin + at}`,
            desired: 3,
            ready: 3,
            restartedAt: "2026-11-30T12:00:00Z",
          })),
          nextPageToken: begin + A_PAGE < ROWS ? String(begin + A_PAGE) : "",
        });
      },
    }),
  ];
  [browser, program, fixture] = await Promise.all([launch(), startProgram(), serve({}, { routes })]);
});
afterAll(async () => {
  await browser?.close();
  await program?.[Symbol.asyncDispose]();
  await fixture?.[Symbol.asyncDispose]();
});

/** The network is back, as far as the page can tell: it asks at once. */
const wake = (page: Page) => page.evaluate(() => dispatchEvent(new Event("online")));

describe.skipIf(needed.missing).each(["light", "dark"] as const)("axe in %s finds nothing", (colorScheme) => {
  it("on what was known before the server went away", async () => {
    await using proxy = await openLossyProxy(program.url);
    await using one = await visitor(browser, proxy.origin, { colorScheme });
    const page = await one.open("/console/clusters/sandbox");
    await page.getByRole("rowheader", { name: "web" }).waitFor();
    proxy.loses = () => true;
    await wake(page);
    await page.locator('[data-testid=stale][data-reason="NO_ANSWER"]').waitFor();
    expect(await violations(page)).toEqual([]);
    // And where nothing was known.
    await page.getByRole("link", { name: "Operations" }).click();
    await page.locator('main [data-testid=problem][data-reason="NO_ANSWER"]').first().waitFor();
    expect(await violations(page)).toEqual([]);
  });

  it("while a stream is taken up again", async () => {
    await using proxy = await openLossyProxy(program.url);
    await using one = await visitor(browser, proxy.origin, { colorScheme });
    const page = await one.open(`${SHOP}/deployments/stuck`);
    await page.getByRole("button", { name: "Restart…" }).click();
    await page.locator('[data-testid=check][data-state="ok"]').waitFor();
    await page.getByRole("button", { name: "Restart stuck", exact: true }).click();
    await page.waitForURL(/operations\//);
    await page.getByTestId("rollout").waitFor();
    proxy.loses = () => true;
    proxy.cut();
    await page.getByTestId("reconnecting").waitFor();
    await expect.poll(() => page.getByTestId("operation").getAttribute("data-state")).toBe("STATE_SENT");
    expect(await violations(page)).toEqual([]);
    proxy.loses = () => false;
    proxy.cut(); // what was kept back is never told
    await page.getByTestId("reconnecting").waitFor({ state: "detached" });
  });

  it("where a newer console is there, and where one may not look", async () => {
    await using one = await visitor(browser, fixture.server.url, { colorScheme });
    const page = await one.open("/console/");
    await page.getByTestId("newer").waitFor();
    const problem = page.locator('[data-testid=problem][data-reason="PERMISSION_DENIED"]');
    await problem.waitFor();
    await expect.poll(() => problem.textContent()).toContain("ask the platform team");
    expect(await violations(page)).toEqual([]);
    const loaded = page.waitForEvent("load");
    await page.getByRole("button", { name: "Reload" }).click();
    await loaded;
  });
});

describe.skipIf(needed.missing)("five hundred workloads", () => {
  it("cost as much as they are many, and are filtered while one types", async () => {
    await using one = await visitor(browser, fixture.server.url);
    const page = await one.open("/console/clusters/big");
    const rows = page.locator("table tr[data-name]");
    const session = await one.context.newCDPSession(page);
    // By what the page's thread has worked: a machine that does other things meanwhile makes it no dearer.
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    await expect.poll(() => rows.count()).toBe(A_PAGE);
    const few = await costOfTyping(page, session);
    for (let shown = 2 * A_PAGE; shown <= ROWS; shown += A_PAGE) {
      await page.getByRole("button", { name: "Load more" }).click();
      await expect.poll(() => rows.count()).toBe(shown);
    }
    const many = await costOfTyping(page, session);
    expect(many / few).toBeLessThan((2 * ROWS) / A_PAGE);
    await page.getByRole("searchbox", { name: "Filter by name" }).fill("service-499");
    await expect.poll(() => rows.count()).toBe(1);
  });
});

describe.skipIf(needed.missing)("the first look", () => {
  it("takes four files and the page's calls, which are GETs", async () => {
    await using one = await visitor(browser, program.url);
    const page = await one.context.newPage();
    const requests: { path: string; method: string }[] = [];
    page.on("request", (request) => {
      requests.push({ path: new URL(request.url()).pathname, method: request.method() });
    });
    await page.goto(`${program.url}/console/clusters/sandbox`);
    await page.getByRole("rowheader", { name: "web" }).waitFor();
    const isCall = ({ path }: { path: string }): boolean => path.startsWith("/restart.");
    const files = new Set(requests.filter((request) => !isCall(request)).map(({ path }) => path));
    expect([...files].map((path) => path.replace(/-\w+\./, ".")).sort()).toEqual([
      "/console/assets/icon.svg",
      "/console/assets/main.js",
      "/console/assets/style.css",
      "/console/clusters/sandbox",
    ]);
    expect(
      requests
        .filter(isCall)
        .map(({ path, method }) => `${method} ${path.split("/").at(-1)}`)
        .sort(),
    ).toEqual(["GET GetServer", "GET ListWorkloads"]);
  });

  it("shows rows within three times what a page without any takes", async () => {
    await using one = await visitor(browser, program.url);
    const page = await one.context.newPage();
    const took = async (path: string, what: string): Promise<number> => {
      const began = performance.now();
      await page.goto(program.url + path, { waitUntil: "commit" });
      await page.locator(what).first().waitFor();
      return performance.now() - began;
    };
    const [empty, full]: [number[], number[]] = [[], []];
    for (let round = 0; round < 7; round++) {
      empty.push(await took("/console/none", "h1"));
      full.push(await took("/console/clusters/sandbox", "tr[data-name]"));
    }
    expect(Math.min(...full) / Math.min(...empty)).toBeLessThan(3);
  });
});

/** Milliseconds of work for a letter more and a letter less in the filter: all rows go, and all come back. */
async function costOfTyping(page: Page, session: CDPSession): Promise<number> {
  const filter = page.getByRole("searchbox", { name: "Filter by name" });
  const rows = page.locator("table tr[data-name]");
  const all = await rows.count();
  const worked = async (): Promise<number> => {
    const { metrics } = await session.send("Performance.getMetrics");
    return 1000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN);
  };
  const before = await worked();
  await filter.fill("none of them");
  await expect.poll(() => rows.count()).toBe(0);
  await filter.fill("");
  await expect.poll(() => rows.count()).toBe(all);
  return (await worked()) - before;
}
