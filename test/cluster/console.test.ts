import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { launch, needed, visitor } from "../console/browser.ts";
import { temporaryFolder } from "../support/folder.ts";
import { startProgram } from "../support/program.ts";
import { make, openWorld, type World } from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();

describe.skipIf(shared === undefined || needed.missing)("the console on a real control plane", () => {
  const cluster = shared as ControlPlane;
  let world: World;
  let browser: Browser;
  beforeAll(async () => {
    [world, browser] = await Promise.all([openWorld(cluster), launch()]);
  });
  afterAll(async () => {
    await browser?.close();
    await world[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  // Straight to the API server: the world's tap passes answers on whole, and so none of a watch.
  test("finds a workload, restarts it once, and follows it to kubectl's last word", async () => {
    await using folder = await temporaryFolder();
    const clusters = [{ name: "prod", kubeconfig: cluster.kubeconfig, context: "patcher" }];
    const file = await folder.write("restartd.yaml", stringify({ listen: "127.0.0.1:0", kubernetes: { clusters } }));
    await using program = await startProgram(["--config", file]);
    const object = await make(world, "deployments");
    const { namespace, name } = object.ref;
    const before = await object.generation();
    await using one = await visitor(browser, program.url);
    const page = await one.open(`/console/clusters/prod?namespace=${namespace}&name=${name}`);
    await page.getByRole("rowheader", { name }).getByRole("link").click();
    await page.getByTestId("rollout").waitFor();
    await page.getByRole("button", { name: "Restart…" }).click();
    const dialog = page.getByRole("dialog", { name: `Restart deployment.apps ${namespace}/${name}` });
    await dialog.locator('[data-testid=check][data-state="ok"]').waitFor();
    expect(await object.generation()).toBe(before);
    await dialog.getByRole("button", { name: `Restart ${name}` }).click();
    await page.locator('[data-testid=operation][data-state="STATE_SUCCEEDED"]').waitFor({ timeout: 60_000 });
    await page
      .getByRole("status")
      .filter({ hasText: `deployment "${name}" successfully rolled out` })
      .waitFor();
    expect(await object.generation()).toBe(before + 1);
    expect(await page.getByTestId("operation").textContent()).toContain(await object.restartedAt());
  });
});
