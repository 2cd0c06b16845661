import type { Locator, Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { callsOf, needed, sandboxOfFile } from "./browser.ts";

const PROJECT = "/console/projects/5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";
const SINGLE = "b7d9b6a0-4a53-4f0e-8f39-1f0c5a4e2d77";
const CLUSTERED = "e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1";

const sandbox = sandboxOfFile();

const checked = (dialog: Locator, state: string): Promise<void> =>
  dialog.locator(`[data-testid=check][data-state="${state}"]`).waitFor();
const ended = (page: Page, state = "STATE_SUCCEEDED"): Promise<void> =>
  page.locator(`[data-testid=operation][data-state="${state}"]`).waitFor();

describe.skipIf(needed.missing)("the console on ArcGIS", () => {
  it("refreshes a deployment", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/console/sites/sandbox");
    const table = page.getByRole("table", { name: "Deployments" });
    await table.locator('tr[data-name="sites/sandbox/deployments/kvyxph9w5h3o9vgk8dixn"]').getByRole("link").click();
    await page.getByRole("button", { name: "Refresh…" }).click();
    const dialog = page.getByRole("dialog", { name: /^Refresh / });
    await expect.poll(() => dialog.textContent()).toContain("Re-creates the pods of this deployment.");
    await checked(dialog, "ok");
    await dialog.getByRole("button", { name: /^Refresh / }).click();
    await ended(page);
  });

  it("has the outage accepted first", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/console/sites/sandbox/deployments/kcl3kjxkzpqxvqyr3eq9k");
    const calls = callsOf(page, "RefreshDeployment");
    await page.getByRole("button", { name: "Refresh…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator('[data-testid=problem][data-reason="OUTAGE_NOT_ACKNOWLEDGED"]').waitFor();
    const submit = dialog.getByRole("button", { name: /^Refresh / });
    await expect.poll(() => submit.getAttribute("aria-disabled")).toBe("true");
    await dialog.getByRole("checkbox", { name: "I accept the outage" }).check();
    await checked(dialog, "ok");
    expect(calls.length).toBe(2);
    await submit.click();
    await ended(page);
  });
});

describe.skipIf(needed.missing)("the console on Huawei Cloud", () => {
  it("shows each service of a project in a part of its own", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(PROJECT);
    for (const name of ["Engines", "DCS instances", "DDM instances"]) {
      await page.getByRole("table", { name }).locator("tr[data-name]").first().waitFor();
    }
  });

  it("runs a failed job again, and says when none is there", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${PROJECT}/cse/engines/4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98`);
    await page.getByText("Latest job").waitFor();
    await page.getByRole("button", { name: "Retry failed job…" }).click();
    const dialog = page.getByRole("dialog", { name: /^Retry / });
    await expect
      .poll(() => dialog.textContent())
      .toMatch(/Runs the failed job \d+ \(\w+\) again\. This is not a restart\./);
    await checked(dialog, "ok");
    await dialog.getByRole("button", { name: /^Retry / }).click();
    await ended(page);
    await page.goBack();
    await page.getByRole("button", { name: "Retry failed job…" }).click();
    await page.getByRole("dialog").locator('[data-testid=problem][data-reason="NOTHING_TO_RETRY"]').waitFor();
  });

  it("restarts an instance softly", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${PROJECT}/dcs/instances/${CLUSTERED}`);
    await page.getByRole("button", { name: "Soft restart…" }).click();
    const dialog = page.getByRole("dialog", { name: /^Soft restart DCS instance / });
    await checked(dialog, "ok");
    await expect.poll(() => dialog.textContent()).toContain("Restarts the process only.");
    await dialog.getByRole("button", { name: /^Soft restart / }).click();
    await ended(page);
    await page.getByRole("table", { name: "Parts" }).locator("tr[data-name]").waitFor();
  });

  it("has the name typed before data may be lost", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${PROJECT}/dcs/instances/${SINGLE}`);
    const name = await nameOn(page);
    await page.getByRole("button", { name: "Restart…", exact: true }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator('[data-testid=problem][data-reason="DATA_LOSS_NOT_ACKNOWLEDGED"]').waitFor();
    const word = dialog.getByRole("textbox", { name: `Type ${name} to go on` });
    const submit = dialog.getByRole("button", { name: `Restart ${name}` });
    await word.fill(name.toUpperCase());
    await word.press("Enter");
    await expect.poll(() => submit.getAttribute("aria-disabled")).toBe("true");
    await word.fill(` ${name} `);
    await checked(dialog, "ok");
    await submit.click();
    await ended(page);
  });

  it("asks for the name at once where all data goes, and forgets the tick when the text is changed", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${PROJECT}/dcs/instances/${CLUSTERED}`);
    const name = await nameOn(page);
    await page.getByRole("button", { name: "Flush…" }).click();
    const dialog = page.getByRole("dialog", { name: `Flush DCS instance ${name}` });
    const word = dialog.getByRole("textbox", { name: /^Type / });
    await word.waitFor();
    await expect.poll(() => dialog.textContent()).toContain("Deletes all data, for good.");
    await word.fill(name);
    await checked(dialog, "ok");
    await word.fill(`${name}x`);
    await checked(dialog, "refused");
    await word.fill(name);
    await checked(dialog, "ok");
    await dialog.getByRole("button", { name: `Flush ${name}` }).click();
    await ended(page);
  });

  it("takes several in one call, and shows what became of each", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${PROJECT}/dcs/instances`);
    const calls = callsOf(page, "RestartInstances");
    await page.getByRole("table").locator("tr[data-name]").first().waitFor();
    await page.getByRole("button", { name: "Flush…" }).click();
    await page.getByRole("dialog", { name: "Flush" }).getByText("Select the instances first").waitFor();
    await page.keyboard.press("Escape");
    for (const box of await page.getByRole("table").getByRole("checkbox").all()) await box.check();
    await expect
      .poll(() => new URL(page.url()).searchParams.get("selected")?.split(",").sort())
      .toEqual([SINGLE, CLUSTERED].sort());
    await page.getByRole("button", { name: "Restart…", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Restart 2 DCS instances" });
    await checked(dialog, "refused");
    await dialog.getByRole("textbox", { name: "Type the number of instances, 2" }).fill("2");
    await checked(dialog, "ok");
    await dialog.getByRole("button", { name: "Restart 2 instances" }).click();
    const parts = page.getByRole("table", { name: "Parts" }).locator("tr[data-name]");
    await expect.poll(() => parts.count()).toBe(2);
    // They are there while they run, for whoever comes later as well.
    await page.reload();
    await expect.poll(() => parts.count()).toBe(2);
    await ended(page);
    await expect.poll(() => parts.filter({ hasText: "Succeeded" }).count()).toBe(2);
    expect(calls.length).toBe(3); // two checks, one submission
  });

  it.each(["Soft restart", "Hard restart"])("does a %s of a DDM instance", async (verb) => {
    await using one = await sandbox.visit();
    const page = await one.open(`${PROJECT}/ddm/instances/28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09`);
    const name = await nameOn(page);
    await page.getByRole("button", { name: `${verb}…` }).click();
    const dialog = page.getByRole("dialog", { name: `${verb} DDM instance ${name}` });
    await checked(dialog, "ok");
    await dialog.getByRole("button", { name: `${verb} ${name}` }).click();
    await ended(page);
  });
});

/** An instance's name, which stands in place of its id as soon as it is known. */
async function nameOn(page: Page): Promise<string> {
  await page.getByText("Status", { exact: true }).waitFor();
  return (await page.getByRole("heading", { level: 1 }).textContent()) ?? "";
}
