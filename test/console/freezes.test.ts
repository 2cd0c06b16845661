import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { RestartRequestSchema } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { callsOf, needed, sandboxOfFile, violations } from "./browser.ts";

const SHOP = "/console/clusters/sandbox/apps/v1/namespaces/shop";
const CACHE = "/console/projects/5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d/dcs/instances/b7d9b6a0-4a53-4f0e-8f39-1f0c5a4e2d77";

const sandbox = sandboxOfFile();

/** A freeze, for as long as the test runs. */
async function freeze(name: string, targets: string): Promise<AsyncDisposable> {
  const call = async (method: string, body: object) => {
    const answer = await fetch(`${sandbox.url}/restart.access.v1.FreezeService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name, ...body }),
    });
    expect(answer.status, await answer.text()).toBe(200);
  };
  await call("CreateFreeze", { targets: [targets], message: `see ${name}`, reason: "a test" });
  return { [Symbol.asyncDispose]: () => call("LiftFreeze", { reason: "it is over" }) };
}

const check = (page: Page, state: string) => page.locator(`[data-testid=check][data-state="${state}"]`);

describe.skipIf(needed.missing)("what is frozen", () => {
  it.each(["light", "dark"] as const)("is restarted by who types the freeze's name (%s)", async (colorScheme) => {
    await using _ = await freeze("incident-7", "clusters/sandbox/*/*/namespaces/shop/**");
    await using one = await sandbox.visit({ colorScheme });
    const page = await one.open(`${SHOP}/deployments/web`);
    const calls = callsOf(page, "Restart");
    await page.getByRole("button", { name: "Restart…" }).click();
    await check(page, "refused").waitFor();
    const problem = page.getByRole("dialog").getByRole("alert");
    await expect.poll(() => problem.getAttribute("data-reason")).toBe("FROZEN");
    await expect
      .poll(() => page.getByRole("dialog").textContent())
      .toContain("freezes/incident-7 see incident-7; until ");
    expect(await violations(page)).toEqual([]);
    const word = page.getByRole("textbox", { name: "Type incident-7 to go on" });
    const submit = page.getByRole("button", { name: "Restart web", exact: true });
    await word.fill("web");
    await word.press("Enter");
    await expect.poll(() => submit.getAttribute("aria-disabled")).toBe("true");
    await word.fill("incident-7");
    await check(page, "ok").waitFor();
    expect(await violations(page)).toEqual([]);
    await submit.click();
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
    const sent = calls.map(({ body }) => fromBinary(RestartRequestSchema, body));
    expect(sent.map(({ validateOnly, overrideFreeze }) => [validateOnly, overrideFreeze])).toEqual([
      [true, false],
      [true, true],
      [false, true],
    ]);
  });

  it("and loses data wants both words", async () => {
    await using _ = await freeze("incident-8", "projects/**");
    await using one = await sandbox.visit();
    const page = await one.open(CACHE);
    await page.getByRole("button", { name: "Flush…" }).click();
    await page.getByRole("textbox", { name: "Type dcs-cache to go on" }).fill("dcs-cache");
    await page.getByRole("textbox", { name: "Type incident-8 to go on" }).fill("incident-8");
    await check(page, "ok").waitFor();
    await page.getByRole("button", { name: "Flush dcs-cache", exact: true }).click();
    await page.waitForURL(/operations\//);
    await page.getByTestId("operation").waitFor();
  });

  it("since the check was made asks for the word then", async () => {
    await using one = await sandbox.visit();
    const page = await one.open(`${SHOP}/deployments/legacy`);
    await page.getByRole("button", { name: "Restart…" }).click();
    await check(page, "ok").waitFor();
    await using _ = await freeze("incident-9", "clusters/**");
    const submit = page.getByRole("button", { name: "Restart legacy", exact: true });
    await submit.click();
    await page.getByRole("textbox", { name: "Type incident-9 to go on" }).fill("incident-9");
    await check(page, "ok").waitFor();
    await submit.click();
    await page.waitForURL(/operations\//);
    await page.locator('[data-testid=operation][data-outcome="OUTCOME_APPLIED"]').waitFor();
  });
});

describe.skipIf(needed.missing)("who may not override a freeze", () => {
  const TOKEN = "rsd_dev";
  let folder: Folder;
  let configured: Configured;
  beforeAll(async () => {
    folder = await temporaryFolder();
    const sha256 = createHash("sha256").update(TOKEN).digest("hex");
    const file = await folder.write("tokens.yaml", stringify([{ name: "dev", sha256 }]));
    configured = await startConfigured({
      authentication: { tokens: { file } },
      authorization: { rules: [{ name: "dev", permissions: ["kubernetes.*"], targets: ["**"] }] },
      freezes: [{ name: "black-friday", targets: ["**"], from: "2020-01-01T00:00:00Z", until: "2099-01-01T00:00:00Z" }],
    });
  });
  afterAll(async () => {
    await configured?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  it("is told until when, and asked for nothing", async () => {
    await using one = await sandbox.visit({}, configured.program.url);
    const page = await one.open(`${SHOP}/deployments/web`);
    await page.getByRole("textbox", { name: "Token" }).fill(TOKEN);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("button", { name: "Restart…" }).click();
    const problem = page.getByRole("dialog").locator('[data-testid=problem][data-reason="FROZEN"]');
    await problem.waitFor();
    await expect.poll(() => problem.textContent()).toContain("wait until it ends");
    await expect.poll(() => problem.textContent()).toContain("freezes/black-friday");
    expect(await page.getByRole("textbox", { name: /^Type / }).count()).toBe(0);
    expect(configured.patches()).toBe(0);
  });
});
