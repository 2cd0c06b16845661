/**
 * Pictures of the console in the sandbox: `node test/console/screenshots.ts` makes docs/console.png anew, and with a folder as argument
 * every page there, in both themes and on a narrow screen, for whoever changes how they look.
 */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { ROOT } from "../support/command.ts";
import { startProgram } from "../support/program.ts";
import { launch } from "./browser.ts";

const SHOP = "/console/clusters/sandbox/apps/v1/namespaces/shop";
const PROJECT = "/console/projects/5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";

const PAGES: Readonly<Record<string, readonly [path: string, press?: string]>> = {
  targets: ["/console/"],
  cluster: ["/console/clusters/sandbox"],
  workload: [`${SHOP}/deployments/web`],
  dialog: [`${SHOP}/deployments/legacy`, "Restart…"],
  refused: [`${SHOP}/deployments/checkout`, "Restart…"],
  loss: [`${PROJECT}/dcs/instances/b7d9b6a0-4a53-4f0e-8f39-1f0c5a4e2d77`, "Flush…"],
  site: ["/console/sites/sandbox"],
  project: [PROJECT],
  engine: [`${PROJECT}/cse/engines/4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98`],
  instances: [`${PROJECT}/dcs/instances`],
  outage: ["/console/sites/sandbox/deployments/kcl3kjxkzpqxvqyr3eq9k", "Refresh…"],
  none: [`${PROJECT}/dcs/instances`, "Restart…"],
  missing: [`${SHOP}/deployments/none`],
  empty: ["/console/clusters/sandbox?namespace=none"],
  "not-found": ["/console/nowhere"],
  operations: ["/console/operations"],
};

/** A desk's window, and a telephone's. */
const LOOKS = [
  { colorScheme: "light", width: 1200 },
  { colorScheme: "dark", width: 1200 },
  { colorScheme: "light", width: 360 },
] as const;

const [folder] = process.argv.slice(2);
await using program = await startProgram();
const browser = await launch();
try {
  for (const { colorScheme, width } of LOOKS) {
    const look = width === 1200 ? colorScheme : `${colorScheme}-${width}`;
    const page = await browser.newPage({ viewport: { width, height: 620 }, colorScheme });
    await page.goto(`${program.url}${SHOP}/statefulsets/db`);
    await restart(page, "db", "a new certificate");
    await page.locator('[role=progressbar][aria-label="updated"][aria-valuetext="1 of 3"]').waitFor();
    if (look === "light") await page.screenshot({ path: join(ROOT, "docs/console.png") });
    if (folder !== undefined) await page.screenshot({ path: join(folder, `running-${look}.png`) });
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
    for (const [name, [path, press]] of folder === undefined ? [] : Object.entries(PAGES)) {
      await page.goto(program.url + path);
      await page.waitForFunction(
        () => !document.querySelector("[data-testid=loading]") && document.querySelector("h1"),
      );
      if (press !== undefined) {
        await page.getByRole("button", { name: press, exact: true }).click();
        await page.locator("dialog[open]:not(:has([data-state=checking]))").waitFor();
      }
      await page.screenshot({ path: join(folder ?? "", `${name}-${look}.png`), fullPage: true });
    }
    await page.close();
  }
} finally {
  await browser.close();
}

async function restart(page: Page, name: string, reason: string): Promise<void> {
  await page.getByRole("button", { name: "Restart…" }).click();
  await page.getByRole("textbox", { name: "Reason" }).fill(reason);
  await page.getByRole("button", { name: `Restart ${name}` }).click();
}
