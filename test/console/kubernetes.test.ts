import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { RestartRequestSchema } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { startConfigured } from "../support/configured.ts";
import { callsOf, needed, sandboxOfFile } from "./browser.ts";

const SHOP = "/console/clusters/sandbox/apps/v1/namespaces/shop";

const sandbox = sandboxOfFile();

describe.skipIf(needed.missing)("the console on Kubernetes", () => {
  it("leads from the first page to the restart that it follows to its end", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/");
    expect(page.url()).toBe(`${sandbox.url}/console/`);
    await page.getByRole("heading", { level: 1, name: "Targets" }).waitFor();
    await page.getByTestId("sandbox").waitFor();
    await page.getByRole("table", { name: "Clusters" }).getByRole("link", { name: "sandbox" }).click();
    await page
      .getByRole("table", { name: "Workloads" })
      .getByRole("rowheader", { name: "web" })
      .getByRole("link")
      .click();
    await page.waitForURL(`**${SHOP}/deployments/web`);
    await expect.poll(() => page.title()).toBe("web · restartd");
    const calls = callsOf(page, "Restart");

    await page.getByRole("button", { name: "Restart…" }).click();
    const dialog = page.getByRole("dialog", { name: "Restart deployment.apps shop/web" });
    await dialog.locator('[data-testid=check][data-state="ok"]').waitFor();
    await expect.poll(() => dialog.getByTestId("check").textContent()).toBe("Checked: the cluster would accept it.");
    await expect.poll(() => dialog.textContent()).toContain("3 pods");
    await dialog.getByRole("textbox", { name: "Reason" }).fill("a new certificate");
    await dialog.getByRole("button", { name: "Restart web", exact: true }).dblclick();

    await page.waitForURL(/\/console\/operations\/[0-9a-f-]{36}$/);
    const operation = page.getByTestId("operation");
    const bar = page.getByRole("progressbar", { name: "updated" });
    await bar.waitFor();
    await expect.poll(() => bar.getAttribute("aria-valuemax")).toBe("3");
    await expect.poll(() => bar.getAttribute("aria-valuetext")).toMatch(/^\d of 3$/);
    await expect.poll(() => page.evaluate(() => document.activeElement?.tagName)).toBe("H1");
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
    await expect.poll(() => operation.getAttribute("data-outcome")).toBe("OUTCOME_APPLIED");
    await expect
      .poll(() => operation.getAttribute("data-name"))
      .toBe(new URL(page.url()).pathname.replace("/console/", ""));
    await page.getByRole("status").filter({ hasText: 'deployment "web" successfully rolled out' }).waitFor();
    await expect.poll(() => bar.getAttribute("aria-valuetext")).toBe("3 of 3");

    // The check, and then the one call.
    const sent = calls.map(({ body }) => fromBinary(RestartRequestSchema, body));
    expect(sent.map(({ validateOnly, requestId, reason }) => [validateOnly, requestId !== "", reason])).toEqual([
      [true, false, ""],
      [false, true, "a new certificate"],
    ]);
    await page.reload();
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
    await expect.poll(() => page.title()).toBe("restart deployment.apps shop/web · restartd");
  });

  it("shows each step of the rollout as it is told, and asks for none", async () => {
    await using configured = await startConfigured();
    const { simulator } = configured.backend;
    simulator.controllers.pause(); // the steps come from here, each when the one before is on the page
    await using one = await sandbox.visit({}, configured.program.url);
    const page = await one.open(`${SHOP}/statefulsets/db`);
    await page.getByRole("button", { name: "Restart…" }).click();
    const go = page.getByRole("button", { name: "Restart db" });
    await expect.poll(() => go.getAttribute("aria-disabled")).toBe("false");
    await go.click();
    await page.locator('[data-testid=operation][data-state="STATE_SENT"]').waitFor();
    const bar = page.getByRole("progressbar", { name: "updated" });
    await bar.waitFor();
    const asked = callsOf(page, "GetRollout");
    for (const updated of [0, 1, 2, 3]) {
      simulator.edit("apps", "statefulsets", "shop", "db", (set) => {
        const observedGeneration = set.metadata.generation ?? 0;
        Object.assign(set.status ?? {}, { observedGeneration, updatedReplicas: updated, updateRevision: "db-next" });
      });
      await expect.poll(() => bar.getAttribute("aria-valuetext")).toBe(`${updated} of 3`);
    }
    expect(asked).toEqual([]);
    simulator.controllers.resume();
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
  });

  it.each([
    ["deployments/checkout", "PAUSED", "can't restart paused deployment (run rollout resume first)"],
    ["statefulsets/archive", "UPDATE_STRATEGY_ON_DELETE", "OnDelete"],
  ])("says before anything is sent why %s is refused", async (workload, reason, said) => {
    await using one = await sandbox.visit();
    const page = await one.open(`${SHOP}/${workload}`);
    const calls = callsOf(page, "Restart");
    const opener = page.getByRole("button", { name: "Restart…" });
    await opener.click();
    const dialog = page.getByRole("dialog");
    const problem = dialog.getByRole("alert");
    await problem.waitFor();
    await expect.poll(() => problem.getAttribute("data-reason")).toBe(reason);
    await expect.poll(() => problem.getAttribute("data-outcome")).toBe("not_applied");
    await expect.poll(() => problem.textContent()).toContain(said);
    await expect.poll(() => problem.textContent()).toContain("Nothing was changed.");
    await expect.poll(() => dialog.getByTestId("check").getAttribute("data-state")).toBe("refused");
    const submit = dialog.getByRole("button", { name: /^Restart / });
    await expect.poll(() => submit.getAttribute("aria-disabled")).toBe("true");
    await submit.click({ force: true }); // a button that is not disabled for the browser, and sends nothing
    await dialog.getByRole("button", { name: "Check again" }).click();
    await problem.waitFor();
    await expect.poll(() => calls.length).toBe(2);
    expect(calls.every(({ body }) => fromBinary(RestartRequestSchema, body).validateOnly)).toBe(true);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await expect.poll(() => opener.evaluate((button) => button === document.activeElement)).toBe(true);
  });

  it("warns of what one should know, before and after", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/console/clusters/sandbox?name=legacy");
    await page.getByRole("button", { name: "Restart legacy…" }).click();
    const warning = page.getByRole("dialog").locator('[data-testid=warnings] [data-warning="RECREATE_DOWNTIME"]');
    await warning.waitFor();
    await expect.poll(() => warning.textContent()).toContain("All pods go before new ones come: there is downtime.");
    await page.getByRole("button", { name: "Restart legacy", exact: true }).click();
    await page.waitForURL(/operations/);
    await page.locator('[data-testid=operation] [data-warning="RECREATE_DOWNTIME"]').waitFor();
  });

  it("follows an Argo Rollout by its own marks", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/console/clusters/sandbox/argoproj.io/v1alpha1/namespaces/shop/rollouts/canary");
    await page.getByRole("button", { name: "Restart…" }).click();
    const dialog = page.getByRole("dialog", { name: "Restart rollout.argoproj.io shop/canary" });
    await expect
      .poll(() => dialog.textContent())
      .toContain("Evicts the pods of the running version, by spec.restartAt.");
    await dialog.locator('[data-testid=check][data-state="ok"]').waitFor();
    await dialog.getByRole("button", { name: "Restart canary" }).click();
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
  });

  it("has every filter in the address, and nowhere else", async () => {
    await using one = await sandbox.visit();
    const page = await one.open("/console/clusters/sandbox");
    const table = page.getByRole("table", { name: "Workloads" });
    await table.getByRole("rowheader", { name: "web" }).waitFor();
    await page.getByRole("search").getByRole("combobox", { name: "Kind" }).selectOption("statefulsets.apps");
    await table.getByRole("rowheader", { name: "web" }).waitFor({ state: "detached" });
    await page.getByRole("combobox", { name: "Namespace" }).selectOption("shop");
    await page.getByRole("searchbox", { name: "Filter by name" }).fill("arch");
    await expect.poll(() => new URL(page.url()).search).toBe("?kind=statefulsets.apps&namespace=shop&name=arch");
    const names = async () =>
      table.locator("tr[data-name]").evaluateAll((rows) => rows.map((row) => row.getAttribute("data-name")));
    await expect.poll(names).toEqual(["clusters/sandbox/apps/v1/namespaces/shop/statefulsets/archive"]);
    await page.reload();
    await expect.poll(names).toEqual(["clusters/sandbox/apps/v1/namespaces/shop/statefulsets/archive"]);
    expect(await page.evaluate(() => [...Object.keys(localStorage)])).toEqual([]);
    const empty = await one.open("/console/clusters/sandbox?namespace=none");
    await empty.getByTestId("empty").waitFor();
    await expect.poll(() => empty.getByTestId("empty").textContent()).toContain("No workloads in namespace none.");
    await empty.getByRole("button", { name: "Clear the filter" }).last().click();
    await empty.getByRole("rowheader", { name: "web" }).waitFor();
  });

  it("says what there is not", async () => {
    await using one = await sandbox.visit();
    const nothing = await one.open("/console/no/such/page/");
    await nothing.getByRole("heading", { level: 1, name: "Not found" }).waitFor();
    expect(nothing.url()).toBe(`${sandbox.url}/console/no/such/page`);
    const gone = await one.open(`${SHOP}/deployments/gone`);
    const problem = gone.locator('[data-testid=problem][data-reason="TARGET_NOT_FOUND"]');
    await problem.waitFor();
    await expect.poll(() => problem.getAttribute("role")).toBe("group");
    await expect.poll(() => problem.textContent()).toContain("It does not exist, or no longer: check the names.");
    const cluster = await one.open("/console/clusters/none");
    await cluster.locator('[data-testid=problem][data-reason="CLUSTER_NOT_FOUND"]').waitFor();
  });
});
