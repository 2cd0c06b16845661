import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Failure } from "../../src/core/errors.ts";
import { formatFailure } from "../../src/core/status.ts";
import type { OperationRecord } from "../../src/operations/store/record.ts";
import { openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import { record } from "../operations/records.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { type Program, startProgram } from "../support/program.ts";
import { launch, needed, type Visitor, violations, visitor } from "./browser.ts";
import { openLossyProxy } from "./lossy-proxy.ts";

const DDM = "projects/p/ddm/instances/i1";

/** Operations as they may stand in a store: in every state, and more than two pages of them. */
const name = (at: number): string => `operations/00000000-0000-4000-8000-${String(at).padStart(12, "0")}`;
const START = Date.UTC(2026, 0, 1);
const UNRESOLVED = name(1000);
const UNKNOWN = name(1001);
const NOT_OBSERVED = name(1002);
const ANOTHER = name(1003);
const STILL = name(999);

function rows(): OperationRecord[] {
  const one = (at: number, more: Partial<OperationRecord>) =>
    record({
      name: name(at),
      requestId: undefined,
      createTime: START + at * 1000,
      updateTime: START + at * 1000,
      blocks: false,
      ...more,
    });
  const old = Array.from({ length: 120 }, (_, at) =>
    one(at, {
      state: "SUCCEEDED",
      endTime: START + at * 1000 + 1500,
      target: `clusters/c/apps/v1/namespaces/n/deployments/d${at % 3}`,
      principal: at % 2 ? "anonymous" : "ann",
      reason: `reason ${at}`,
    }),
  );
  const unresolved = formatFailure(new Failure("OUTCOME_UNRESOLVED", "nobody can tell", { outcome: "unknown" }));
  const ddm = {
    method: "restart.ddm.v1.InstanceService/RestartInstance",
    action: "soft_restart",
    blocks: true,
    sendTime: START,
  };
  return [
    ...old,
    one(999, {
      ...ddm,
      state: "UNRESOLVED",
      endTime: START + 999_500,
      error: unresolved,
      target: "projects/p/ddm/instances/i4",
    }),
    one(1000, { ...ddm, state: "UNRESOLVED", endTime: START + 1001_000, error: unresolved, target: DDM }),
    one(1001, { ...ddm, state: "UNKNOWN", target: "projects/p/ddm/instances/i2" }),
    one(1002, {
      state: "NOT_OBSERVED",
      endTime: START + 1002_500,
      sendTime: START,
      target: "clusters/c/apps/v1/namespaces/n/deployments/web",
    }),
    one(1003, {
      ...ddm,
      state: "UNRESOLVED",
      endTime: START + 1004_000,
      error: unresolved,
      target: "projects/p/ddm/instances/i3",
    }),
  ];
}

let browser: Browser;
let folder: Folder;
let program: Program;
beforeAll(async () => {
  if (needed.missing) return;
  folder = await temporaryFolder();
  const path = join(folder.path, "restartd.db");
  {
    await using store = await openSqliteStore({
      path,
      replica: "r",
      now: () => new Date(),
      warn: () => {},
    });
    await store.insert(rows(), { event: "accepted" });
  }
  const kubeconfig = await folder.kubeconfig({ server: "http://127.0.0.1:1" }, { token: "t" });
  const file = await folder.write(
    "restartd.yaml",
    `listen: 127.0.0.1:0\nstore: { sqlite: { path: ${path} }, retention: 315360000s }\nkubernetes: { clusters: [{ name: c, kubeconfig: ${kubeconfig} }] }\n`,
  );
  [browser, program] = await Promise.all([launch(), startProgram(["--config", file])]);
});
afterAll(async () => {
  await browser?.close();
  await program?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});
const visit = (): Promise<Visitor> => visitor(browser, program.url);
const names = (page: Page) =>
  page.locator("table tr[data-name]").evaluateAll((all) => all.map((row) => row.getAttribute("data-name")));

describe.skipIf(needed.missing)("the list of operations", () => {
  it("shows fifty, and more when it is asked", async () => {
    await using one = await visit();
    const page = await one.open("/console/operations");
    await expect.poll(async () => (await names(page)).length).toBe(50);
    expect((await names(page))[0]).toBe(ANOTHER);
    await page.getByRole("button", { name: "Load more" }).click();
    await expect.poll(async () => (await names(page)).length).toBe(100);
    await page.getByRole("button", { name: "Load more" }).click();
    await expect.poll(async () => (await names(page)).length).toBe(125);
    expect(new Set(await names(page)).size).toBe(125);
    expect(await page.getByRole("button", { name: "Load more" }).count()).toBe(0);
  });

  it("is filtered by what the address says", async () => {
    await using one = await visit();
    const page = await one.open("/console/operations");
    await page.getByRole("combobox", { name: "State" }).selectOption("UNRESOLVED");
    await expect.poll(() => names(page)).toEqual([ANOTHER, UNRESOLVED, STILL]);
    expect(new URL(page.url()).search).toBe("?state=UNRESOLVED");
    await page.getByRole("textbox", { name: "Target" }).fill(DDM);
    await page.keyboard.press("Enter");
    await expect.poll(() => names(page)).toEqual([UNRESOLVED]);
    await page.goto(`${program.url}/console/operations?target=clusters/c/&principal=ann&since=2026-01-01T00:01:50Z`);
    await expect.poll(() => names(page)).toEqual([118, 116, 114, 112].map(name));
    await page.goto(
      `${program.url}/console/operations?filter=${encodeURIComponent('principal = ann AND create_time < "2026-01-01T00:00:05Z"')}`,
    );
    await expect.poll(() => names(page)).toEqual([4, 2, 0].map(name));
    await expect.poll(() => page.getByRole("combobox", { name: "State" }).isDisabled()).toBe(true);
    await expect.poll(() => page.getByRole("textbox", { name: "By" }).getAttribute("placeholder")).toBe("advanced");
    const written = page.getByRole("textbox", { name: "Filter (AIP-160)" });
    await written.fill("stat = SENT");
    await written.press("Enter");
    const problem = page.locator('[data-testid=problem][data-reason="INVALID_ARGUMENT"]');
    await problem.waitFor();
    await expect.poll(() => problem.textContent()).toContain("did you mean state?");
    await page.getByRole("button", { name: "Clear the filter" }).click();
    await expect.poll(async () => (await names(page)).length).toBe(50);
    await page.goto(`${program.url}/console/operations?principal=nobody`);
    await expect.poll(() => page.getByTestId("empty").textContent()).toBe("No operations match. Clear the filter.");
  });

  it("comes back to where it was left", async () => {
    await using one = await visit();
    const page = await one.open("/console/operations");
    await expect.poll(async () => (await names(page)).length).toBe(50);
    await page.evaluate(() => scrollTo(0, 900));
    await page.locator("table tr[data-name]").nth(30).getByRole("link").first().click();
    await page.getByTestId("operation").waitFor();
    await expect.poll(() => page.evaluate(() => scrollY)).toBe(0);
    await page.goBack();
    await expect.poll(() => page.evaluate(() => scrollY)).toBe(900);
  });
});

describe.skipIf(needed.missing)("an operation in doubt", () => {
  it("stands on the first page", async () => {
    await using one = await visit();
    const page = await one.open("/console/");
    await page.getByRole("table", { name: "Needs a decision" }).locator(`tr[data-name="${UNRESOLVED}"]`).waitFor();
    await page.getByRole("table", { name: "Running" }).locator(`tr[data-name="${UNKNOWN}"]`).waitFor();
  });

  it("is explained while it is UNKNOWN", async () => {
    await using one = await visit();
    const page = await one.open(`/console/${UNKNOWN}`);
    await expect
      .poll(() => page.getByTestId("unknown").textContent())
      .toContain(
        "restartd sent this and got no proof of what happened. It is being looked for by reading, and never sent again. " +
          "Do not restart by hand until this has ended.",
      );
  });

  it("offers to begin anew when it was not applied", async () => {
    await using one = await visit();
    const page = await one.open(`/console/${NOT_OBSERVED}`);
    await page.getByText("It was not applied and is not sent again.").waitFor();
    await page.getByRole("button", { name: "Restart again…" }).click();
    await page.getByRole("dialog", { name: "Restart deployment.apps n/web" }).waitFor();
  });

  it("is resolved by a person who says how it is known", async () => {
    await using one = await visit();
    const page = await one.open(`/console/${UNRESOLVED}`);
    const box = page.getByTestId("unresolved");
    await expect
      .poll(() => box.textContent())
      .toContain(`Nobody can tell from outside. ${DDM} stays blocked until someone says what happened.`);
    const record = page.getByRole("group", { name: "Resolve" }).getByRole("button", { name: "Record" });
    expect(await page.getByRole("radio", { name: "It happened" }).isChecked()).toBe(false);
    expect(await page.getByRole("radio", { name: "It did not happen" }).isChecked()).toBe(false);
    await page.getByRole("radio", { name: "It happened" }).check();
    await expect.poll(() => record.getAttribute("aria-disabled")).toBe("true");
    await page.getByRole("textbox", { name: "How do you know?" }).fill("the pods are new");
    await record.click();
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
    await expect.poll(() => page.getByTestId("operation").getAttribute("data-outcome")).toBe("OUTCOME_APPLIED");
  });

  it("says when somebody else was faster", async () => {
    await using one = await visit();
    const page = await one.open(`/console/${ANOTHER}`);
    await page.getByTestId("unresolved").waitFor();
    // Somebody else's word arrives just before this one's.
    await page.route("**/ResolveOperation", async (route) => {
      await fetch(`${program.url}/restart.operation.v1.OperationService/ResolveOperation`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name: ANOTHER, outcome: "OUTCOME_APPLIED", note: "seen" }),
      });
      await route.continue();
    });
    await page.getByRole("radio", { name: "It did not happen" }).check();
    await page.getByRole("textbox", { name: "How do you know?" }).fill("they are old");
    await page.getByRole("button", { name: "Record" }).click();
    await page.getByText("Someone else resolved it meanwhile").waitFor();
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor();
  });
});

describe.skipIf(needed.missing).each(["light", "dark"] as const)("axe in %s finds nothing", (colorScheme) => {
  it.each([
    ["UNKNOWN", UNKNOWN],
    ["UNRESOLVED", STILL],
    ["NOT_OBSERVED", NOT_OBSERVED],
  ])("on an operation that is %s", async (state, operation) => {
    await using one = await visitor(browser, program.url, { colorScheme });
    const page = await one.open(`/console/${operation}`);
    await page.locator(`[data-testid=operation][data-state="STATE_${state}"]`).waitFor();
    expect(await violations(page)).toEqual([]);
  });
});

describe.skipIf(needed.missing)("many tabs", () => {
  it("leave each other connections: four streams, and the others ask", async () => {
    await using proxy = await openLossyProxy(program.url);
    await using one = await visitor(browser, proxy.origin);
    const tabs: Page[] = [];
    for (let tab = 0; tab < 8; tab++) {
      const page = await one.open(`/console/${UNKNOWN}`);
      await page.getByTestId("unknown").waitFor();
      tabs.push(page);
    }
    const streams = () => [...proxy.open].filter(({ path }) => path.endsWith("/WatchOperation")).length;
    await expect.poll(streams).toBe(4);
    const ninth = await one.open("/console/operations?state=UNKNOWN");
    await ninth.locator(`tr[data-name="${UNKNOWN}"]`).waitFor();
    await Promise.all(tabs.slice(0, 2).map((tab) => tab.close()));
    await expect.poll(streams).toBe(4); // handed on to those that asked
  });
});
