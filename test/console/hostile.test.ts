import { create } from "@bufbuild/protobuf";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RolloutSchema } from "../../gen/restart/kubernetes/v1/workload_pb.ts";
import { ListWorkloadsResponseSchema, WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { ServerSchema, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { Failure } from "../../src/core/errors.ts";
import { route } from "../../src/core/route.ts";
import { type Fixture, serve } from "../server/fixture.ts";
import { launch, needed, visitor } from "./browser.ts";

const EVIL = '<img src=x onerror="document.title=1"><script>1</script>\u202Egnp.exe\u0007\u2066';
const SHOWN = '<img src=x onerror="document.title=1"><script>1</script>\\u202egnp.exe\\u0007\\u2066';

let browser: Browser;
let fixture: Fixture;
beforeAll(async () => {
  if (needed.missing) return;
  browser = await launch();
  const rollout = create(RolloutSchema, { name: EVIL, message: EVIL, detail: EVIL, desired: 1, state: 3 });
  fixture = await serve(
    {},
    {
      routes: [
        route(ServerService, {
          getServer: () =>
            create(ServerSchema, { version: "99.0.0", contact: EVIL, systems: ["kubernetes"], principal: EVIL }),
        }),
        route(WorkloadService, {
          restart() {
            throw new Failure("PAUSED", EVIL, { metadata: { note: EVIL } });
          },
          getRollout: () => rollout,
          async *watchRollout() {
            yield rollout;
          },
          listClusters: () => ({ clusters: [{ name: EVIL, reachable: true, serverVersion: EVIL }] }),
          listWorkloads: () =>
            create(ListWorkloadsResponseSchema, {
              workloads: [
                {
                  group: "apps",
                  version: "v1",
                  resource: "deployments",
                  namespace: EVIL,
                  name: EVIL,
                  restartedAt: EVIL,
                },
              ],
              unavailable: [{ code: 7, message: EVIL }],
            }),
        }),
      ],
    },
  );
});
afterAll(async () => {
  await browser?.close();
  await fixture?.[Symbol.asyncDispose]();
});

describe.skipIf(needed.missing)("what others wrote", () => {
  it("is text wherever it stands", async () => {
    await using one = await visitor(browser, fixture.server.url);
    const page = await one.open("/console/clusters/c");
    const row = page.getByRole("table", { name: "Workloads" }).locator("tr[data-name]");
    await row.waitFor();
    await expect.poll(() => row.getByRole("rowheader").textContent()).toBe(SHOWN);
    await row.getByRole("button").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByTestId("problem").waitFor();
    await expect.poll(() => dialog.getByRole("heading").textContent()).toContain(SHOWN);
    await page.keyboard.press("Escape");
    await row.getByRole("link").click();
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.getByTestId("problem").first().waitFor();
    await expect.poll(() => page.title()).toBe(`${SHOWN} · restartd`);
    await page.goto(`${fixture.server.url}/console/clusters/c/apps/v1/namespaces/n/deployments/web`);
    await page.getByTestId("rollout").waitFor();
    await expect.poll(() => page.getByTestId("rollout").textContent()).toContain(SHOWN);
    await expect.poll(() => page.getByRole("status").first().textContent()).toBe(SHOWN);
    await page.getByRole("button", { name: "Restart…" }).click();
    await page.locator('[data-testid=problem][data-reason="PAUSED"]').waitFor();
    await expect.poll(() => page.getByRole("dialog").textContent()).toContain(SHOWN);
    const text = await page.evaluate(() => document.documentElement.outerHTML);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    expect(text.replace(/href="[^"]*"|data-name="[^"]*"/g, "")).not.toMatch(/[\u0007\u202E\u2066]/);
    expect(await page.locator("main img, main script").count()).toBe(0);
  });

  it("is a server of another version, and the page says so", async () => {
    await using one = await visitor(browser, fixture.server.url);
    const page = await one.open("/console/");
    const note = page.getByTestId("newer");
    await note.waitFor();
    await expect.poll(() => note.textContent()).toContain("A newer console is there.");
    expect(await page.getByTestId("sandbox").count()).toBe(0);
    await note.getByRole("button", { name: "Reload" }).waitFor();
  });
});
