import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { needed, sandboxOfFile, violations } from "./browser.ts";

const SHOP = "/console/clusters/sandbox/apps/v1/namespaces/shop";
const PROJECT = "/console/projects/5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";

const sandbox = sandboxOfFile();

const settled = (page: Page): Promise<unknown> =>
  page.waitForFunction(
    () => document.querySelector("h1") !== null && document.querySelector("[data-testid=loading]") === null,
  );

/** Whether all four corners of an element are on the screen, with nothing before them. */
const inSight = (element: Element): boolean => {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return [left + 5, right - 5].every((x) =>
    [top + 5, bottom - 5].every((y) => {
      const hit = document.elementFromPoint(x, y);
      return hit !== null && element.contains(hit);
    }),
  );
};

/** Every page, and each of its states that can be had in the sandbox: how one comes there. */
const STATES: readonly (readonly [name: string, path: string, go?: (page: Page) => Promise<unknown>])[] = [
  ["the targets", "/console/"],
  ["a cluster", "/console/clusters/sandbox"],
  ["an empty list", "/console/clusters/sandbox?namespace=none"],
  ["a workload", `${SHOP}/deployments/web`],
  ["a workload that is not there", `${SHOP}/deployments/none`],
  ["a dialog", `${SHOP}/deployments/web`, (page) => open(page, "Restart…", "ok")],
  ["a dialog with a warning", `${SHOP}/deployments/legacy`, (page) => open(page, "Restart…", "ok")],
  ["a dialog that is refused", `${SHOP}/deployments/checkout`, (page) => open(page, "Restart…", "refused")],
  [
    "a dialog with a loss",
    `${PROJECT}/dcs/instances/b7d9b6a0-4a53-4f0e-8f39-1f0c5a4e2d77`,
    (page) => open(page, "Flush…", "refused"),
  ],
  [
    "a dialog with an outage",
    "/console/sites/sandbox/deployments/kcl3kjxkzpqxvqyr3eq9k",
    (page) => open(page, "Refresh…", "refused"),
  ],
  ["a running operation", `${SHOP}/statefulsets/db`, (page) => restart(page, "db")],
  [
    "a finished operation",
    `${SHOP}/deployments/web`,
    async (page) => {
      await restart(page, "web");
      await page.locator('[data-state="STATE_SUCCEEDED"][data-testid=operation]').waitFor();
    },
  ],
  ["a site", "/console/sites/sandbox"],
  ["a deployment", "/console/sites/sandbox/deployments/kvyxph9w5h3o9vgk8dixn"],
  ["a project", PROJECT],
  ["an engine", `${PROJECT}/cse/engines/4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98`],
  ["instances", `${PROJECT}/dcs/instances`],
  ["an instance", `${PROJECT}/dcs/instances/e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1`],
  ["a DDM instance", `${PROJECT}/ddm/instances/28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09`],
  ["the operations", "/console/operations"],
  ["a filter that is wrong", "/console/operations?filter=wrong"],
  ["the login", "/console/login"],
  ["no page", "/console/none"],
  ["the shortcuts", "/console/", (page) => page.keyboard.press("?")],
];

async function open(page: Page, button: string, check: string): Promise<void> {
  await page.getByRole("button", { name: button, exact: true }).click();
  await page.locator(`[data-testid=check][data-state="${check}"]`).waitFor();
}

async function restart(page: Page, name: string): Promise<void> {
  await open(page, "Restart…", "ok");
  await page.getByRole("button", { name: `Restart ${name}` }).click();
  await page.getByTestId("operation").waitFor();
}

describe.skipIf(needed.missing).each(["light", "dark"] as const)("axe in %s", (colorScheme) => {
  it.each(STATES.map(([name, path, go]) => ({ name, path, go })))("finds nothing on $name", async ({ path, go }) => {
    await using one = await sandbox.visit({ colorScheme });
    const page = await one.open(path);
    await settled(page);
    await expect.poll(() => page.locator("html").getAttribute("data-theme")).toBe(colorScheme);
    await go?.(page);
    expect(await violations(page)).toEqual([]);
    await expect.poll(() => page.getByRole("heading", { level: 1 }).count()).toBe(1);
    await expect.poll(() => page.title()).toMatch(/^.+ · restartd$/);
  });
});

describe.skipIf(needed.missing)("the keyboard", () => {
  it("is enough to restart something", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/console/clusters/sandbox");
    await settled(page);
    await page.keyboard.press("Tab");
    await expect.poll(() => focused(page)).toBe("Skip to content");
    await page.keyboard.press("Enter");
    await tabTo(page, "Restart agent…");
    await page.keyboard.press("Enter");
    await page.locator('[data-testid=check][data-state="ok"]').waitFor();
    await expect.poll(() => page.evaluate(() => document.activeElement?.tagName)).toBe("TEXTAREA");
    await page.keyboard.type("by keys alone");
    await tabTo(page, "Cancel");
    await page.keyboard.press("Tab");
    await expect.poll(() => focused(page)).toBe("Restart agent");
    await page.keyboard.press("Space");
    await page.waitForURL(/operations/);
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
  });

  it("submits a reason by Ctrl+Enter", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${SHOP}/deployments/web`);
    await open(page, "Restart…", "ok");
    await page.keyboard.press("Control+Enter");
    await page.waitForURL(/operations/);
  });

  it("has shortcuts that lead, and send nothing, and can be switched off", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/console/");
    await settled(page);
    await page.keyboard.press("g");
    await page.keyboard.press("o");
    await page.waitForURL("**/console/operations");
    await page.keyboard.press("g");
    await page.keyboard.press("t");
    await page.getByRole("heading", { level: 1, name: "Targets" }).waitFor();
    await settled(page);
    await page.goto(`${sandbox.url}/console/clusters/sandbox`);
    await settled(page);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    await expect.poll(() => focused(page)).toBe("checkout");
    await page.keyboard.press("/");
    expect(
      await page.getByRole("searchbox", { name: "Filter by name" }).evaluate((box) => box === document.activeElement),
    ).toBe(true);
    await page.keyboard.type("?/gr"); // text, while somebody writes
    expect(await page.getByRole("dialog").count()).toBe(0);
    await page.goto(`${sandbox.url}${SHOP}/deployments/web`);
    await settled(page);
    await page.keyboard.press("r");
    await page.getByRole("dialog", { name: "Restart deployment.apps shop/web" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    const list = page.getByRole("dialog", { name: "Keyboard shortcuts" });
    await list.getByRole("checkbox").uncheck();
    await list.getByRole("button", { name: "Close" }).click();
    await page.keyboard.press("r");
    await page.keyboard.press("?"); // it stays, or nobody could switch them on again
    await list.waitFor();
  });
});

describe.skipIf(needed.missing)("the page", () => {
  it.each(["/console/", "/console/clusters/sandbox", `${SHOP}/deployments/web`, "/console/operations"])(
    "needs no scrolling sideways at a quarter of the width: %s",
    async (path) => {
      await using one = await sandbox.visit({ viewport: { width: 320, height: 256 } });
      const page = await one.open(path);
      await settled(page);
      const [inner, scroll] = await page.evaluate(() => [
        document.documentElement.clientWidth,
        document.documentElement.scrollWidth,
      ]);
      expect(scroll).toBeLessThanOrEqual(inner ?? 0);
    },
  );

  it("has a dialog's buttons in sight, whole, however much stands above them on a narrow screen", async () => {
    await using one = await sandbox.visit({ viewport: { width: 360, height: 480 } });
    const page = await one.open("/console/sites/sandbox/deployments/kcl3kjxkzpqxvqyr3eq9k");
    await open(page, "Refresh…", "refused");
    const dialog = page.getByRole("dialog");
    for (const name of ["Cancel", "Refresh relational-store-primary"]) {
      await expect.poll(() => dialog.getByRole("button", { name, exact: true }).evaluate(inSight)).toBe(true);
    }
    // What is reached by Tab is not behind them.
    await page.keyboard.press("Tab");
    const checkbox = dialog.getByRole("checkbox", { name: "I accept the outage" });
    await checkbox.focus();
    await expect.poll(() => checkbox.evaluate(inSight)).toBe(true);
  });

  it("says whole what there is not, where the table is wider than the screen", async () => {
    await using one = await sandbox.visit({ viewport: { width: 360, height: 640 } });
    const page = await one.open("/console/clusters/sandbox?namespace=none");
    const clear = page.getByTestId("empty").getByRole("button", { name: "Clear the filter" });
    await clear.scrollIntoViewIfNeeded();
    await expect.poll(() => clear.evaluate(inSight)).toBe(true);
    expect(
      await page.locator(".scroll").evaluate((box) => box.scrollWidth > box.clientWidth && box.scrollLeft === 0),
    ).toBe(true);
  });

  it("stands still while it loads", async () => {
    await using one = await sandbox.visit();
    const page = await one.context.newPage();
    await page.addInitScript(() => {
      let sum = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
          if (!entry.hadRecentInput) sum += entry.value;
        }
        Object.assign(globalThis, { shifted: sum });
      }).observe({ type: "layout-shift", buffered: true });
    });
    for (const path of [
      "/console/",
      "/console/clusters/sandbox",
      `${SHOP}/deployments/web`,
      PROJECT,
      "/console/operations",
    ]) {
      await page.goto(sandbox.url + path);
      await settled(page);
      await page.waitForLoadState("networkidle");
      const shifted = await page.evaluate(() => (globalThis as { shifted?: number }).shifted ?? 0);
      expect([path, shifted <= 0.02]).toEqual([path, true]);
    }
  });

  it("shows the theme that was chosen, in every tab that comes later", async () => {
    await using one = await sandbox.visit({ colorScheme: "light" });
    const page = await one.open("/console/");
    await page.getByRole("combobox", { name: "Theme" }).selectOption("Dark");
    await expect.poll(() => page.locator("html").getAttribute("data-theme")).toBe("dark");
    const later = await one.open("/console/operations");
    await expect.poll(() => later.locator("html").getAttribute("data-theme")).toBe("dark");
    expect(await later.evaluate(() => Object.keys(localStorage))).toEqual(["restartd.theme"]);
    await later.getByRole("combobox", { name: "Theme" }).selectOption("System");
    await expect.poll(() => later.locator("html").getAttribute("data-theme")).toBe("light");
  });
});

const focused = (page: Page): Promise<string> =>
  page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");

/** Presses Tab until something has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    if ((await focused(page)) === name) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab never comes to ${name}`);
}
