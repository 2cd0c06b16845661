import { createHash } from "node:crypto";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { type Configured, startConfigured } from "../support/configured.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { launch, needed, type Visitor, violations, visitor } from "./browser.ts";

const SHOP = "/console/clusters/sandbox/apps/v1/namespaces/shop";
const TOKEN = "rsd_ann";

let browser: Browser;
let folder: Folder;
let configured: Configured;
beforeAll(async () => {
  if (needed.missing) return;
  folder = await temporaryFolder();
  const sha256 = createHash("sha256").update(TOKEN).digest("hex");
  const file = await folder.write("tokens.yaml", stringify([{ name: "ann", sha256, groups: ["shop"] }]));
  const rule = {
    name: "ann",
    effect: "allow",
    principals: ["token:ann"],
    permissions: ["kubernetes.*"],
    targets: ["clusters/**"],
  };
  const reasons = [{ permissions: ["*.restart"], targets: ["**"], min_length: 8 }];
  [browser, configured] = await Promise.all([
    launch(),
    startConfigured({ authentication: { tokens: { file } }, authorization: { rules: [rule], reasons } }),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await configured?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});
const visit = (): Promise<Visitor> => visitor(browser, configured.program.url);

describe.skipIf(needed.missing)("the login", () => {
  it("is asked for where one was going, and leads there; it is this tab's, and can be forgotten", async () => {
    await using one = await visit();
    const page = await one.open(`${SHOP}/deployments/web?x=1`);
    await page.waitForURL("**/console/login?return=*");
    await page.getByRole("heading", { level: 1, name: "Log in" }).waitFor();
    expect(await violations(page)).toEqual([]);
    const field = page.getByRole("textbox", { name: "Token" });
    await field.fill("rsd_wrong");
    await page.getByRole("button", { name: "Log in" }).click();
    const problem = page.getByRole("alert");
    await problem.waitFor();
    await expect.poll(() => problem.getAttribute("data-reason")).toBe("UNAUTHENTICATED");
    await field.fill(TOKEN);
    await field.press("Enter");
    await page.waitForURL(`**${SHOP}/deployments/web?x=1`);
    await page.getByTestId("rollout").waitFor();
    expect(await page.evaluate(() => [Object.keys(localStorage), Object.values(sessionStorage)])).toEqual([
      [],
      [TOKEN],
    ]);
    const other = await one.open("/console/");
    await other.waitForURL("**/console/login?*");
    await page.getByRole("button", { name: "Log out" }).click();
    await page.waitForURL("**/console/login?*");
    expect(await page.evaluate(() => Object.values(sessionStorage))).toEqual([]);
  });

  it.each(["https://evil.example/", "//evil.example/console/", "/console/../x", "javascript:alert(1)"])(
    "does not lead to %s",
    async (back) => {
      await using one = await visit();
      const page = await one.open(`/console/login?return=${encodeURIComponent(back)}`);
      await page.getByRole("textbox", { name: "Token" }).fill(TOKEN);
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByRole("heading", { level: 1, name: "Targets" }).waitFor();
      expect(page.url()).toBe(`${configured.program.url}/console/`);
    },
  );

  it("has a reason written where one is wanted, and says what one may not", async () => {
    await using one = await visit();
    const page = await one.open("/console/login");
    await page.getByRole("textbox", { name: "Token" }).fill(TOKEN);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("link", { name: "sandbox" }).click();
    await page.getByRole("rowheader", { name: "web" }).getByRole("link").click();
    await page.getByRole("button", { name: "Restart…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator('[data-testid=problem][data-reason="REASON_REQUIRED"]').waitFor();
    const submit = dialog.getByRole("button", { name: "Restart web" });
    await expect.poll(() => submit.getAttribute("aria-disabled")).toBe("true");
    await dialog.getByRole("textbox", { name: "Reason" }).fill("a new certificate");
    await dialog.locator('[data-testid=check][data-state="ok"]').waitFor();
    await submit.click();
    await page.waitForURL(/operations\//);
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
    await expect.poll(() => page.getByTestId("operation").textContent()).toContain("token:ann");
  });
});
